"""The table behind lesson 01: accuracy on real digits by source, arm and number of labels.

Every arm gets the same architecture and the same six trials (three learning rates × two numbers of steps), chosen by the mean
accuracy on the validation block over the seeds; the chosen setting alone is then measured on the test block.
"""

import argparse
import itertools
import json
import statistics
import time

import matplotlib.pyplot as plt
import torch
import torchvision
from tqdm import tqdm

from tlcourse import data, models, training
from tlcourse.teach.figures import COLORS, STYLE

STEPS = (50, 100)
LEARNING_RATES = {"scratch": (1e-3, 3e-3, 1e-2), "probe": (1e-2, 3e-2, 1e-1), "fine-tune": (1e-3, 3e-3, 1e-2)}
BATCH = 16
LETTERS = ("letters", "letters-seed1", "letters-seed2")


def train_arm(arm, source, few, lr, steps, seed):
    """One network trained on a few labelled digits; `source` is ignored by scratch."""
    if arm == "scratch":
        model = models.tiny_resnet(10, seed=seed)
    else:
        model = models.load(source, num_classes=10, seed=seed)
    if arm == "probe":
        training.freeze(model, train=("fc",))
    batch = min(BATCH, len(few))
    epochs = max(1, round(steps / -(-len(few) // batch)))
    training.fit(model, few, epochs=epochs, lr=lr, batch_size=batch, seed=seed)
    return model


def measure(arm, sources, per_class, seeds):
    """Choose on val over the seeds, measure on test. `sources` are taken in turn by the seeds."""
    train, val, test = (data.digits(split) for split in ("train", "val", "test"))

    def accuracies(setting, images):
        lr, steps = setting
        result = []
        for seed in seeds:
            few = data.few_shot(train, per_class, seed=seed)
            model = train_arm(arm, sources[seed % len(sources)], few, lr, steps, seed)
            result.append(training.evaluate(model, images))
        return result

    settings = list(itertools.product(LEARNING_RATES[arm], STEPS))
    on_val = {setting: statistics.mean(accuracies(setting, val)) for setting in settings}
    best = max(on_val, key=on_val.get)
    on_test = accuracies(best, test)
    return {
        "arm": arm,
        "sources": list(sources),
        "per_class": per_class,
        "lr": best[0],
        "steps": best[1],
        "val": on_val[best],
        "test": statistics.mean(on_test),
        "sd": statistics.stdev(on_test),
        "seeds": list(seeds),
    }


def main(arguments):
    parser = argparse.ArgumentParser(prog="python -m benchmarks first_gain", description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--labels", type=int, nargs="+", default=[1, 5, 20])
    parser.add_argument("--json", help="write every row to this file")
    parser.add_argument("--figure", help="write the README's figure to this file")
    options = parser.parse_args(arguments)
    control = ("letters-no-lookalikes",)
    plan = [
        ("scratch", ("none",)),
        ("probe", LETTERS),
        ("fine-tune", LETTERS),
        ("probe", control),
        ("fine-tune", control),
    ]
    started, rows = time.perf_counter(), []
    for per_class, (arm, sources) in tqdm(list(itertools.product(options.labels, plan))):
        rows.append(measure(arm, sources, per_class, range(options.seeds)))
        row = rows[-1]
        tqdm.write(
            f"{per_class:3d} labels a class  {arm:9s} {sources[0]:22s} test {row['test']:.3f} ± {row['sd']:.3f}   "
            f"val {row['val']:.3f} at lr {row['lr']:g}, {row['steps']} steps"
        )
    versions = f"torch {torch.__version__}, torchvision {torchvision.__version__}, {torch.get_num_threads()} threads"
    print(f"{versions}, {time.perf_counter() - started:.0f} s")
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(rows, file, indent=2)
    if options.figure:
        draw(rows, options.figure)


def draw(rows, path):
    """Accuracy against labels for the three arms of the letters source."""
    plt.rcParams.update(STYLE)
    figure, axis = plt.subplots()
    for arm in LEARNING_RATES:
        chosen = [row for row in rows if row["arm"] == arm and row["sources"] != ["letters-no-lookalikes"]]
        labels, means, spread = (torch.tensor([row[key] for row in chosen]) for key in ("per_class", "test", "sd"))
        axis.fill_between(labels, means - spread, means + spread, color=COLORS[arm], alpha=0.15)
        axis.plot(labels, means, "o-", color=COLORS[arm])
        offset = {"scratch": -2, "probe": 8, "fine-tune": -14}[arm]
        axis.annotate(
            arm, (labels[0], means[0]), (-8, offset), textcoords="offset points", ha="right", color=COLORS[arm]
        )
    counts = sorted({row["per_class"] for row in rows})
    axis.set(xscale="log", xticks=counts, xticklabels=counts, xlim=(0.5 * counts[0], 1.2 * counts[-1]), ylim=(0, 1))
    axis.set(xlabel="labelled images per class (log scale)", ylabel="accuracy on unseen handwritten digits")
    axis.minorticks_off()
    figure.savefig(path)
