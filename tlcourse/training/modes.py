"""Leave a network as it was found."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def evaluating(model: nn.Module) -> Iterator[nn.Module]:
    """Hold a network in eval mode inside a `with` block; every module's own mode is put back at its end."""
    modes = _get_modes(model)
    model.eval()
    try:
        yield model
    finally:
        _set_modes(modes)


@contextmanager
def undone_on_error(model: nn.Module) -> Iterator[nn.Module]:
    """Put weights, buffers and every module's mode back if an error, but not an interrupt, ends a `with` block."""
    modes = _get_modes(model)
    before = {name: tensor.detach().clone() for name, tensor in _list_tensors(model)}
    try:
        yield model
    except Exception:
        with torch.no_grad():
            for name, tensor in _list_tensors(model):
                tensor.copy_(before[name])
        _set_modes(modes)
        raise


def _list_tensors(model):
    return [*model.named_parameters(), *model.named_buffers()]


def _get_modes(model):
    return {module: module.training for module in model.modules()}


def _set_modes(modes):
    for module, mode in modes.items():
        module.training = mode
