"""Tell the four kinds of mismatch apart."""

from collections import Counter

import numpy as np
from scipy.spatial.distance import pdist

from tlcourse.checks.spec import Case

ID, TITLE, POINTS, ENTRY_POINT, SECONDS = "05.5", "Which mismatch?", 6, "name_mismatches", 30
PARTS = {"concept": 2, "support": 2, "label": 1, "covariate": 1}
_TRIALS, _CLASSES, _WIDTH = 6, 4, 6
_LOOK_AT = {
    "concept": "Only names changed: a classifier of the source misreads the labelled part of two classes altogether.",
    "support": "Many unlabelled points lie far from every class of the source. The labelled part does not.",
    "label": "Each class lies where it lay. The mean of all features moves with the shares: look at each class.",
    "covariate": "All classes moved. Many points are far from the source, but in every class, and in the labelled part too.",
}


def cases(rng):
    sources, targets, orders = zip(*(_trial(rng) for _ in range(_TRIALS)))
    return [Case((list(sources), list(targets)), {"orders": orders}, kind) for kind in PARTS]


def verify(case, answers):
    kind = case.part
    for names in answers:
        is_list = type(names) in (list, tuple) and all(type(name) is str for name in names)
        if not is_list or sorted(names) != sorted(PARTS):
            return f"Return a list of four names: {', '.join(sorted(PARTS))}, each once."
    named = [names[order.index(kind)] for names, order in zip(answers, case.truth["orders"])]
    missed = [name for name in named if name != kind]
    if not missed:
        return None
    taken = Counter(missed).most_common(1)[0][0]
    return (
        f"{kind}: named in {named.count(kind)} of {len(named)} trials, most often taken for {taken}. {_LOOK_AT[kind]}"
    )


def _trial(rng):
    """A source, one target of each kind, and the order of the kinds. Classes are Gaussian, with a spread of 1 to begin with."""
    apart = np.zeros(1)
    while apart.min() < 5 or apart.max() > 9.5:
        means = 2 * rng.normal(size=(_CLASSES + 1, _WIDTH))  # the last is the new class of the support mismatch
        apart = pdist(means)
    order = [str(kind) for kind in rng.permutation(list(PARTS))]
    scale = 10 ** rng.uniform(-1, 1)
    labels = rng.permutation(np.repeat(np.arange(_CLASSES), 100))
    source = {"features": scale * (means[labels] + rng.normal(size=(400, _WIDTH))), "labels": labels}
    return source, [_target(rng, kind, means, scale) for kind in order], order


def _target(rng, kind, means, scale):
    shares = rng.permutation([0.8, 0.1, 0.06, 0.04]) if kind == "label" else np.full(_CLASSES, 0.25)
    labels = rng.choice(_CLASSES, size=400, p=shares)
    few = rng.permutation(np.repeat(np.arange(_CLASSES), 20))
    if kind == "support":
        labels[rng.permutation(400)[:160]] = _CLASSES
    spread = 1.15 if kind == "label" else 1
    parts = [means[y] + spread * rng.normal(size=(len(y), _WIDTH)) for y in (labels, few)]
    if kind == "covariate":
        centre, stretch, shift = means[:_CLASSES].mean(axis=0), rng.uniform(1.3, 1.5), rng.normal(size=_WIDTH)
        shift *= rng.uniform(1.6, 2) / np.linalg.norm(shift)
        parts = [centre + stretch * (points - centre) + shift for points in parts]
    if kind == "concept":
        first, second = rng.permutation(_CLASSES)[:2]
        few = np.select([few == first, few == second], [second, first], few)
    return {"features": scale * parts[0], "few_features": scale * parts[1], "few_labels": few}
