"""Read off a learning curve how many labels reach an accuracy."""

import numpy as np

from tlcourse.checks.compare import as_array, explain
from tlcourse.checks.spec import Case

ID, TITLE, POINTS, ENTRY_POINT, SECONDS = "01.2", "How many labels a gain is worth", 5, "labels_needed", 2
_INSIDE, _BEYOND = "targets on the curve", "targets beyond its ends"
PARTS = {_INSIDE: 3, _BEYOND: 2}


def cases(rng):
    for size in (4, 5, 7):
        labels = np.cumsum(rng.integers(1, 30, size=size)).astype(np.float64)
        accuracies = np.sort(rng.uniform(0.2, 0.95, size=size))
        inside = accuracies[0] + rng.uniform(0.1, 0.9) * (accuracies[-1] - accuracies[0])
        for target in (inside, accuracies[1]):
            yield Case((labels, accuracies, float(target)), part=_INSIDE)
        for target in (accuracies[-1] + 0.01, accuracies[0] - 0.05):
            yield Case((labels, accuracies, float(target)), part=_BEYOND)


def verify(case, output):
    labels, accuracies, target = case.inputs
    got = as_array(output)
    if got is None or got.shape != ():
        return "Return one number."
    if target > accuracies[-1]:
        return None if np.isposinf(got) else "The curve never reaches this target. The honest answer is infinity."
    if target < accuracies[0]:
        problem = "The smallest number of labels on the curve already reaches the target: return that number."
        return explain("labels", output, labels[0], [], problem=problem)
    wanted = np.exp(np.interp(target, accuracies, np.log(labels)))
    on_labels = np.interp(target, accuracies, labels)
    mistakes = [(on_labels, "You interpolated on the number of labels. Interpolate its logarithm.")]
    problem = "Between two points of the curve, interpolate log(labels) linearly in the accuracy."
    return explain("labels", output, wanted, mistakes, tolerance=1e-6 * wanted, problem=problem)
