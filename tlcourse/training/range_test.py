"""The learning-rate range test: one short run in which the rate grows, instead of a guess."""

import copy
import statistics
from typing import NamedTuple

import torch.nn.functional as F
from torch import nn

from tlcourse.data.images import Images
from tlcourse.training import loop
from tlcourse.training.fitting import check_last_batch, draw_batches
from tlcourse.training.labels import check_sets


class RangeTest(NamedTuple):
    """What the test saw.

    Attributes:
        lrs: the learning rate of each step, growing by a constant factor.
        losses: the training loss, each the mean of up to five steps around it, so that the curve does not lag behind.
        suggested: a tenth of the rate at which the smoothed loss was lowest: where it still falls safely.
    """

    lrs: list[float]
    losses: list[float]
    suggested: float


def lr_range_test(
    model: nn.Module,
    train: Images,
    *,
    lowest: float = 1e-5,
    highest: float = 1.0,
    steps: int = 60,
    batch_size: int = 16,
    seed: int = 0,
) -> RangeTest:
    """Raise the learning rate at every step and watch the loss (Smith, WACV, 2017).

    The optimiser is fit()'s. The test ends early once the running mean of the loss is four times its lowest value, or is
    not finite.

    Args:
        model: network; a copy is trained, with whatever is frozen in it.
        train: Images; they are drawn without end, in a new order in each pass.
        lowest, highest: the first and the last learning rate, 0 < lowest < highest.
        steps: from the one to the other, at least 10.
        batch_size: images per step, at least 1; the last batch of a pass may be smaller. A last batch of one image is
            refused as in fit().
        seed: draws the order.

    Returns:
        RangeTest.

    Raises:
        ValueError: an argument out of range, no images, a label that the head has no output for, everything is frozen.
        FloatingPointError: the first step's loss or gradient is not finite.
    """
    if not 0 < lowest < highest:
        raise ValueError(f"lowest={lowest}, highest={highest}: want 0 < lowest < highest")
    if steps < 10 or batch_size < 1:
        raise ValueError(f"steps={steps}, batch_size={batch_size}: want at least 10 and 1")
    check_sets(model, train=train)
    check_last_batch(model, train[: steps * batch_size], batch_size)
    losses, running = [], []

    def growth(step):
        return (highest / lowest) ** (step / (steps - 1))

    def loss(network, batch):
        x, y = batch
        value = F.cross_entropy(network(x), y)
        losses.append(value.item())
        return value

    def after_step(step):
        running.append(statistics.mean(losses[-5:]))
        if running[-1] > 4 * min(running):
            raise StopIteration

    batches = draw_batches(train, batch_size)
    try:
        loop.train(
            copy.deepcopy(model),
            batches,
            loss,
            steps=steps,
            lr=lowest,
            schedule=growth,
            seed=seed,
            after_step=after_step,
        )
    except FloatingPointError:  # the rate was too high for a number, which ends the test as well
        if not running:
            raise
    centred = [statistics.mean(losses[max(0, i - 2) : i + 3]) for i in range(len(losses))]
    lrs = [lowest * growth(step) for step in range(len(losses))]
    return RangeTest(lrs, centred, lrs[centred.index(min(centred))] / 10)
