"""Low-rank adaptation: train a small correction beside frozen weights, then add it in."""

import math
from collections.abc import Sequence
from typing import TypeGuard

import torch
from torch import nn


class LowRank(nn.Module):
    """A frozen linear layer or convolution plus a trainable correction of low rank (Hu et al., LoRA, ICLR, 2022).

    y = W x + α/r · B A x. A is drawn as a layer of its kind is drawn by default, B begins at zero, so at first nothing
    changes.

    Args:
        base: nn.Linear, or nn.Conv2d without groups; it is frozen.
        rank: r, at least 1.
        alpha: α, above 0.
    """

    def __init__(self, base: nn.Linear | nn.Conv2d, rank: int, alpha: float):
        super().__init__()
        self.base = base.requires_grad_(False)
        self.scale = alpha / rank
        if isinstance(base, nn.Linear):
            self.down = nn.Linear(base.in_features, rank, bias=False)
            self.up = nn.Linear(rank, base.out_features, bias=False)
        else:
            height, width = base.kernel_size
            shape = {"stride": base.stride, "padding": base.padding, "dilation": base.dilation}
            self.down = nn.Conv2d(
                base.in_channels, rank, (height, width), **shape, padding_mode=base.padding_mode, bias=False
            )
            self.up = nn.Conv2d(rank, base.out_channels, kernel_size=1, bias=False)
        nn.init.kaiming_uniform_(self.down.weight, a=math.sqrt(5))
        nn.init.zeros_(self.up.weight)
        self.to(base.weight.device)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.base(x) + self.scale * self.up(self.down(x))

    @torch.no_grad()
    def merged(self) -> nn.Linear | nn.Conv2d:
        """The layer that computes the same with one weight: W + α/r · BA."""
        product = self.up.weight.flatten(1) @ self.down.weight.flatten(1)
        self.base.weight += self.scale * product.view_as(self.base.weight)
        return self.base


def add_lora(
    model: nn.Module, rank: int = 4, alpha: float = 8, targets: Sequence[str] | None = None, seed: int = 0
) -> nn.Module:
    """Put a low-rank correction beside layers of a network, in place.

    Args:
        model: the network. Freeze it first (freeze(model, train=("fc",))): only the corrections are added as trainable.
        rank: r, at least 1; at most the smaller side of a layer's matrix makes sense.
        alpha: α, above 0; the correction is scaled by alpha / rank.
        targets: names of layers, as in model.named_modules(). By default every nn.Linear and nn.Conv2d without groups
            whose weight is frozen.
        seed: draws the corrections; the global random state is left as it was.

    Returns:
        The same network.

    Raises:
        ValueError: rank or alpha out of range, no layer to correct, or a target that is no linear layer or convolution.
    """
    if rank < 1 or not alpha > 0:
        raise ValueError(f"rank={rank}, alpha={alpha}: want rank ≥ 1 and alpha > 0")
    layers = dict(model.named_modules())
    if targets is None:
        targets = [name for name, layer in layers.items() if _is_fit(layer) and not layer.weight.requires_grad]
    chosen = {}
    for name in targets:
        layer = layers.get(name)
        if not _is_fit(layer):
            raise ValueError(f"targets: {name!r} is no nn.Linear, and no nn.Conv2d without groups, of this network")
        chosen[name] = layer
    if not chosen:
        raise ValueError("targets: no layer to correct; freeze the network first, or name the layers")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for name, layer in chosen.items():
            model.set_submodule(name, LowRank(layer, rank, alpha))
    return model


def merge_lora(model: nn.Module) -> nn.Module:
    """Add every correction into its weight, in place: the network has its old layers and names again, and computes the same.

    Returns:
        The same network.
    """
    for name, layer in list(model.named_modules()):
        if isinstance(layer, LowRank):
            model.set_submodule(name, layer.merged())
    return model


def _is_fit(layer: nn.Module | None) -> TypeGuard[nn.Linear | nn.Conv2d]:
    # An exact match: subclasses such as the output projection of attention are read by their weight, not called.
    return type(layer) is nn.Linear or (type(layer) is nn.Conv2d and layer.groups == 1)
