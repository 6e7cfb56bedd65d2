"""Lesson 04's two tables, into the file that the lesson reads: the gap over sources × wrong labels × target labels, and causes × remedies.

Each process computes on one thread.
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

from tlcourse.measure.causes import CAUSES, REMEDIES, SOURCES, measure_alignment, measure_remedies, read_jointly

WRONG = (0.0, 0.25, 0.5, 0.75, 1.0)
LABELS = (1, 2, 5, 10, 20)


def main(arguments):
    parser = argparse.ArgumentParser(prog="python -m benchmarks negative_transfer", description=__doc__)
    parser.add_argument("--surface-seeds", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=20, help="of the four causes")
    parser.add_argument("--remedy-seeds", type=int, default=10, help="of the remedies; at most --seeds")
    parser.add_argument("--first", type=int, default=0, help="the first seed of both")
    parser.add_argument("--causes", nargs="+", default=CAUSES, choices=CAUSES)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--json", type=Path, help="as tlcourse/teach/results/negative_transfer.json")
    options = parser.parse_args(arguments)
    started = time.perf_counter()
    first = options.first
    counts = {"seeds": options.seeds, "remedy_seeds": options.remedy_seeds, "surface_seeds": options.surface_seeds}
    table = {
        "made_by": "python -m benchmarks negative_transfer --json tlcourse/teach/results/negative_transfer.json",
        "torch": torch.__version__,
    } | {name: list(range(first, first + count)) for name, count in counts.items()}
    with multiprocessing.get_context("spawn").Pool(options.jobs, torch.set_num_threads, (1,)) as pool:
        plan = [(cause, seed, None) for cause in options.causes for seed in table["remedy_seeds"]]
        rest = table["seeds"][options.remedy_seeds :]
        plan += [(cause, seed, ["nothing"]) for cause in options.causes for seed in rest]
        runs = zip(plan, tqdm(pool.imap(_remedies, plan), total=len(plan), smoothing=0))
        found = {(cause, seed): gaps for (cause, seed, _), gaps in runs}
        table["harm"] = {
            cause: _rounded([found[cause, seed]["nothing"] for seed in table["seeds"]]) for cause in options.causes
        }
        table["remedies"] = {
            cause: {
                remedy: _rounded([found[cause, seed][remedy] for seed in table["remedy_seeds"]]) for remedy in REMEDIES
            }
            for cause in options.causes
        }
        aligned = list(tqdm(pool.imap(measure_alignment, table["remedy_seeds"]), total=options.remedy_seeds))
        table["alignment"] = {name: _rounded([gaps[name] for gaps in aligned]) for name in aligned[0]}
        cells = [*itertools.product(SOURCES, WRONG, LABELS), *((None, 0.0, labels) for labels in LABELS)]
        plan = [(*cell, seed) for cell in cells for seed in table["surface_seeds"]]
        read = dict(zip(plan, tqdm(pool.imap(_point, plan), total=len(plan), smoothing=0)))

    def accuracies(*cell):
        return _rounded([read[*cell, seed] for seed in table["surface_seeds"]], 4)

    table["without"] = {str(labels): accuracies(None, 0.0, labels) for labels in LABELS}
    table["surface"] = [
        {"source": source, "wrong": wrong, "labels": labels, "with": accuracies(source, wrong, labels)}
        for source, wrong, labels in itertools.product(SOURCES, WRONG, LABELS)
    ]
    for cause, gaps in table["harm"].items():
        print(
            f"{cause}: {sum(gaps) / len(gaps):+.1f} points, above zero in {sum(gap > 0 for gap in gaps)} of {len(gaps)} runs"
        )
    for cause, rows in table["remedies"].items():
        for remedy, gaps in rows.items():
            if gaps is not None:
                mean, harmed = sum(gaps) / len(gaps), sum(gap > 0 for gap in gaps)
                print(f"{cause:30}{remedy:42}{mean:+7.1f}  above zero in {harmed} of {len(gaps)}")
    print(f"{options.jobs} processes, {time.perf_counter() - started:.0f} s")
    if options.json:
        lines = ",\n  ".join(json.dumps(cell, ensure_ascii=False) for cell in table.pop("surface"))
        head = json.dumps(table, ensure_ascii=False)[:-1]
        options.json.write_text(f'{head},\n"surface": [\n  {lines}\n]}}\n', encoding="utf-8")


def _remedies(task):
    cause, seed, only = task
    return measure_remedies(cause, seed, only)


def _point(task):
    source, wrong, labels, seed = task
    return read_jointly(source, wrong=wrong, per_class=labels, seed=seed)


def _rounded(numbers, digits=2):
    return None if numbers[0] is None else [round(number, digits) for number in numbers]
