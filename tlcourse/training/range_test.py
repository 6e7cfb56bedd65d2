"""The learning-rate range test: one short run in which the rate grows, instead of a guess."""

import copy
import statistics
from typing import NamedTuple

import torch
import torch.nn.functional as F

from tlcourse.training.fitting import pick_device


class RangeTest(NamedTuple):
    """What the test saw.

    Attributes:
        lrs: the learning rate of each step, growing by a constant factor.
        losses: the training loss, each the mean of up to five steps around it, so that the curve does not lag behind.
        suggested: a tenth of the rate at which the smoothed loss was lowest: where it still falls safely.
    """

    lrs: list
    losses: list
    suggested: float


def lr_range_test(model, train, *, lowest=1e-5, highest=1.0, steps=60, batch_size=16, seed=0):
    """Raise the learning rate at every step and watch the loss (Smith, WACV, 2017).

    The optimiser is fit()'s. The test ends early once the running mean of the loss is four times its lowest value.

    Args:
        model: network; a copy is trained, with whatever is frozen in it.
        train: Images; they are drawn without end, in a new order in each pass.
        lowest, highest: the first and the last learning rate, 0 < lowest < highest.
        steps: from the one to the other, at least 10.
        batch_size: images per step, at least 1.
        seed: draws the order.

    Returns:
        RangeTest.

    Raises:
        ValueError: an argument out of range, no images, or everything is frozen.
    """
    if not 0 < lowest < highest:
        raise ValueError(f"lowest={lowest}, highest={highest}: want 0 < lowest < highest")
    if steps < 10 or batch_size < 1 or len(train) == 0:
        raise ValueError(f"steps={steps}, batch_size={batch_size}, {len(train)} images: want at least 10, 1 and 1")
    device = pick_device()
    network = copy.deepcopy(model).to(device).train()
    trainable = [parameter for parameter in network.parameters() if parameter.requires_grad]
    if not trainable:
        raise ValueError("model: every parameter is frozen, so there is nothing to train")
    optimizer = torch.optim.AdamW(trainable, lr=lowest, weight_decay=0.01)
    generator = torch.Generator().manual_seed(seed)
    order, lrs, losses, running = [], [], [], []
    for step in range(steps):
        if len(order) == 0:
            order = torch.randperm(len(train), generator=generator)
        index, order = order[:batch_size], order[batch_size:]
        lr = lowest * (highest / lowest) ** (step / (steps - 1))
        optimizer.param_groups[0]["lr"] = lr
        loss = F.cross_entropy(network(train.x[index].to(device)), train.y[index].to(device))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        lrs.append(lr)
        losses.append(loss.item())
        running.append(statistics.mean(losses[-5:]))
        if not running[-1] <= 4 * min(running):  # NaN too
            break
    centred = [statistics.mean(losses[max(0, i - 2) : i + 3]) for i in range(len(losses))]
    return RangeTest(lrs, centred, lrs[centred.index(min(centred))] / 10)
