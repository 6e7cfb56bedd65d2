"""Adapt through BatchNorm alone."""

import copy

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from tlcourse.data.images import Images


def adapt_batchnorm(model: nn.Module, images: Images) -> nn.Module:
    """A copy of the network whose BatchNorm statistics are those of the target (AdaBN: Li et al., ICLR workshop, 2017).

    Args:
        model: network; left alone.
        images: Images of the target, at least 2; labels are not read.

    Returns:
        the copy, in eval mode.

    Raises:
        ValueError: fewer than 2 images, a network without BatchNorm.
    """
    if len(images) < 2:
        raise ValueError(f"images: {len(images)} are too few for statistics; give at least 2")
    adapted = copy.deepcopy(model).train()
    norms = _norms(adapted)
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over batches
    device = next(adapted.parameters()).device
    parts = list(images.x.split(300))
    if len(parts[-1]) == 1:  # one image has no spread of its own
        parts[-2:] = [torch.cat(parts[-2:])]
    with torch.inference_mode():
        for part in parts:
            adapted(part.to(device))
    for norm, before in zip(norms, _norms(model), strict=True):
        norm.momentum = before.momentum
    return adapted.eval()


def only_batchnorm(model: nn.Module) -> nn.Module:
    """Freeze all but the scales and shifts of BatchNorm, which is what TENT trains (Wang et al., ICLR, 2021).

    Args:
        model: network, changed in place.

    Returns:
        the network.

    Raises:
        ValueError: a network without BatchNorm.
    """
    norms = _norms(model)
    for parameter in model.parameters():
        parameter.requires_grad = False
    for norm in norms:
        norm.weight.requires_grad = norm.bias.requires_grad = True
    return model


def _norms(model: nn.Module) -> list[_BatchNorm]:
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    if not norms:
        raise ValueError("model: has no BatchNorm layer, so there is nothing to adapt this way")
    return norms
