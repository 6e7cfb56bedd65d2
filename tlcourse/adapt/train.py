"""The one training loop of domain adaptation: a method is a function of what a step sees."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from tlcourse.adapt.entropy import entropy
from tlcourse.models.groups import head_name
from tlcourse.training.fitting import make_schedule, pick_device


@dataclass(frozen=True)
class Batch:
    """What a method sees of one step: n labelled source images and m target images without labels.

    Attributes:
        model: the network that is trained, in train mode.
        source_features, source_logits, source_labels: (n, d), (n, C) and (n,); None where there is no source.
        target_features, target_logits: (m, d) and (m, C). Features are what enters the head.
        target_index: (m,) positions of the images in the target.
        progress: the share of the steps that is done, in [0, 1).
    """

    model: nn.Module
    source_features: torch.Tensor | None
    source_logits: torch.Tensor | None
    source_labels: torch.Tensor | None
    target_features: torch.Tensor
    target_logits: torch.Tensor
    target_index: torch.Tensor
    progress: float


def train_adapted(
    model,
    source,
    target,
    *,
    method=None,
    weight=1.0,
    source_weights=None,
    apart=False,
    steps,
    lr,
    schedule="constant",
    batch_size=64,
    seed=0,
    after_step=None,
):
    """Train a classifier in place on labelled source images while a method makes use of unlabelled target images.

    BatchNorm sees both domains in every step, whatever the method. The loss is the cross-entropy on the source's half
    plus weight · method(batch).

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
        schedule: "constant", or "one-cycle" or "cosine" with lr at the top.
        batch_size: images of each domain per step, at least 2.
        seed: draws the batches: all images of a domain in random order before any comes again.
        after_step: function of the number of steps done, called after each; the model is in train mode, so evaluate it
            through training.evaluate, which puts the mode back.

    Returns:
        list with one dict a step: "source_loss", "method_loss", "source_accuracy" (None without a source), and of the
        target's batch "confidence", "entropy" (nats) and "balance", the entropy of the mean prediction over its
        largest value: 1 where all classes are predicted equally often. The model is left in eval mode,
        on the device that it came from, and a method with parameters beside it.

    Raises:
        ValueError: an argument out of range, no images, neither a source nor a method.
        FloatingPointError: the loss is not finite.
    """
    _check(source, target, method, weight, source_weights, steps, lr, batch_size)
    device, home = pick_device(), next(model.parameters()).device
    model.to(device, memory_format=torch.channels_last).train()
    trained = [p for p in model.parameters() if p.requires_grad]
    if isinstance(method, nn.Module):
        trained += method.to(device).parameters()
    optimizer = torch.optim.AdamW(trained, lr=lr)
    scheduler = make_schedule(schedule, optimizer, steps)
    generator = torch.Generator().manual_seed(seed)
    features, history = [], []
    head = model.get_submodule(head_name(model))
    n = 0 if source is None else batch_size
    mine = None if source is None else _batches(len(source), source_weights, batch_size, generator)
    others = _batches(len(target), None, batch_size, generator)
    with head.register_forward_pre_hook(lambda module, inputs: features.append(inputs[0])):
        for step in range(steps):
            x, labels = [], None
            if source is not None:
                chosen = next(mine)
                x, labels = [source.x[chosen]], source.y[chosen].to(device)
            other = next(others)
            domains = [*x, target.x[other]]
            passes = domains if apart else [torch.cat(domains)]
            features.clear()
            logits = torch.cat([model(x.to(device, memory_format=torch.channels_last)) for x in passes])
            seen = torch.cat(features)
            batch = Batch(
                model,
                seen[:n] if n else None,
                logits[:n] if n else None,
                labels,
                seen[n:],
                logits[n:],
                other,
                step / steps,
            )
            source_loss = F.cross_entropy(logits[:n], labels) if n else torch.zeros((), device=device)
            method_loss = torch.zeros((), device=device) if method is None else method(batch)
            loss = source_loss + weight * method_loss
            if not torch.isfinite(loss):
                raise FloatingPointError(
                    f"the loss became {loss.item()} in step {step}; lower lr={lr} or weight={weight}"
                )
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            scheduler.step()
            history.append(_describe(batch, source_loss, method_loss))
            if after_step is not None:
                after_step(step + 1)
    model.to(home).eval()
    if isinstance(method, nn.Module):
        method.to(home)
    return history


def _batches(n, weights, count, generator):
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
def _describe(batch, source_loss, method_loss):
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


def _check(source, target, method, weight, source_weights, steps, lr, batch_size):
    if source is None and method is None:
        raise ValueError("source, method: give at least one of them; without both there is nothing to learn from")
    for name, images in (("source", source), ("target", target)):
        if images is not None and len(images) == 0:
            raise ValueError(f"{name}: there are no images; give at least one")
    if steps < 1 or not lr > 0 or batch_size < 2 or not weight >= 0:
        raise ValueError(
            f"steps={steps}, lr={lr}, batch_size={batch_size}, weight={weight}: want at least 1, above 0, at least 2 and 0"
        )
    if source_weights is not None:
        weights = torch.as_tensor(source_weights)
        if source is None or weights.shape != (len(source),) or not (weights >= 0).all() or not weights.sum() > 0:
            raise ValueError("source_weights: want one weight of at least 0 for each source image, not all 0")
