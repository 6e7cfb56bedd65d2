"""The p-value of a permutation test with given deals."""

import numpy as np

from tlcourse.checks.compare import explain
from tlcourse.checks.spec import Case
from tlcourse.lessons.domain_mismatch.observers import STATISTICS

ID, TITLE, POINTS, ENTRY_POINT, SECONDS = "05.2", "A permutation test", 4, "p_value", 5
_DEALS = 80


def cases(rng):
    return [Case(_inputs(rng, name, n, m)) for name, n, m in zip(STATISTICS, (9, 13, 8), (14, 7, 12))]


def verify(case, output):
    return explain("p-value", output, *_p_values(*case.inputs))


def _inputs(rng, name, n, m):
    """Two samples and deals for which every likely mistake gives another p-value."""
    while True:
        # Sums of eighths are exact: an equal split has an equal statistic, whatever the order of its points.
        x, y = (np.round(8 * rng.normal(mean, 1, size=(size, 2))) / 8 for mean, size in ((0, n), (0.3, m)))
        deals = np.stack([rng.permutation(n + m) for _ in range(_DEALS)])
        for row in rng.permutation(_DEALS)[:3]:  # ties: the measured split itself, in another order
            deals[row] = np.concatenate([rng.permutation(n), n + rng.permutation(m)])
        right, others = _p_values(x, y, name, deals)
        values = [right] + [p for p, _ in (others if name == "rise" else others[1:])]
        gaps = np.abs(_dealt(np.concatenate([x, y]), n, name, deals) - STATISTICS[name](x, y))
        near = ((gaps > 0) & (gaps < 1e-6)).any()
        if 0.05 < right < 0.5 and not near and len(np.unique(np.round(values, 9))) == len(values):
            return x, y, name, deals


def _dealt(pooled, n, name, deals):
    return np.array([STATISTICS[name](pooled[deal[:n]], pooled[deal[n:]]) for deal in deals])


def _p_values(x, y, name, deals):
    """The p-value, and a list of what likely mistakes give with the message to each."""
    measured, pooled, n, m = STATISTICS[name](x, y), np.concatenate([x, y]), len(x), len(y)
    values, swapped = _dealt(pooled, n, name, deals), _dealt(pooled, m, name, deals)
    other_pool = _dealt(np.concatenate([y, x]), n, name, deals)
    sizes = "The sizes are swapped: the first n positions of a deal form the first sample, as large as x."
    count, total = (values >= measured).sum(), len(deals)

    def share(extreme):
        return (1 + extreme.sum()) / (1 + total)

    return share(values >= measured), [
        (share(np.abs(values) >= abs(measured)), "You compare absolute values. Only large values mean different."),
        (count / total, "The measured split is missing: add 1 to the count and 1 to the number of deals."),
        (count / (total + 1), "Add 1 to the count too: the measured split is one of the P + 1."),
        ((count + 1) / total, "Divide by P + 1: the measured split is one of them."),
        (share(values > measured), "Ties count: a deal with the same statistic is as extreme. Take ≥, not >."),
        (share(values <= measured), "You count deals at most as large. Large means different: take ≥."),
        (1 - share(values >= measured), "That is 1 minus the p-value."),
        (share(swapped >= measured), sizes),
        (share(other_pool >= measured), "The pool begins with x: position 0 is x[0], position n is y[0]."),
    ]
