"""Choose one of five sources by features of a few labelled images; judged by regret."""

from collections import Counter

import numpy as np
from sklearn.linear_model import RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tlcourse.checks.compare import misfit
from tlcourse.checks.spec import Case

ID, TITLE, POINTS, ENTRY_POINT, SECONDS = "07.4", "Choose a source", 6, "choose_source", 20
_TARGETS, _REGRET = 8, 0.08
# What each candidate is: dimensions, how far apart its classes lie (in units of their spread), and its scale.
_CANDIDATES = {
    "good": ((8, 24), 3.4, (0.02, 5)),
    "fair": ((8, 24), 1.4, (0.02, 5)),
    "loud": ((8, 24), 0.0, (60, 120)),
    "quiet": ((3, 6), 0.0, (0.001, 0.002)),
    "wide": ((100, 140), 0.4, (0.5, 2)),
}
_LURES = {
    "fair": "a source that is fairly good, where another is clearly better. Judge each by examples that it was not fitted to.",
    "loud": "a source with large features. The scale says nothing about the classes: standardise, or take a measure that does not depend on it.",
    "quiet": "a source with few and small features. Neither makes it better.",
    "wide": "a source with more dimensions than you have examples. A linear fit reproduces any labels there; judge by examples that it was not fitted to.",
}


def cases(rng):
    targets, labels, truth = [], [], []
    for _ in range(_TARGETS):
        classes = int(rng.integers(3, 6))
        train, test = (np.repeat(np.arange(classes), count) for count in (15, 80))
        kinds = [str(kind) for kind in rng.permutation(list(_CANDIDATES))]
        rows = [_candidate(rng, kind, np.concatenate([train, test])) for kind in kinds]
        targets.append([features[: len(train)] for features in rows])
        labels.append(train)
        truth.append({"kinds": kinds, "features": [features[len(train) :] for features in rows], "labels": test})
    return [Case((targets, labels), {"targets": truth})]


def verify(case, choices):
    number = len(_CANDIDATES)
    for choice in choices:
        if problem := misfit("choice", choice, (), kind="integers"):
            return problem
        if not 0 <= int(choice) < number:
            return f"choice: want the position of a candidate, 0 to {number - 1}, got {int(choice)}."
    probe = make_pipeline(StandardScaler(), RidgeClassifier(alpha=10.0))
    regrets, lures = [], []
    for choice, features, labels, held_out in zip(choices, *case.inputs, case.truth["targets"]):
        pairs = zip(features, held_out["features"])
        accuracies = [probe.fit(x, labels).score(test_x, held_out["labels"]) for x, test_x in pairs]
        regrets.append(max(accuracies) - accuracies[int(choice)])
        lures.append(held_out["kinds"][int(choice)])
    if np.mean(regrets) <= _REGRET:
        return None
    lure, count = Counter(kind for kind in lures if kind != "good").most_common(1)[0]
    return (
        f"The mean regret is {np.mean(regrets):.2f}; at most {_REGRET} passes. For {count} of {len(choices)} targets you "
        f"chose {_LURES[lure]}"
    )


def _candidate(rng, kind, labels):
    """Features of one kind of candidate for examples with these labels: (N, D)."""
    dimensions, apart, scales = _CANDIDATES[kind]
    width = int(rng.integers(dimensions[0], dimensions[1] + 1))
    means = rng.normal(size=(labels.max() + 1, width))
    means *= apart / np.linalg.norm(means, axis=1, keepdims=True)
    features = means[labels] + rng.normal(size=(len(labels), width))
    if kind == "good":
        features[:, rng.integers(width)] = rng.normal(0, 30, size=len(labels))  # drowns the others in a distance
    return (features - means.mean(axis=0)) * np.exp(rng.uniform(*np.log(scales)))
