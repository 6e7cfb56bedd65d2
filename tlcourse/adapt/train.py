"""Training with a method of domain adaptation: a method is a function of what a step sees."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from tlcourse.adapt.batch import Batch
from tlcourse.adapt.entropy import entropy
from tlcourse.data.images import Images, Numbers
from tlcourse.models.groups import find_head
from tlcourse.training.labels import check_images, check_labels
from tlcourse.training.loop import Schedule, train


def train_adapted(
    model: nn.Module,
    source: Images | None,
    target: Images,
    *,
    method: Callable[[Batch], torch.Tensor] | None = None,
    weight: float = 1.0,
    source_weights: Numbers | None = None,
    apart: bool = False,
    steps: int,
    lr: float,
    schedule: Schedule = "constant",
    batch_size: int = 64,
    seed: int = 0,
    after_step: Callable[[int], object] | None = None,
) -> list[dict[str, Any]]:
    """Train a classifier in place on labelled source images while a method makes use of unlabelled target images.

    BatchNorm sees both domains in every step, whatever the method. The loss is the cross-entropy on the source's half
    plus weight · method(batch). This is training.train(); what that says of errors and interrupts holds here too, for
    the parameters of a method as well.

    Args:
        model: network with a linear head, whose outputs are the source's classes. What is frozen stays as it is.
        source: Images, labelled; None adapts without a source (SHOT, TENT), from the method's loss alone.
        target: Images of which only x is read.
        method: function of a Batch to a tensor without dimensions, as deep_coral; if it is a Module, as DANN, its
            parameters are trained too. By default none: the same training on the source alone.
        weight: factor of the method's loss, at least 0.
        source_weights: (len(source),) weights of the source's images, at least 0; they set how often an image is drawn,
            with replacement.
        apart: pass the domains one after the other, so that BatchNorm normalises each by its own statistics; by default
            they pass as one batch. The running statistics are of both either way.
        steps: gradient steps, at least 1.
        lr: learning rate of AdamW, above 0.
        schedule: "constant", or "one-cycle" or "cosine" with lr at the top, or a function from the number of steps done
            to the factor of lr.
        batch_size: images of each domain per step, at least 2.
        seed: draws the batches: all images of a domain in random order before any comes again.
        after_step: as in training.train().

    Returns:
        list with one dict a step: "source_loss", "method_loss", "source_accuracy" (None without a source), and of the
        target's batch "confidence", "entropy" (nats) and "balance", the entropy of the mean prediction over its
        largest value: 1 where all classes are predicted equally often. The model is left in eval mode,
        on the device that it came from, and a method with parameters beside it.

    Raises:
        ValueError: an argument out of range, no images, neither a source nor a method, a source label that the head has no
            output for.
        FloatingPointError: a loss or a gradient is not finite; the message says at which step.
    """
    _check(source, target, method, weight, source_weights, batch_size)
    head = find_head(model)
    if source is not None:
        check_labels("source", source.y, head.out_features)
    n = 0 if source is None else batch_size
    generator = torch.Generator().manual_seed(seed)
    mine = _draw(0 if source is None else len(source), source_weights, batch_size, generator)
    others = _draw(len(target), None, batch_size, generator)
    features, history = [], []

    def loss(network, step):
        device = next(model.parameters()).device
        domains, labels = [], None
        if source is not None:
            chosen = next(mine)
            domains, labels = [source.x[chosen]], source.y[chosen].to(device)
        other = next(others)
        domains.append(target.x[other])
        passes = domains if apart else [torch.cat(domains)]
        features.clear()
        logits = torch.cat([model(x.to(device, memory_format=torch.channels_last)) for x in passes])
        seen = torch.cat(features)
        of_source = (None, None, None) if labels is None else (seen[:n], logits[:n], labels)
        batch = Batch(model, *of_source, seen[n:], logits[n:], other, step / steps)
        zero = torch.zeros((), device=device)
        source_loss = zero if labels is None else F.cross_entropy(logits[:n], labels)
        method_loss = zero if method is None else method(batch)
        history.append(_describe(batch, source_loss, method_loss))
        return source_loss + weight * method_loss

    model.to(memory_format=torch.channels_last)
    trained = nn.ModuleList([model, method] if isinstance(method, nn.Module) else [model])
    with head.register_forward_pre_hook(lambda module, inputs: features.append(inputs[0])):
        # A batch is the number of its step: a method wants the positions of the images on the CPU, so the loss draws them.
        train(trained, range(steps), loss, steps=steps, lr=lr, schedule=schedule, seed=seed, after_step=after_step)
    return history


def _draw(n: int, weights: Numbers | None, count: int, generator: torch.Generator) -> Iterator[torch.Tensor]:
    """Positions without end, count at a time: all n in random order before any comes again, or as often as weights say."""
    if weights is not None:
        weights = torch.as_tensor(weights).double()
        while True:
            yield torch.multinomial(weights, count, replacement=True, generator=generator)
    left = torch.empty(0, dtype=torch.long)
    while True:
        while len(left) < count:
            left = torch.cat([left, torch.randperm(n, generator=generator)])
        yield left[:count]
        left = left[count:]


@torch.no_grad()
def _describe(batch: Batch, source_loss: torch.Tensor, method_loss: torch.Tensor) -> dict[str, Any]:
    probabilities = batch.target_logits.softmax(dim=1)
    shares = probabilities.mean(dim=0)
    accuracy = None
    if batch.source_logits is not None:
        accuracy = (batch.source_logits.argmax(dim=1) == batch.source_labels).float().mean().item()
    return {
        "source_loss": source_loss.item(),
        "method_loss": method_loss.item(),
        "source_accuracy": accuracy,
        "confidence": probabilities.max(dim=1).values.mean().item(),
        "entropy": entropy(batch.target_logits).mean().item(),
        "balance": -(shares * shares.clamp(min=1e-12).log()).sum().item() / math.log(len(shares)),
    }


def _check(source, target, method, weight, source_weights, batch_size):
    if source is None and method is None:
        raise ValueError("source, method: give at least one of them; without both there is nothing to learn from")
    for name, images in (("source", source), ("target", target)):
        if images is not None:
            check_images(name, images)
    if batch_size < 2 or not weight >= 0:
        raise ValueError(f"batch_size={batch_size}, weight={weight}: want at least 2, and at least 0")
    if source_weights is not None:
        weights = torch.as_tensor(source_weights)
        if source is None or weights.shape != (len(source),) or not (weights >= 0).all() or not weights.sum() > 0:
            raise ValueError("source_weights: want one weight of at least 0 for each source image, not all 0")
