"""Freeze part of a network for real, say before training what will move, and prove afterwards what did."""

import copy
from collections.abc import Sequence
from types import MethodType
from typing import NamedTuple

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


def freeze(model: nn.Module, train: Sequence[str] = ("fc",)) -> nn.Module:
    """Freeze a network in place, all but the named parts.

    requires_grad=False stops the gradients. It does not stop BatchNorm: in training mode its running mean and variance
    follow every batch, and the "frozen" features drift. So the BatchNorm layers of the frozen part are also held in
    eval mode, through every later model.train().

    Args:
        model: the network.
        train: names of the modules or parameters that stay trainable; each covers all that it contains.
            () freezes everything.

    Returns:
        The same network.

    Raises:
        TypeError: train is a single string.
        ValueError: a name that the network does not have.
    """
    if isinstance(train, str):
        raise TypeError(f"train={train!r}: give a tuple of names, such as ({train!r},)")
    known = {name for name, _ in model.named_modules()} | {name for name, _ in model.named_parameters()}
    for name in train:
        if name not in known or not name:
            parts = ", ".join(name for name, _ in model.named_children())
            raise ValueError(f"train: the network has no part named {name!r}; its top-level parts are {parts}")
    unfreeze(model)

    def is_trained(name):
        return any(name == part or name.startswith(part + ".") for part in train)

    for name, parameter in model.named_parameters():
        parameter.requires_grad = is_trained(name)
    for name, module in model.named_modules():
        if isinstance(module, _BatchNorm) and not is_trained(name):
            # An attribute of the instance, found before the method of the class; deepcopy binds it to the copy.
            module.train = MethodType(_stay_in_eval_mode, module)
            module.eval()
    return model


def unfreeze(model: nn.Module) -> nn.Module:
    """Undo freeze() in place: every parameter is trainable, BatchNorm follows model.train() again. Returns the network."""
    for module in model.modules():
        vars(module).pop("train", None)
    for parameter in model.parameters():
        parameter.requires_grad = True
    return model.train(model.training)


def _stay_in_eval_mode(module, mode=True):
    return nn.Module.train(module, False)


class Planned(NamedTuple):
    """What training would do to one layer.

    Attributes:
        parameters: how many numbers it has to train.
        trainable: how many of them require gradients.
        in_optimizer: how many of them the optimiser holds.
        drifting: names of the BatchNorm layers in it whose running statistics follow the batches in training mode.
    """

    parameters: int
    trainable: int
    in_optimizer: int
    drifting: list[str]


def freeze_plan(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Planned]:
    """Say, before a step is made, what training will move: gradients, membership of the optimiser, and BatchNorm's mode.

    A layer stands still only where all three say so. A parameter learns only where it is trainable *and* in the optimiser.

    Args:
        model: the network, in any mode; the answer is for model.train(), which a training loop calls.
        optimizer: the torch.optim.Optimizer that is to train it.

    Returns:
        dict from each top-level layer with parameters, in the network's order, to Planned.
    """
    held = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    in_training = copy.deepcopy(model).train()
    plan = {}
    for name, layer in model.named_children():
        parameters = list(layer.parameters())
        if parameters:
            drifting = [
                f"{name}.{inner}".rstrip(".")
                for inner, module in in_training.get_submodule(name).named_modules()
                if isinstance(module, _BatchNorm) and module.training and module.track_running_stats
            ]
            plan[name] = Planned(
                sum(p.numel() for p in parameters),
                sum(p.numel() for p in parameters if p.requires_grad),
                sum(p.numel() for p in parameters if id(p) in held),
                drifting,
            )
    return plan


class Moved(NamedTuple):
    """One tensor that changed: its name, "parameter" or "buffer", and the largest absolute change."""

    name: str
    kind: str
    change: float


def freeze_audit(before: nn.Module, after: nn.Module) -> dict[str, list[Moved]]:
    """List every parameter and buffer that differs between two states of one network, layer by layer.

    Args:
        before, after: networks of the same architecture. Take `before` with copy.deepcopy(model).

    Returns:
        dict from each top-level layer, in the network's order, to a list of Moved; an empty list is a layer
        that stayed as it was.

    Raises:
        ValueError: the networks have not the same tensors in the same shapes.
    """
    parameters = {name for name, _ in after.named_parameters()}
    old, new = before.state_dict(), after.state_dict()
    if old.keys() != new.keys():
        raise ValueError(
            f"before and after: only one of them has {sorted(old.keys() ^ new.keys())}; compare equal networks"
        )
    report = {name: [] for name, module in after.named_children() if any(True for _ in module.state_dict())}
    for name in new:
        if old[name].shape != new[name].shape:
            raise ValueError(
                f"before and after: {name} has shape {tuple(old[name].shape)} and {tuple(new[name].shape)}; "
                "copy the network after you have put the new head on"
            )
        if not torch.equal(old[name].cpu(), new[name].cpu()):
            change = (new[name].double().cpu() - old[name].double().cpu()).abs().max().item()
            kind = "parameter" if name in parameters else "buffer"
            report.setdefault(name.split(".")[0], []).append(Moved(name, kind, change))
    return report
