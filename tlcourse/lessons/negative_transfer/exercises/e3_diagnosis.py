"""Name the cause of each of four runs that ended in negative transfer."""

import numpy as np

from tlcourse.checks.spec import Case

ID, TITLE, POINTS, ENTRY_POINT, SECONDS = "04.3", "Diagnosis", 6, "diagnose", 20
PARTS = {"features": 1, "labels": 2, "inputs": 1, "algorithm": 2}

_CLASSES, _DIMENSIONS = 5, 12
_USEFUL = "A classifier trained on the target's own labels does well in these features, so they are not the trouble."
_UNUSED = "The target lacks a class here, but the predictions do not fall on it."
# the name given → the cause → what to say
_MISTAKEN = {
    "features": dict.fromkeys(PARTS, _USEFUL),
    "labels": {
        "features": "In useless features every classifier contradicts the labels. First ask whether they tell the target's classes apart.",
        "inputs": "A shift moves the source out of the target's classes, so a classifier contradicts right labels too. Look for the shift first.",
        "algorithm": "In the classes that both have, a classifier trained on the target agrees with the source's labels.",
    },
    "inputs": {
        "features": "An unrelated source looks different as well. First ask whether its features tell the target's classes apart.",
        "labels": "Within the classes that both have, nothing tells source and target apart. Leave out the source's other classes.",
        "algorithm": "The source has classes that the target lacks, and these look different. Compare the classes that both have.",
    },
    "algorithm": dict.fromkeys(PARTS, _UNUSED) | {"features": "No prediction falls on a class that the target lacks."},
}


def cases(rng):
    for part in PARTS:
        for _ in range(2):
            causes = [list(PARTS)[i] for i in rng.permutation(4)]
            yield Case(([_draw_run(rng, cause) for cause in causes],), {"causes": causes}, part)


def verify(case, output):
    causes, part = case.truth["causes"], case.part
    if type(output) not in (list, tuple) or len(output) != 4 or any(type(name) is not str for name in output):
        return "Return a list of four names, each a str."
    if unknown := [name for name in output if name not in PARTS]:
        return f"{unknown[0]!r:.40} is no cause. The names are {', '.join(PARTS)}."
    wrong = [(name, cause) for name, cause in zip(output, causes) if name != cause and part in (name, cause)]
    if not wrong:
        return None
    name, cause = min(wrong, key=lambda pair: pair[1] != part)
    return f"A run is named {name} and is not. {_MISTAKEN[name][cause]}"


def _draw_run(rng, cause):
    centres = rng.normal(0, 1.3, size=(_CLASSES, _DIMENSIONS))
    order = rng.permutation(_CLASSES)
    present = order[: {"features": 5, "algorithm": 2}.get(cause, 4)]
    source_y, target_y = _draw_labels(rng, 250, np.arange(_CLASSES)), _draw_labels(rng, 150, present)
    source_x = centres[source_y] + rng.normal(size=(250, _DIMENSIONS))
    target_x = centres[target_y] + rng.normal(size=(150, _DIMENSIONS))
    truth = _draw_labels(rng, 300, present)
    predicted = np.where(rng.uniform(size=300) < 0.25, rng.choice(present, size=300), truth)
    lost = rng.uniform(size=300) < 0.02
    if cause == "features":
        target_x = rng.normal(0, 1.6, size=(150, _DIMENSIONS))
        predicted = rng.integers(_CLASSES, size=300)
    if cause in ("features", "inputs"):
        offset = rng.normal(size=_DIMENSIONS)
        source_x = source_x * rng.uniform(0.7, 1.4, size=_DIMENSIONS) + 14 * offset / np.linalg.norm(offset)
    if cause == "labels":  # three classes that the target has go by each other's names
        names = np.arange(_CLASSES)
        names[present[:3]] = present[[1, 2, 0]]
        source_y, predicted = names[source_y], np.where(rng.uniform(size=300) < 0.5, names[predicted], predicted)
    if cause == "algorithm":
        lost = rng.uniform(size=300) < 0.35
    if len(present) < _CLASSES:
        predicted[lost] = rng.choice(order[len(present) :], size=lost.sum())
    slips = rng.uniform(size=250) < 0.04
    source_y = np.where(slips, rng.integers(_CLASSES, size=250), source_y)
    return dict(source_x=source_x, source_y=source_y, target_x=target_x, target_y=target_y, predicted=predicted)


def _draw_labels(rng, n, classes):
    """Labels with every class in them, some more often than others."""
    share = rng.uniform(0.7, 1.3, size=len(classes))
    counts = np.maximum(1, np.round(n * share / share.sum())).astype(int)
    counts[0] += n - counts.sum()
    return rng.permutation(np.repeat(classes, counts))
