"""Fix a script that ranks sources by LEEP and measures the best one by a probe."""

from itertools import product

import numpy as np
import torch
from scipy.special import softmax

from tlcourse.checks.compare import as_array, differs, explain, misfit, name_mistake
from tlcourse.checks.spec import Case
from tlcourse.lessons.choosing_a_source.exercises.e1_leep_by_image import expect
from tlcourse.lessons.choosing_a_source.observers import SOURCES, build_sources
from tlcourse.training import extract_features

ID, TITLE, POINTS, ENTRY_POINT, SECONDS = "07.5", "Bug clinic", 6, "rank_sources", 10
PARTS = {"ranking": 3, "accuracy": 3}
_CLASSES, _PIXELS = 3, 16
_NORMAL = {
    "softmax": lambda z: softmax(z, axis=1),
    "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
    "columns": lambda z: softmax(z, axis=0),
    "exp": np.exp,
}
_RIGHT = "train", "softmax"  # what is scored, and how
_SCORED = {
    "test": "You score the sources on the test images. The choice is made with the training images; test only reports.",
    "exp": "The exponentials of the logits are no probabilities: a row does not sum to 1. Take the softmax.",
    "sigmoid": "A sigmoid of each logit makes rows that do not sum to 1. Take the softmax.",
    "columns": "The softmax runs over the images. The probabilities of each image sum to 1: dim=1.",
}
_MEASURED = {
    "own statistics": "The test features are standardised with their own statistics. Take those of the training features.",
    "positions": "You compare positions of classes with class numbers. Position i stands for the i-th of the class numbers.",
    "not scaled": "The features are not standardised.",
    "train": "That is the accuracy on the training images.",
}


def cases(rng):
    while True:
        seeds, *images = _inputs(rng)
        seen = {name: _look(network, *images) for name, network in build_sources(seeds, images[0]).items()}
        if _tells_apart(seen):
            return [Case((seeds, *images), {"seen": seen}, part) for part in PARTS]


def verify(case, output):
    seen = case.truth["seen"]
    if type(output) is not tuple or len(output) != 3:
        return "Return three things: the names, their scores, one accuracy."
    names, scores, accuracy = output
    if type(names) is not list or any(type(name) is not str for name in names) or sorted(names) != sorted(seen):
        return f"names: want a list of the {len(seen)} names of the sources."
    if case.part == "ranking":
        return _verify_ranking(seen, names, scores)
    return _verify_accuracy(seen[names[0]]["accuracies"], accuracy, len(case.inputs[4]))


def _verify_ranking(seen, names, scores):
    if problem := misfit("scores", scores, (len(names),)):
        return problem
    scored = {key: np.array([seen[name]["scores"][key] for name in names]) for key in seen[names[0]]["scores"]}
    others = [(scored[key], _SCORED["test" if key[0] == "test" else key[1]]) for key in scored if key != _RIGHT]
    problem = "The scores are not LEEP on the training images, in the order of the names."
    if (as_array(scores) > 0).any():
        problem = "A score is above 0. LEEP is a mean logarithm of probabilities, so at most 0."
    if problem := explain("scores", scores, scored[_RIGHT], others, 1e-3, problem):
        return problem
    if names == _order(seen)[::-1]:
        return "The worst source comes first. A higher LEEP is better: sort in descending order."
    return None if names == _order(seen) else "The sources are not in the order of their scores."


def _verify_accuracy(accuracies, accuracy, images):
    room = 1.5 / images  # an image may lie on a border
    right = accuracies["right"]
    problem = misfit("accuracy", accuracy, ())
    if problem or not differs("", accuracy, right, room):
        return problem
    problem = (
        "The accuracy is not that of the nearest class mean, for the source that you rank first, on the test images."
    )
    if not differs("", accuracy, 100 * right, 100 * room):
        problem = "The accuracy is a percentage. Return a number from 0 to 1."
    return name_mistake(accuracy, [(accuracies[mistake], message) for mistake, message in _MEASURED.items()], problem)


def _inputs(rng):
    """Images of a target whose class numbers have gaps; the classes of the test images are not in balance."""
    seeds = {name: int(rng.integers(2**31)) for name in SOURCES}
    numbers = np.sort(rng.permutation(np.arange(4, 12))[:_CLASSES])
    looks = rng.uniform(0, 1, size=(_CLASSES, 3, _PIXELS, _PIXELS))
    pairs = []
    for counts in ((12, 12, 12), (36, 6, 6)):
        index = rng.permutation(np.repeat(rng.permutation(_CLASSES), counts))
        images = 0.3 * looks[index] + 0.7 * rng.uniform(0, 1, size=(len(index), 3, _PIXELS, _PIXELS))
        pairs += [torch.tensor(images, dtype=torch.float32), torch.tensor(numbers[index])]
    return seeds, *pairs


def _look(network, x, y, test_x, test_y):
    """What the judge knows of one source: its scores and its probe's accuracies, right and with each mistake."""
    features = {"train": extract_features(network, x), "test": extract_features(network, test_x)}
    with torch.no_grad():
        logits = {part: network.fc(values).double().numpy() for part, values in features.items()}
    labels = {"train": y.numpy(), "test": test_y.numpy()}
    index = {part: np.unique(values, return_inverse=True)[1] for part, values in labels.items()}
    scores = {
        (part, name): float(np.log(expect(turn(logits[part]), index[part])).mean())
        for part, (name, turn) in product(logits, _NORMAL.items())
    }
    numbers = {part: values.double().numpy() for part, values in features.items()}
    return {"scores": scores, "accuracies": _probe_accuracies(numbers, labels)}


def _probe_accuracies(features, labels):
    """Accuracy of the nearest class mean on standardised features: right, and with each likely mistake."""
    classes = np.unique(labels["train"])

    def scaled(part, by):
        return (features[part] - features[by].mean(axis=0)) / features[by].std(axis=0, ddof=1)

    def nearest(train, test):
        means = np.stack([train[labels["train"] == label].mean(axis=0) for label in classes])
        return np.square(test[:, None] - means).sum(axis=2).argmin(axis=1)

    train = scaled("train", "train")
    own = nearest(train, scaled("test", "train"))
    return {
        "right": (classes[own] == labels["test"]).mean(),
        "own statistics": (classes[nearest(train, scaled("test", "test"))] == labels["test"]).mean(),
        "positions": (own == labels["test"]).mean(),
        "not scaled": (classes[nearest(features["train"], features["test"])] == labels["test"]).mean(),
        "train": (classes[nearest(train, train)] == labels["train"]).mean(),
    }


def _order(seen):
    return sorted(seen, key=lambda name: seen[name]["scores"][_RIGHT], reverse=True)


def _tells_apart(seen):
    """Whether every mistake changes what the judge sees, by more than rounding may."""
    best, *_ = order = _order(seen)
    if min(-np.diff([seen[name]["scores"][_RIGHT] for name in order])) < 0.005:
        return False
    for name, source in seen.items():
        right, accuracies = source["scores"][_RIGHT], source["accuracies"]
        if any(abs(score - right) < 0.02 for key, score in source["scores"].items() if key != _RIGHT):
            return False
        mistakes = _MEASURED if name == best else ("own statistics", "positions")
        if any(abs(accuracies[mistake] - accuracies["right"]) < 0.06 for mistake in mistakes):
            return False
    return True
