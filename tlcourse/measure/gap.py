"""Negative transfer: whether a source made the target worse than the same algorithm makes it without that source."""

from dataclasses import dataclass

import numpy as np
import torch

from tlcourse.data.images import Numbers


@dataclass(frozen=True)
class Gap:
    """A negative-transfer gap and its interval, in the unit of the losses. Above zero the source did harm.

    Attributes:
        gap: mean loss with the source less mean loss without it.
        low, high: the ends of the bootstrap interval.
    """

    gap: float
    low: float
    high: float

    @property
    def verdict(self) -> str:
        """ "harm" if the interval lies above zero, "help" if below, else "undecided"."""
        if self.low > 0:
            return "harm"
        return "help" if self.high < 0 else "undecided"


def negative_transfer_gap(
    with_source: Numbers, without_source: Numbers, *, level: float = 0.95, resamples: int = 5000, seed: int = 0
) -> Gap:
    """Risk with the source less risk of the same algorithm without it (Wang et al., Characterizing and avoiding negative transfer, CVPR, 2019).

    The interval is a paired percentile bootstrap (Efron and Tibshirani, 1993): whole pairs are drawn again, so what both
    sides have in common cancels. Give one pair for each unit that you want to speak about: the losses on each test image
    for "these two networks on other images", the risks of each repetition for "this algorithm on other draws of labels,
    heads and sources". The two intervals answer different questions, and the second is usually the wider. With fewer
    than about 20 pairs a percentile bootstrap is too narrow: take Student's t, scipy.stats.ttest_rel(with_source,
    without_source).confidence_interval().

    Args:
        with_source: (n,) numbers: losses or risks with the source. Errors of 0 and 1 give a risk that is 1 − accuracy.
        without_source: (n,) numbers in the same order, from the same algorithm with the same data but the source.
        level: of the interval, between 0 and 1.
        resamples: draws of the bootstrap, at least 100.
        seed: draws the resamples.

    Returns:
        Gap.

    Raises:
        ValueError: not two such arrays, fewer than 2 pairs, values that are not finite, level or resamples out of range.
    """
    if not 0 < level < 1:
        raise ValueError(f"level={level}: want a number between 0 and 1, such as 0.95")
    if resamples < 100:
        raise ValueError(f"resamples={resamples}: take at least 100, better 5000")
    losses, baseline = _check("with_source", with_source), _check("without_source", without_source)
    n = len(losses)
    if n != len(baseline):
        raise ValueError(f"without_source: want one for each of the {n} of with_source, got {len(baseline)}")
    difference = losses - baseline
    rng = np.random.default_rng(seed)
    means = [difference[rng.integers(n, size=n)].mean() for _ in range(resamples)]
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Gap(float(difference.mean()), float(low), float(high))


def _check(name: str, losses: Numbers) -> np.ndarray:
    losses = losses.detach().cpu().numpy() if isinstance(losses, torch.Tensor) else np.asarray(losses)
    if losses.ndim != 1 or len(losses) < 2 or losses.dtype.kind not in "fiub":
        raise ValueError(f"{name}: want (n,) numbers, n ≥ 2, one for each pair; got {losses.shape} {losses.dtype}")
    if not np.isfinite(losses).all():
        raise ValueError(f"{name}: has NaN or infinity in it")
    return losses.astype(np.float64)
