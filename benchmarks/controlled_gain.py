"""The numbers behind lesson 02's controlled gain: which learning rate each rung chooses, and what each rung adds."""

import argparse
import statistics

import torch

from tlcourse import data, measure

LETTERS = ["letters", "letters-seed1", "letters-seed2"]
LEARNING_RATES = (1e-3, 3e-3, 1e-2)
STEPS, BATCH = 60, 10


def main(arguments):
    parser = argparse.ArgumentParser(prog="python -m benchmarks controlled_gain", description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--labels", type=int, nargs="+", default=[2, 5, 20])
    options = parser.parse_args(arguments)
    train, val, test = (data.digits(split) for split in ("train", "val", "test"))
    print(f"{STEPS} steps of {BATCH} images, {options.seeds} seeds, test block, torch {torch.__version__}")
    for per_class in options.labels:
        batches = -(-10 * per_class // BATCH)  # per epoch
        gain = measure.controlled_gain(
            LETTERS,
            train,
            val,
            test,
            per_class=per_class,
            seeds=range(options.seeds),
            learning_rates=LEARNING_RATES,
            epochs=max(1, round(STEPS / batches)),
            batch_size=BATCH,
        )
        for rung, added in gain.steps().items():
            accuracy = statistics.mean(gain.accuracy[rung])
            print(
                f"{per_class:3d} labels a class  {rung:13} adds {statistics.mean(added):+6.1f} ± {statistics.stdev(added):4.1f} "
                f"points, to {accuracy:.3f}   lr {gain.lr[rung] or '—'}"
            )
