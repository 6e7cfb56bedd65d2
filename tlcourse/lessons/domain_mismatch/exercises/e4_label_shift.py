"""A target's class shares from the mean probabilities that a classifier gives."""

import numpy as np
from scipy.optimize import nnls
from scipy.special import softmax

from tlcourse.checks.compare import explain, misfit
from tlcourse.checks.spec import Case
from tlcourse.checks.toolkit import all_differ

ID, TITLE, POINTS, ENTRY_POINT, SECONDS = "05.4", "Label shift with soft predictions", 5, "target_shares", 2


def cases(rng):
    for classes, n, m, clipped in ((3, 150, 200, False), (5, 400, 300, False), (4, 120, 60, True)):
        while True:
            inputs = _inputs(rng, classes, n, m, clipped)
            least, right, others = _shares(*inputs)
            shown = others if clipped else others[4:]  # the first four are about what is below 0
            if all_differ(right, shown) and (least < -0.02 if clipped else least > 0.02):
                break
        yield Case(inputs)


def verify(case, output):
    _, right, others = _shares(*case.inputs)
    problem = "The shares are not the solution of M q = μ, with negative ones set to 0, divided by their sum."
    return misfit("shares", output, right.shape) or explain("shares", output, right, others, problem=problem)


def _inputs(rng, classes, n, m, clipped):
    """A classifier's probabilities on the source and on a target with other shares; clipped leaves out a class there."""
    pull = 2 * np.eye(classes) + rng.normal(0, 0.6, size=(classes, classes))  # whom it confuses with whom
    shares = rng.dirichlet(np.full(classes, 4.0), size=2)
    if clipped:
        shares[1, rng.integers(classes)] = 0
    labels = [rng.choice(classes, size=size, p=p / p.sum()) for size, p in zip((n, m), shares)]
    labels[0][:classes] = np.arange(classes)
    source, target = (softmax(pull[y] + rng.normal(0, 0.8, size=(len(y), classes)), axis=1) for y in labels)
    return source, labels[0], target


def _shares(source_probs, source_labels, target_probs):
    """The least share before clipping, the shares, and what likely mistakes give with the message to each."""
    classes = source_probs.shape[1]
    one_hot, mean = np.eye(classes)[source_labels], target_probs.mean(axis=0)
    of_source = one_hot.mean(axis=0)

    def fit(matrix, values):
        return np.linalg.lstsq(matrix, values, rcond=None)[0]

    def normal(values):
        return values.clip(min=0) / values.clip(min=0).sum()

    # The regression of the probabilities on the one-hot labels is the mean of each class: row j belongs to class j.
    means = fit(one_hot, source_probs)
    solved = fit(means.T, mean)
    right = normal(solved)
    hardened = [np.eye(classes)[probs.argmax(axis=1)] for probs in (source_probs, target_probs)]
    hard = normal(fit(fit(one_hot, hardened[0]).T, hardened[1].mean(axis=0)))
    others = [
        (solved, "A share is below 0. Set negative shares to 0, then divide by the sum."),
        (solved.clip(min=0), "The shares do not add up to 1. Divide by the sum after you clip."),
        (np.abs(solved) / np.abs(solved).sum(), "You take absolute values. Set negative shares to 0."),
        (normal(nnls(means.T, mean)[0]), "You fit non-negative shares. Solve first, then set to 0."),
        (right / of_source, "Those are the weights. Multiply them by the source's shares."),
        (normal(right / of_source), "Those are weights, from joint means, scaled to 1. Average within classes."),
        (normal(right * of_source), "The source's shares are in twice: M's solution is the shares."),
        (hard, "You count hard predictions, as BBSE does. Take the mean probabilities, of source and target."),
        (normal(fit(means, mean)), "M is transposed. Column j holds the mean probabilities of class j."),
        (mean, "That is the mean of the target's probabilities. The classifier's confusions are still in it."),
    ]
    return solved.min(), right, others
