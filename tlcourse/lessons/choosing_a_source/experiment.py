"""The leaderboard of sources: every candidate on every target, with its scores and what it was worth.

`python -m tlcourse.lessons.choosing_a_source.experiment` makes results.json. Each process computes on one thread, so
seconds compare within the table.
"""

import itertools
import statistics
import time

import torch
from sklearn.covariance import ledoit_wolf_shrinkage

from tlcourse import data, models, training
from tlcourse.authoring.table import as_columns, measure_cells, read_options, write_table
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


def _digits(change):
    return [change(data.digits(split), i) for i, split in enumerate(("train", "val", "test"))]


TARGETS = {
    "digits": lambda seed: _digits(lambda images, i: images),
    "digits on photographs": lambda seed: _digits(lambda images, i: data.Shift(background=0.3, seed=i)(images)),
    "symbols": lambda seed: [
        data.glyphs(n, SYMBOLS, seed=70_000 + 10 * seed + i) for i, n in enumerate((900, 200, 700))
    ],
    "how a digit is turned": lambda seed: _digits(data.turn_quarters),
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


def measure_source(target, source, seed):
    """All that one row has of one seed -> dict: "frozen" and "fine-tuned" accuracy, "scores", "seconds" (see score_source)."""
    few, val, test = target_sets(target, seed)
    network = load_candidate(source, seed)
    scores, seconds = score_source(network, few)
    accuracy, tuning = finetune_test(source, few, val, test, seed)
    return {
        "frozen": probe_test(network, few, test),
        "fine-tuned": accuracy,
        "scores": scores,
        "seconds": seconds | {"fine-tuning": tuning},
    }


def main():
    options = read_options(__spec__.name, __doc__, seeds=3)
    cells = [{"target": target, "source": source} for target, source in itertools.product(TARGETS, CANDIDATES)]
    rows = []
    for cell, runs in zip(cells, measure_cells(measure_source, cells, options.seeds, options.jobs)):
        reached = as_columns([{name: run[name] for name in ("frozen", "fine-tuned")} for run in runs])
        scores = as_columns([run["scores"] for run in runs])
        seconds = {name: round(statistics.mean(run["seconds"][name] for run in runs), 4) for name in runs[0]["seconds"]}
        rows.append(cell | reached | {"scores": scores, "seconds": seconds})
    write_table(options, {"seeds": options.seeds, "rows": rows})


if __name__ == "__main__":
    main()
