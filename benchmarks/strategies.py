"""The equal-budget table of lesson 03: every strategy × labels × steps × seeds, into the file that the lesson reads.

Each process computes on one thread, so seconds compare within the table.
"""

import argparse
import itertools
import json
import multiprocessing
import os
import time
from pathlib import Path

import torch
from tqdm import tqdm

from tlcourse.measure.strategy_table import BATCH, LEARNING_RATES, SHIFTS, measure_strategy

LABELS, STEPS = (20, 5, 2), (100, 50, 20)


def main(arguments):
    parser = argparse.ArgumentParser(prog="python -m benchmarks strategies", description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--labels", type=int, nargs="+", default=LABELS)
    parser.add_argument("--steps", type=int, nargs="+", default=STEPS)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument(
        "--json", type=Path, help="write the results to this file, as tlcourse/teach/results/strategies.json"
    )
    options = parser.parse_args(arguments)
    started = time.perf_counter()
    cells = list(itertools.product(options.labels, options.steps, LEARNING_RATES))
    plan = [(*cell, seed) for cell in cells for seed in range(options.seeds)]
    rows = {cell: [] for cell in cells}
    with multiprocessing.get_context("spawn").Pool(options.jobs, torch.set_num_threads, (1,)) as pool:
        for task, row in zip(plan, tqdm(pool.imap(_measure, plan), total=len(plan), smoothing=0)):
            rows[task[:3]].append(row)
            if len(rows[task[:3]]) == options.seeds:
                tqdm.write(_describe(task[:3], rows[task[:3]]))
    table = {
        "made_by": "python -m benchmarks strategies --json tlcourse/teach/results/strategies.json",
        "torch": torch.__version__,
        "batch": BATCH,
        "seeds": list(range(options.seeds)),
        "shifts": {name: str(shift) for name, shift in SHIFTS.items()},
        "cells": [_columns(cell, found) for cell, found in rows.items()],
    }
    print(f"{len(plan)} runs of four trials, {options.jobs} processes, {time.perf_counter() - started:.0f} s")
    if options.json:
        lines = ",\n  ".join(json.dumps(cell) for cell in table.pop("cells"))
        head = json.dumps(table)[:-1]
        options.json.write_text(f'{head},\n"cells": [\n  {lines}\n]}}\n', encoding="utf-8")


def _measure(task):
    per_class, steps, strategy, seed = task
    return measure_strategy(strategy, per_class=per_class, steps=steps, seed=seed)


def _columns(cell, rows):
    """One cell of the table: a list over the seeds for each accuracy, one number for what does not depend on the seed."""
    labels, steps, strategy = cell
    lists = {
        name: [None if row[name] is None else round(row[name], 4) for row in rows]
        for name in ("val", "test", *SHIFTS, "source", "lr")
    }
    return {
        "strategy": strategy,
        "labels": labels,
        "steps": steps,
        **lists,
        "trained_parameters": rows[0]["trained_parameters"],
        "megabytes": round(rows[0]["megabytes"], 2),
        "seconds": round(sum(row["seconds"] for row in rows) / len(rows), 2),
    }


def _describe(cell, rows):
    labels, steps, strategy = cell
    means = {
        name: sum(row[name] for row in rows) / len(rows)
        for name in ("test", *SHIFTS, "source")
        if rows[0][name] is not None
    }
    text = "  ".join(f"{name} {value:.3f}" for name, value in means.items())
    return f"{labels:3d} labels {steps:4d} steps  {strategy:19s} {text}  {rows[0]['megabytes']:.1f} MB"
