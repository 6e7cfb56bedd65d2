"""Calibration error in bins of equal size, and the gap of the most overconfident bin."""

import numpy as np

from tlcourse.checks.compare import differs, name_mistake
from tlcourse.checks.spec import Case
from tlcourse.checks.toolkit import all_differ

ID, TITLE, POINTS, ENTRY_POINT, SECONDS = "05.3", "Calibration in bins of equal size", 5, "calibration_by_rank", 2
_TIES = "Where confidences are equal, the rows keep their order: take a stable sort."


def cases(rng):
    for n, bins, ties, lean in ((53, 5, False, 0.1), (61, 7, True, 0.1), (58, 4, True, -0.3)):
        while True:
            inputs = *_predictions(rng, n, ties, lean), bins
            error, worst, errors, worsts = _calibrations(*inputs)
            # Without ties their order cannot show, above 0 no cut can, and where all gaps have one sign no grouping can.
            errors, worsts = (errors[not ties :], worsts[1:]) if lean > 0 else ([], worsts)
            if all_differ(error, errors) and all_differ(worst, worsts) and (worst < 0) == (lean < 0):
                break
        yield Case(inputs, {"ties": ties})


def verify(case, output):
    if type(output) is not tuple or len(output) != 2:
        return "Return two numbers: error, worst."
    error, worst, errors, worsts = _calibrations(*case.inputs)
    ties = f" {_TIES}" if case.truth["ties"] else ""
    if problem := differs("error", output[0], error):
        return name_mistake(output[0], errors, problem + ties)
    if problem := differs("worst", output[1], worst):
        return name_mistake(output[1], worsts, problem + ties)
    return None


def _predictions(rng, n, ties, lean):
    """Probabilities (n, 3) whose confidence exceeds the chance to be right by lean, and labels."""
    confidence = rng.choice(np.arange(50, 100, 12) / 100, size=n) if ties else rng.uniform(0.46, 0.99, size=n)
    cut = rng.uniform(0.35, 0.65, size=n)
    columns = rng.permuted(np.tile(np.arange(3), (n, 1)), axis=1)
    probabilities = np.empty((n, 3))
    rows = np.stack([confidence, (1 - confidence) * cut, (1 - confidence) * (1 - cut)], axis=1)
    np.put_along_axis(probabilities, columns, rows, axis=1)
    is_right = rng.uniform(size=n) < confidence - lean
    return probabilities, np.where(is_right, columns[:, 0], columns[:, 1])


def _calibrations(probabilities, labels, bins):
    """error, worst, and for each of the two what likely mistakes give with the messages."""
    rows, confidence = np.arange(len(labels)), probabilities.max(axis=1)
    of_truth = probabilities[rows, labels]
    is_right = of_truth == confidence

    def by_rank(*keys):
        return np.array_split(np.lexsort(keys), bins)  # the last key sorts, the ones before it break ties

    def gaps(confidence, groups):
        return np.array([confidence[group].mean() - is_right[group].mean() for group in groups])

    def error(confidence, groups):
        return sum(len(group) * abs(gap) for group, gap in zip(groups, gaps(confidence, groups))) / len(labels)

    groups, width = by_rank(rows, confidence), np.ceil(confidence * bins)
    right, by_width = gaps(confidence, groups), [np.flatnonzero(width == number) for number in np.unique(width)]
    errors = [
        (error(confidence, by_rank(-rows, confidence)), _TIES),
        (error(confidence, by_width), "Your bins are equally wide. Here they hold equally many examples."),
        (np.abs(right).mean(), "You average over groups. Average over examples: a larger group weighs more."),
        (error(of_truth, by_rank(rows, of_truth)), "Confidence is the largest probability, not the true class's."),
        (error(confidence, by_rank(rows, -confidence)), "The larger groups lie at the high end. Sort ascending."),
        (np.abs(confidence - is_right).mean(), "You take the gap of each example. Average within a group first."),
        (abs((confidence - is_right).mean()), "You average signed gaps, and they cancel. Take absolute gaps."),
    ]
    worsts = [
        (max(right.max(), 0), "You cut worst off at 0. Where no group is overconfident, it is below 0."),
        (-right.min(), "worst has a sign: mean confidence minus accuracy. You turn the sign around, or drop it."),
        (-right.max(), "worst is mean confidence minus accuracy, not the other way round."),
        (right.min(), "worst is the least gap. Return the largest, that of the most overconfident group."),
    ]
    return error(confidence, groups), right.max(), errors, worsts
