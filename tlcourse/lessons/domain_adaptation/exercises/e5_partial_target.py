"""Adapt to a target that lacks some of the source's classes."""

import numpy as np
from scipy.spatial.distance import cdist, pdist
from scipy.special import softmax

from tlcourse.checks.compare import as_array, misfit, name_mistake
from tlcourse.checks.spec import Case
from tlcourse.checks.toolkit import disagreement

ID, TITLE, POINTS, ENTRY_POINT, SECONDS = "06.5", "A partial target", 6, "adapt_partial", 20
PARTS = {"predictions": 3, "weights": 3}
_CLASSES, _SPACE = 8, 8
_AMONG_ALL = "The target was moved to the mean of all source classes, the absent ones too. Weigh the classes."
_TAKE_TURNS = "Weights and place depend on each other, and one turn is not enough: take turns."


def cases(rng):
    worlds = [_draw_world(rng) for _ in range(3)]
    return [Case(inputs, truth, part) for part in PARTS for inputs, truth in worlds]


def verify(case, output):
    truth, shares = case.truth["truth"], case.truth["shares"]
    if type(output) is not tuple or len(output) != 2:
        return "Return two arrays: the weights of the classes, and the predicted classes."
    others = _mistakes(*case.inputs)
    if case.part == "predictions":
        if problem := misfit("predictions", output[1], truth.shape, kind="integers"):
            return problem
        right = (as_array(output[1]) == truth).mean()
        alike = (message for (_, other), message in others if disagreement(output[1], other) < 0.04)
        likely = next(alike, _TAKE_TURNS)
        return None if right >= 0.95 else f"{right:.1%} of the predictions are right, and 95% are wanted. {likely}"
    if problem := misfit("weights", output[0], shares.shape):
        return problem
    gap = abs(as_array(output[0]) - shares).max()
    mistaken = [
        (shares / shares.sum(), "The weights add up to 1. Divide by the largest, so that the largest is 1."),
        ((shares > 0) * 1.0, "A weight is the mean probability of a class, over the largest: it is not just 0 or 1."),
        (np.ones(_CLASSES), "All weights are alike. Classes that the target lacks weigh almost nothing."),
        *((weights, f"These weights are those of the first look. {message}") for (weights, _), message in others),
    ]
    problem = f"A weight is off by {gap:.2f}, and 0.15 is allowed."
    return name_mistake(output[0], mistaken, problem, 0.05) if gap > 0.15 else None


def _draw_world(rng):
    """A source, and a target that its classifier misreads, whether the target moves to the mean of all classes or not."""
    while True:
        means = 2.2 * rng.normal(size=(_CLASSES, _SPACE))
        if not 5 < pdist(means).min() < pdist(means).max() < 12:
            continue
        order, labels = rng.permutation(_CLASSES), rng.permutation(np.repeat(np.arange(_CLASSES), 40))
        absent = order[3 + cdist(means[order[:1]], means[order[3:]])[0].argmin()]
        moved = rng.uniform(0.52, 0.6) * (means[absent] - means[order[0]])  # nearer to a class that is not there
        truth = rng.permutation(np.repeat(order[:3], (100, 60, 40)))
        source, target = (means[y] + rng.normal(size=(len(y), _SPACE)) for y in (labels, truth))
        inputs, shares = (source, labels, target + moved), np.bincount(truth, minlength=_CLASSES) / 100
        tried = [answer for answer, _ in _mistakes(*inputs)]
        wrong = [(named == truth).mean() < 0.88 and abs(weights - shares).max() > 0.2 for weights, named in tried]
        if all(wrong) and (_nearest(*inputs, rounds=3)[1] == truth).mean() > 0.985:  # and no luck is needed
            return inputs, {"truth": truth, "shares": shares}


def _nearest(source, labels, target, rounds, partial=True):
    """Weights of the classes and predictions by the nearest mean, after moves to the (weighted) mean of the source."""
    means = np.stack([source[labels == c].mean(axis=0) for c in range(_CLASSES)])
    for _ in range(rounds + 1):
        probs = softmax(-cdist(target, means, "sqeuclidean") / 2, axis=1)
        weights = probs.mean(axis=0) / probs.mean(axis=0).max()
        each = weights[labels] if partial else np.ones(len(labels))
        target = target + np.average(source, axis=0, weights=each) - target.mean(axis=0)
    return weights, probs.argmax(axis=1)


def _mistakes(source, labels, target):
    """(weights, predictions) of what does not do here, with the message to each."""
    stayed = "These are the answers of the source's classifier: the target did not move."
    scaled = (target - target.mean(axis=0)) / target.std(axis=0) * source.std(axis=0) + source.mean(axis=0)
    return [
        (_nearest(source, labels, target, rounds=0), stayed),
        (_nearest(source, labels, target, rounds=1, partial=False), _AMONG_ALL),
        (_nearest(source, labels, scaled, rounds=0), _AMONG_ALL),
        (_nearest(source, labels, target, rounds=1), _TAKE_TURNS),
    ]
