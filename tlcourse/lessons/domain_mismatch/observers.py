"""What runs beside an answer to an exercise of this lesson."""

import numpy as np

STATISTICS = {
    "distance of means": lambda a, b: float(np.linalg.norm(a.mean(axis=0) - b.mean(axis=0))),
    "gap of medians": lambda a, b: float(abs(np.median(a) - np.median(b))),
    "rise": lambda a, b: float(b[:, 0].mean() - a[:, 0].mean()),  # has a sign
}


def observe_e2(function, inputs):
    x, y, name, deals = inputs
    return function(x, y, STATISTICS[name], deals)


def observe_e5(function, inputs):
    return [function(source, targets) for source, targets in zip(*inputs)]
