"""The layer groups of a network, from the input to the head: what is unfrozen, slowed down or replaced."""

from collections.abc import Iterator, Sequence

from torch import nn


def head_name(model: nn.Module) -> str:
    """Name of the last linear layer of a network: its head ("fc" in a ResNet).

    Raises:
        ValueError: the network has no linear layer.
    """
    return _find_last_linear(model)[0]


def find_head(model: nn.Module) -> nn.Linear:
    """The last linear layer of a network, as head_name()."""
    return _find_last_linear(model)[1]


def list_parts(model: nn.Module) -> list[str]:
    """Divide a network into parts, from the input to the head.

    The parts of a ResNet are its top-level children (conv1, bn1, layer1, …, fc). A transformer's blocks are parts of their
    own: a child that holds a stack of blocks further inside is divided into these, and so is the only stack of a network.

    Args:
        model: the network; its children are taken to be in the order in which they compute.

    Returns:
        list of the names of modules with parameters; the last one is, or holds, the head.
    """
    parts = []
    stacks = [child for child in model.children() if isinstance(child, nn.Sequential) and _has_parameters(child)]
    for name, child in model.named_children():
        if stacks == [child]:
            pieces = [(f"{name}.{inner}", block) for inner, block in child.named_children()]
        elif not isinstance(child, nn.Sequential) and any(isinstance(c, nn.Sequential) for c in child.children()):
            pieces = _blocks(name, child)
        else:
            pieces = [(name, child)]
        for part, module in pieces:
            if _has_parameters(module):
                parts.append(part)
    return parts


def find_part(parts: Sequence[str], name: str) -> int:
    """Position of the part that a parameter belongs to; what is in none of them (a class token) counts to the first."""
    return next((i for i, part in enumerate(parts) if name.startswith(part + ".")), 0)


def _find_last_linear(model: nn.Module) -> tuple[str, nn.Linear]:
    linear = [(name, module) for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    if not linear:
        raise ValueError(
            f"model: {type(model).__name__} has no nn.Linear to use as its head; replace its last layer yourself"
        )
    return linear[-1]


def _has_parameters(module: nn.Module) -> bool:
    return any(True for _ in module.parameters())


def _blocks(prefix: str, module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    for name, child in module.named_children():
        if isinstance(child, nn.Sequential):
            yield from ((f"{prefix}.{name}.{inner}", block) for inner, block in child.named_children())
        else:
            yield f"{prefix}.{name}", child
