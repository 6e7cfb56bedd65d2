"""The one training loop: any network, any batches, any loss."""

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, LRScheduler, OneCycleLR
from tqdm.auto import tqdm

from tlcourse.training.modes import undone_on_error

Schedule = str | Callable[[int], float]


def train(
    model: nn.Module,
    batches: Iterable,
    loss: Callable[[nn.Module, Any], torch.Tensor],
    *,
    steps: int,
    lr: float,
    schedule: Schedule = "one-cycle",
    weight_decay: float = 0.01,
    lr_scale: Callable[[str], float] | None = None,
    clip: float | None = None,
    seed: int = 0,
    after_step: Callable[[int], object] | None = None,
    device: str | torch.device | None = None,
    progress: bool = False,
) -> list[float]:
    """Train a network in place with AdamW (Loshchilov and Hutter, 2019), one batch a step, on a loss of your own.

    Only parameters with requires_grad are trained. If an error ends the training, the network is as it was before:
    weights, buffers, train or eval mode, device. If you interrupt it, it keeps what it has learned so far, and is in
    eval mode on the device that it came from.

    Args:
        model: any network.
        batches: what a loop can go through: a list, a DataLoader, a generator. A list or a DataLoader that ends begins
            again. A batch may be anything; its tensors are moved to the device, in tuples, lists and dicts too.
        loss: function of the network, in train mode, and of a batch. It returns a scalar tensor. A loss that has more
            to report appends it to a list of its own.
        steps: gradient steps, at least 1.
        lr: the highest learning rate, above 0.
        schedule: "one-cycle" (Smith and Topin, 2019), "cosine" (Loshchilov and Hutter, 2017), "constant", or a function
            from the number of steps done to the factor of lr.
        weight_decay: AdamW's decoupled weight decay.
        lr_scale: a function from a parameter's name to the factor of its learning rate, at least 0. By default all are 1.
        clip: a gradient whose norm over all parameters is larger is scaled down to it, above 0 (Pascanu et al., ICML,
            2013). By default none is.
        seed: of PyTorch's global random state, which batches, augmentation and dropout may draw from. The state is put
            back afterwards.
        after_step: function of the number of steps done, called after each. If it raises StopIteration the training
            ends there. The network is in train mode, so evaluate it through training.evaluate, which puts the mode back.
        device: "cpu", "cuda", "mps" or a torch.device; by default the best present.
        progress: show a progress bar over the steps.

    Returns:
        list of the loss in each step. The network is left in eval mode, without gradients, on the device that it came
        from.

    Raises:
        ValueError: an argument out of range, nothing to train, batches that end and cannot begin again.
        TypeError: the loss is not a scalar tensor that depends on the network.
        FloatingPointError: a loss or a gradient is not finite; the message says at which step.
    """
    _check_arguments(model, steps, lr, clip)
    device = torch.device(device) if device is not None else pick_device()
    home = next(model.parameters()).device
    stream, history = _repeat(batches), []
    with undone_on_error(model), torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        try:
            model.to(device).train()
            groups = _make_groups(model, lr, lr_scale)
            trained = [parameter for group in groups for parameter in group["params"]]
            optimizer = torch.optim.AdamW(groups, weight_decay=weight_decay)
            scheduler = _make_schedule(schedule, optimizer, steps)
            for step in tqdm(range(steps), desc="steps", disable=not progress, leave=False):
                value = loss(model, to_device(next(stream), device))
                _check_loss(value)
                optimizer.zero_grad(set_to_none=True)
                value.backward()
                # Without a limit this only measures, and its one number shows a gradient that is not finite.
                norm = nn.utils.clip_grad_norm_(trained, math.inf if clip is None else clip)
                history.append(value.item())
                _check_finite(step, lr, loss=history[-1], gradient=norm.item())
                optimizer.step()
                scheduler.step()
                if after_step is not None:
                    try:
                        after_step(step + 1)
                    except StopIteration:
                        break
        finally:
            model.zero_grad(set_to_none=True)
            model.to(home).eval()
    return history


def pick_device() -> torch.device:
    """The best device present: CUDA, then Apple's MPS, then the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def to_device(batch: Any, device: torch.device) -> Any:
    """Move what has a .to(device), in tuples, lists and dicts at any depth; leave all else as it is."""
    if hasattr(batch, "to"):
        return batch.to(device)
    if isinstance(batch, dict):
        return {key: to_device(value, device) for key, value in batch.items()}
    if isinstance(batch, (tuple, list)):
        moved = [to_device(value, device) for value in batch]
        return type(batch)(*moved) if hasattr(batch, "_fields") else type(batch)(moved)  # a named tuple has fields
    return batch


def _repeat(batches: Iterable) -> Iterator:
    while True:
        count = 0
        for count, batch in enumerate(batches, 1):
            yield batch
        if count == 0:
            raise ValueError(
                "batches: there are none left; give one for each step, or a list or a DataLoader, which begin again"
            )


def _make_groups(model, lr, lr_scale):
    """Parameter groups of an optimiser: the trainable parameters, those with the same learning rate together."""
    groups = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            scale = 1.0 if lr_scale is None else lr_scale(name)
            if not scale >= 0:
                raise ValueError(f"lr_scale: gave {scale} for {name}; want a factor of at least 0")
            groups.setdefault(scale, []).append(parameter)
    groups.pop(0, None)
    if not groups:
        raise ValueError("lr_scale: gave 0 for every parameter, so there is nothing to train")
    return [{"params": parameters, "lr": scale * lr} for scale, parameters in groups.items()]


def _make_schedule(schedule: Schedule, optimizer: torch.optim.Optimizer, steps: int) -> LRScheduler:
    if callable(schedule):
        return LambdaLR(optimizer, schedule)
    if schedule == "one-cycle":
        highest = [group["lr"] for group in optimizer.param_groups]
        # pct_start · steps must exceed one step, or the scheduler divides by zero
        return OneCycleLR(optimizer, highest, total_steps=steps + 1, pct_start=0.3)
    if schedule == "cosine":
        return CosineAnnealingLR(optimizer, steps)
    if schedule == "constant":
        return LambdaLR(optimizer, lambda step: 1.0)
    raise ValueError(f"schedule={schedule!r}: use 'one-cycle', 'cosine' or 'constant', or a function of the step")


def _check_arguments(model, steps, lr, clip):
    if steps < 1:
        raise ValueError(f"steps={steps}: train for at least 1")
    if not lr > 0:
        raise ValueError(f"lr={lr}: a learning rate is above 0")
    if clip is not None and not clip > 0:
        raise ValueError(f"clip={clip}: want a norm above 0, or None to leave gradients as they are")
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise ValueError("model: every parameter is frozen, so there is nothing to train; see training.freeze(train=…)")


def _check_loss(value):
    if not isinstance(value, torch.Tensor) or value.numel() != 1 or not value.requires_grad:
        got = f"shape {tuple(value.shape)}" if isinstance(value, torch.Tensor) else type(value).__name__
        raise TypeError(
            f"loss: want a scalar tensor that has a gradient, got {got}; end it with .mean() or .sum(), "
            "without .item() or .detach()"
        )


def _check_finite(step, lr, **numbers):
    for name, number in numbers.items():
        if not math.isfinite(number):
            raise FloatingPointError(
                f"the {name} became {number} in step {step}; lower lr (it is {lr}) or look for NaN in the batches. "
                "The network is as it was before training."
            )
