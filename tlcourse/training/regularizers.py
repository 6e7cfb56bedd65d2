"""Penalties that hold fine-tuning to what the source knew."""

import copy
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

from tlcourse.data.images import Images
from tlcourse.models.groups import find_head, head_name
from tlcourse.training.labels import check_labels
from tlcourse.training.modes import evaluating

Penalty = Callable[[nn.Module], torch.Tensor]


def l2_sp(model: nn.Module, strength: float, head_strength: float | None = None) -> Penalty:
    """Make the penalty L2-SP: weights are drawn to where they started from, not to zero (Li et al., ICML, 2018).

    Args:
        model: the network before fine-tuning; its weights now are the starting point, and are copied.
        strength: α of the body's term α/2 · ‖w − w⁰‖², at least 0.
        head_strength: β of the head's term β/2 · ‖w‖², as the head starts from nothing; by default equal to strength.

    Returns:
        function of the network that returns the penalty, a tensor without dimensions; for fit(penalty=…).

    Raises:
        ValueError: a negative strength.
    """
    head_strength = strength if head_strength is None else head_strength
    if strength < 0 or head_strength < 0:
        raise ValueError(f"strength={strength}, head_strength={head_strength}: want at least 0")
    head = head_name(model) + "."
    start = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}

    def penalty(network):
        body = own = torch.zeros((), device=next(network.parameters()).device)
        for name, parameter in network.named_parameters():
            if name.startswith(head):
                own = own + parameter.square().sum()
            else:
                body = body + (parameter - start[name].to(parameter.device)).square().sum()
        return strength / 2 * body + head_strength / 2 * own

    return penalty


def fisher_diagonal(
    model: nn.Module, images: Images, samples: int | None = None, seed: int = 0
) -> dict[str, torch.Tensor]:
    """Diagonal of the Fisher information: how much the source's answers depend on each weight.

    The mean over images of the *squared gradient of each image* of log p(y|x), with y drawn from the network's own
    prediction. Squaring the gradient of a batch's mean loss instead is off by about the size of the batch.

    Args:
        model: network in any mode; it is read in eval mode.
        images: Images of the source.
        samples: how many of them to use, from the first; by default all.
        seed: draws the labels.

    Returns:
        dict from the name of a parameter to a tensor of its shape.
    """
    x = images.x[:samples]
    generator = torch.Generator().manual_seed(seed)
    parameters = {name: parameter.detach() for name, parameter in model.named_parameters()}
    buffers = dict(model.named_buffers())

    def loss(parameters, image, label):
        logits = torch.func.functional_call(model, (parameters, buffers), (image.unsqueeze(0),))
        return F.cross_entropy(logits, label.unsqueeze(0))

    per_image = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0, 0))
    total = {name: torch.zeros_like(value) for name, value in parameters.items()}
    with evaluating(model):
        for part in x.split(32):
            with torch.no_grad():
                probability = model(part).softmax(dim=1)
            labels = torch.multinomial(probability, 1, generator=generator).squeeze(1)
            for name, gradient in per_image(parameters, part, labels).items():
                total[name] += gradient.square().sum(dim=0)
    return {name: value / len(x) for name, value in total.items()}


def ewc(model: nn.Module, fisher: dict[str, torch.Tensor], strength: float) -> Penalty:
    """Make the penalty of elastic weight consolidation, ½ λ Σ Fᵢ (wᵢ − wᵢ⁰)² (Kirkpatrick et al., PNAS, 2017).

    Args:
        model: the network that the source trained; its weights now are the starting point, and are copied.
        fisher: as fisher_diagonal() returns. What it does not name, a new head for example, is left free; so is what
            has another shape now.
        strength: λ, at least 0.

    Returns:
        function of the network that returns the penalty; for fit(penalty=…).

    Raises:
        ValueError: a negative strength.
    """
    if strength < 0:
        raise ValueError(f"strength={strength}: want at least 0")
    start = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    held = [name for name in fisher if name in start and fisher[name].shape == start[name].shape]

    def penalty(network):
        parameters = dict(network.named_parameters())
        moved = []
        for name in held:
            device = parameters[name].device
            moved.append((fisher[name].to(device) * (parameters[name] - start[name].to(device)).square()).sum())
        return strength / 2 * torch.stack(moved).sum()

    return penalty


def rehearsal(source: nn.Module, images: Images, strength: float = 1.0, batch_size: int = 16, seed: int = 0) -> Penalty:
    """Make the penalty of rehearsal: the source's own loss on a few of its images at every step (Robins, Connection Science, 1995).

    The network's body is read through the source's old head, in eval mode: with batch statistics of their own, the source's
    images would look well remembered in training and not afterwards.

    Args:
        source: the network that the source trained, with its head; the head is copied.
        images: Images of the source, at least one.
        strength: factor of the loss, at least 0.
        batch_size: images per step; they are drawn with replacement.
        seed: draws them.

    Returns:
        function of a network with the source's body that returns the penalty; for fit(penalty=…).

    Raises:
        ValueError: no images, a negative strength, a label that the source's head has no output for.
    """
    if strength < 0 or len(images) == 0:
        raise ValueError(f"strength={strength}, {len(images)} images: want at least 0, and at least 1 image")
    name = head_name(source)
    old_head = copy.deepcopy(find_head(source)).requires_grad_(False)
    check_labels("images", images.y, old_head.out_features)
    generator = torch.Generator().manual_seed(seed)

    def penalty(network):
        device = next(network.parameters()).device
        index = torch.randint(len(images), (batch_size,), generator=generator)
        caught = []
        head = network.get_submodule(name)
        with evaluating(network), head.register_forward_pre_hook(lambda module, inputs: caught.append(inputs[0])):
            network(images.x[index].to(device))
        return strength * F.cross_entropy(old_head.to(device)(caught[0]), images.y[index].to(device))

    return penalty


def bss(model: nn.Module, strength: float = 1e-3, smallest: int = 1) -> Penalty:
    """Make the penalty of batch spectral shrinkage: the smallest singular values of the batch's features, squared, are
    held down (Chen et al., Catastrophic forgetting meets negative transfer, NeurIPS, 2019).

    What a source cannot pass on shows in the directions in which its features hardly vary. The singular values are those of
    the (b, D) matrix that enters the head in the step's own training pass; the penalty reads it there by a hook.

    Args:
        model: the network to be trained; it keeps a hook on its head, and so do its copies.
        strength: η, at least 0.
        smallest: how many singular values, at least 1.

    Returns:
        function of the network that returns the penalty; for fit(penalty=…) with the same model.

    Raises:
        ValueError: an argument out of range; when it is called, a batch with fewer singular values than asked for.
    """
    if strength < 0 or smallest < 1:
        raise ValueError(f"strength={strength}, smallest={smallest}: want at least 0 and at least 1")
    latest = []

    def remember(head, inputs):
        if head.training:
            latest[:] = inputs

    find_head(model).register_forward_pre_hook(remember)

    def penalty(network):
        (features,) = latest
        if min(features.shape) < smallest:
            raise ValueError(
                f"smallest={smallest}: features of shape {tuple(features.shape)} have fewer singular values"
            )
        return strength * torch.linalg.svdvals(features)[-smallest:].square().sum()

    return penalty
