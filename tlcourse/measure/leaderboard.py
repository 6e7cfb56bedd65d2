"""One row of the transferability leaderboard of lesson 07: a candidate source, a target, every score, and what it was worth."""

import time

import torch
from sklearn.covariance import ledoit_wolf_shrinkage

from tlcourse import data, models, training
from tlcourse.authoring.pretrain import turn_quarters
from tlcourse.measure.transferability import h_score, knn_accuracy, leep, logme, nce, probe_accuracy, transrate

CANDIDATES = (
    "letters",
    "letters-no-lookalikes",
    "letters-blurred",
    "letters-inverted",
    "letters-five",
    "characters",
    "digits-rendered",
    "rotation",
    "shuffled",
    "fashion",
    "random",
)
SYMBOLS = "#$%&+=?@{~"  # no source of the zoo has seen them
LABELS = 100  # labelled images of a target, balanced over its classes


def _real_digits(seed):
    return (data.digits(split) for split in ("train", "val", "test"))


def _photographed(seed):
    return (data.Shift(background=0.3, seed=i)(data.digits(split)) for i, split in enumerate(("train", "val", "test")))


def _symbols(seed):
    return (data.glyphs(n, SYMBOLS, seed=70_000 + 10 * seed + i) for i, n in enumerate((900, 200, 700)))


def _turned(seed):
    return (turn_quarters(data.digits(split), i) for i, split in enumerate(("train", "val", "test")))


TARGETS = {
    "digits": _real_digits,
    "digits on photographs": _photographed,
    "symbols": _symbols,
    "how a digit is turned": _turned,
}


def target_sets(name, seed):
    """Draw a target: 100 labelled images, and its validation and test images.

    Args:
        name: a key of TARGETS.
        seed: draws the labelled images.

    Returns:
        three Images.
    """
    if name not in TARGETS:
        raise ValueError(f"name={name!r}: choose from {', '.join(TARGETS)}")
    train, val, test = TARGETS[name](seed)
    return data.few_shot(train, LABELS // len(train.classes), seed=seed), val, test


def load_candidate(name, seed=0):
    """A network of the zoo under its source's head; "random" is one with random weights, drawn by the seed."""
    return models.tiny_resnet(10, seed=500 + seed).eval() if name == "random" else models.load(name)


def score_source(network, few):
    """Every score of a source, from one pass over the target's labelled images; higher is better.

    Args:
        network: the source, with its head.
        few: Images, labelled.

    Returns:
        (dict of scores, dict of seconds that each took after the pass; "the pass" is the pass itself).
    """
    seconds = {}
    began = time.perf_counter()
    features = training.extract_features(network, few).numpy()
    with torch.inference_mode():
        probs = network.fc(torch.as_tensor(features)).softmax(dim=1).numpy()
    seconds["the pass"] = time.perf_counter() - began
    labels = few.y.numpy()
    shrinkage = ledoit_wolf_shrinkage(features)
    ways = {
        "LogME": lambda: logme(features, labels),
        "LEEP": lambda: leep(probs, labels),
        "NCE": lambda: nce(probs.argmax(axis=1), labels),
        "H-score": lambda: h_score(features, labels, shrinkage),
        "TransRate": lambda: transrate(features, labels),
        "5-NN": lambda: knn_accuracy(features, labels),
        "probe": lambda: probe_accuracy(features, labels),
    }
    scores = {}
    for name, way in ways.items():
        began = time.perf_counter()
        scores[name] = way()
        seconds[name] = time.perf_counter() - began
    return scores, seconds


def probe_test(network, few, test):
    """Test accuracy of a linear head on the frozen network's features."""
    head = training.fit_head(training.extract_features(network, few), few.y)
    return head.score(training.extract_features(network, test), test.y)


def finetune_test(name, few, val, test, seed):
    """Test accuracy after fine-tuning all of it, at the best of three rates on validation -> (accuracy, seconds of the three)."""
    classes = len(few.classes)
    network = (
        models.tiny_resnet(classes, seed=500 + seed) if name == "random" else models.load(name, classes, seed=seed)
    )
    budget = training.Budget(steps=100, learning_rates=(1e-3, 3e-3, 1e-2), batch_size=20, seed=seed)
    found = training.STRATEGIES["full"](network, few, val, budget)
    return training.evaluate(found.model, test), found.seconds
