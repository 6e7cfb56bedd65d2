"""Train a classifier of images, and the accuracy that judges it."""

import copy
import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from tlcourse.data.images import Images
from tlcourse.training import loop
from tlcourse.training.labels import check_images, check_labels, check_sets
from tlcourse.training.modes import evaluating


def fit(
    model: nn.Module,
    train: Images,
    val: Images | None = None,
    *,
    epochs: int,
    lr: float,
    batch_size: int = 64,
    seed: int = 0,
    schedule: loop.Schedule = "one-cycle",
    weight_decay: float = 0.01,
    augment: Callable[[torch.Tensor], torch.Tensor] | None = None,
    lr_scale: Callable[[str], float] | None = None,
    penalty: Callable[[nn.Module], torch.Tensor] | None = None,
    patience: int | None = None,
    device: str | torch.device | None = None,
    progress: bool = False,
) -> dict[str, Any]:
    """Train a classifier in place with AdamW (Loshchilov and Hutter, 2019) and cross-entropy.

    Only parameters with requires_grad are trained, so freeze() first to train a head. This is training.train() on
    passes over the images; what that says of errors and interrupts holds here too.

    Args:
        model: network from (b, 3, 32, 32) images to (b, classes) logits. It is left in eval mode.
        train: Images to learn from.
        val: Images to select on. If given, the weights of the epoch with the highest validation accuracy (the first
            of equals) are restored at the end.
        epochs: passes over the training images, at least 1.
        lr: the highest learning rate of the schedule, above 0.
        batch_size: images per step; the last batch of an epoch may be smaller. A last batch of one image is refused
            before the first step if the network has a BatchNorm that cannot normalise it.
        seed: draws the order of the images and the augmentation.
        schedule: "one-cycle" (Smith and Topin, 2019), "cosine" (Loshchilov and Hutter, 2017), "constant", or a function
            from the number of steps done to the factor of lr.
        weight_decay: AdamW's decoupled weight decay.
        augment: a function from a batch of images to a batch of images, applied to training batches only.
        lr_scale: a function from a parameter's name to the factor of its learning rate, at least 0. By default all are 1.
        penalty: a function of the network that returns a tensor without dimensions to add to the loss of each step.
        patience: with val, stop after so many epochs without a higher validation accuracy; at least 1. The schedule is
            then not run to its end, so "constant" fits best.
        device: "cpu", "cuda", "mps" or a torch.device; by default the best present. Afterwards the model is
            back on the device that it came from, so that it takes images as they are.
        progress: show a progress bar over the steps.

    Returns:
        dict of lists, one entry per epoch: "train_loss", "train_accuracy" (running, while the weights move), and with
        val "val_loss" and "val_accuracy"; and "best_epoch" (int, counted from 0) with val.

    Raises:
        ValueError: an argument out of range, nothing to train, labels that the head has no output for.
        FloatingPointError: a loss or a gradient is not finite; the message says at which step.
    """
    if epochs < 1:
        raise ValueError(f"epochs={epochs}: train for at least 1")
    if batch_size < 1:
        raise ValueError(f"batch_size={batch_size}: take at least 1 image a step")
    if patience is not None and (val is None or patience < 1):
        raise ValueError(f"patience={patience}: want at least 1, and val= to judge by")
    check_sets(model, train=train, val=val)
    check_last_batch(model, train, batch_size)
    steps = math.ceil(len(train) / batch_size)  # of an epoch
    history: dict[str, Any] = {"train_loss": [], "train_accuracy": []}
    if val is not None:
        history |= {"val_loss": [], "val_accuracy": [], "best_epoch": 0}
    best, seen = {}, []  # the best state; loss, right answers and images of each step of an epoch

    def loss(network, batch):
        x, y = batch
        logits = network(x if augment is None else augment(x))
        value = F.cross_entropy(logits, y)
        if penalty is not None:
            value = value + penalty(network)
        seen.append((value.item(), (logits.argmax(1) == y).sum().item(), len(y)))
        return value

    def after_step(step):
        if step % steps:
            return
        history["train_loss"].append(sum(value * count for value, _, count in seen) / len(train))
        history["train_accuracy"].append(sum(right for _, right, _ in seen) / len(train))
        seen.clear()
        if val is None:
            return
        value, accuracy = _loss_and_accuracy(model, val)
        history["val_loss"].append(value)
        history["val_accuracy"].append(accuracy)
        epoch = len(history["val_accuracy"]) - 1
        if epoch == 0 or accuracy > history["val_accuracy"][history["best_epoch"]]:
            best.update(copy.deepcopy(model.state_dict()))
            history["best_epoch"] = epoch
        if patience is not None and epoch - history["best_epoch"] >= patience:
            raise StopIteration

    model.to(memory_format=torch.channels_last)  # 20% faster on a CPU
    loop.train(
        model,
        draw_batches(train, batch_size),
        loss,
        steps=epochs * steps,
        lr=lr,
        schedule=schedule,
        weight_decay=weight_decay,
        lr_scale=lr_scale,
        seed=seed,
        after_step=after_step,
        device=device,
        progress=progress,
    )
    if val is not None:
        model.load_state_dict(best)
    return history


def evaluate(model: nn.Module, images: Images) -> float:
    """Accuracy of a classifier, a float in [0, 1].

    The network is measured in eval mode on the device it is on; its mode is put back afterwards.

    Args:
        model: network from (b, 3, 32, 32) images to (b, classes) logits.
        images: Images, at least one.

    Raises:
        TypeError: images is not Images.
        ValueError: images is empty, or has a label that the head has no output for.
    """
    return _loss_and_accuracy(model, images)[1]


def draw_batches(images: Images, batch_size: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Batches of pixels and labels without end: each pass takes all images, in an order of PyTorch's global random state."""
    while True:
        for index in torch.randperm(len(images)).split(batch_size):
            yield images.x[index].contiguous(memory_format=torch.channels_last), images.y[index]


def check_last_batch(model: nn.Module, images: Images, batch_size: int) -> None:
    """Raise a ValueError if a pass over the images ends with a single one, and the network cannot train on it."""
    if (len(images) % batch_size or batch_size) > 1:
        return
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            copy.deepcopy(model).train()(images.x[:1].to(next(model.parameters()).device))
    except ValueError as error:  # from BatchNorm, where a channel of one image is a single value
        raise ValueError(
            f"batch_size={batch_size}: {len(images)} images leave a batch of one, which this network cannot be trained "
            f"on ({error}); take another batch_size"
        ) from error


@torch.inference_mode()
def _loss_and_accuracy(model: nn.Module, images: Images) -> tuple[float, float]:
    check_images("images", images)
    device = next(model.parameters()).device
    loss, correct = 0.0, 0
    with evaluating(model):
        for x, y in zip(images.x.split(500), images.y.split(500), strict=True):
            logits = model(x.to(device, memory_format=torch.channels_last))
            check_labels("images", y, logits.shape[1])
            y = y.to(device)
            loss += F.cross_entropy(logits, y, reduction="sum").item()
            correct += (logits.argmax(1) == y).sum().item()
    return loss / len(images), int(correct) / len(images)
