"""Lesson 06's table, into the file that the lesson reads: every method of adaptation on every task and target, over seeds.

Each process computes on one thread. An hour or more on two cores.
"""

import argparse
import itertools
import json
import multiprocessing
import os
import shlex
from pathlib import Path

import torch
from tqdm import tqdm

from tlcourse.measure.adaptation import METHODS, TARGETS, TASKS, measure_adaptations


def main(arguments):
    parser = argparse.ArgumentParser(prog="python -m benchmarks adaptation_table", description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), choices=TASKS)
    parser.add_argument("--targets", nargs="+", default=TARGETS, choices=TARGETS)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--json", type=Path, help="as tlcourse/teach/results/adaptation.json")
    options = parser.parse_args(arguments)
    seeds = list(range(options.first, options.first + options.seeds))
    cells = list(itertools.product(options.tasks, options.targets))
    plan = [(*cell, seed) for cell in cells for seed in seeds]
    with multiprocessing.get_context("spawn").Pool(options.jobs, torch.set_num_threads, (1,)) as pool:
        found = dict(zip(plan, tqdm(pool.imap(_measure, plan), total=len(plan), smoothing=0)))
    rows = []
    for task, target in cells:
        print(f"{task}, {target}")
        for method in METHODS:
            runs = [found[task, target, seed][method] for seed in seeds]
            row = {name: [round(run[name], 4) for run in runs] for name in runs[0]}
            rows.append({"task": task, "target": target, "method": method} | row)
            accuracy = torch.tensor(row["accuracy"])
            spread = accuracy.std().item() if len(seeds) > 1 else float("nan")
            print(f"  {method:28}{accuracy.mean():7.3f} ± {spread:.3f}")
    if options.json:
        table = {
            "made_by": shlex.join(["python", "-m", "benchmarks", "adaptation_table", *arguments]),
            "torch": torch.__version__,
            "seeds": seeds,
        }
        lines = ",\n  ".join(json.dumps(row, ensure_ascii=False) for row in rows)
        head = json.dumps(table, ensure_ascii=False)[:-1]
        options.json.write_text(f'{head},\n"rows": [\n  {lines}\n]}}\n', encoding="utf-8")


def _measure(cell):
    return measure_adaptations(*cell)
