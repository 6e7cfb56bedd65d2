"""The transferability leaderboard of lesson 07: candidates × targets × seeds, every score beside a probe and fine-tuning.

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
from scipy.stats import weightedtau
from tqdm import tqdm

from tlcourse.measure.leaderboard import (
    CANDIDATES,
    TARGETS,
    finetune_test,
    load_candidate,
    probe_test,
    score_source,
    target_sets,
)


def main(arguments):
    parser = argparse.ArgumentParser(prog="python -m benchmarks leaderboard", description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--targets", nargs="+", default=list(TARGETS), choices=TARGETS)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--json", type=Path, help="as tlcourse/teach/results/leaderboard.json")
    options = parser.parse_args(arguments)
    started = time.perf_counter()
    cells = list(itertools.product(options.targets, CANDIDATES))
    plan = [(*cell, seed) for cell in cells for seed in range(options.seeds)]
    with multiprocessing.get_context("spawn").Pool(options.jobs, torch.set_num_threads, (1,)) as pool:
        found = dict(zip(plan, tqdm(pool.imap(_row, plan), total=len(plan), smoothing=0)))
    rows = [
        _columns(target, source, [found[target, source, seed] for seed in range(options.seeds)])
        for target, source in cells
    ]
    for target in options.targets:
        board = [row for row in rows if row["target"] == target]
        print(target)
        for outcome in ("frozen", "fine-tuned"):
            best = [_mean(row[outcome]) for row in board]
            taus = {
                name: weightedtau([_mean(row["scores"][name]) for row in board], best)[0] for name in board[0]["scores"]
            }
            print(f"  τ with {outcome:11}" + "  ".join(f"{name} {tau:+.2f}" for name, tau in taus.items()))
        for row in sorted(board, key=lambda row: -_mean(row["fine-tuned"])):
            print(f"    {row['source']:24}frozen {_mean(row['frozen']):.3f}  fine-tuned {_mean(row['fine-tuned']):.3f}")
    print(f"{len(plan)} rows, {options.jobs} processes, {time.perf_counter() - started:.0f} s")
    if options.json:
        table = {
            "made_by": "python -m benchmarks leaderboard --json tlcourse/teach/results/leaderboard.json",
            "torch": torch.__version__,
            "seeds": list(range(options.seeds)),
        }
        lines = ",\n  ".join(json.dumps(row) for row in rows)
        options.json.write_text(f'{json.dumps(table)[:-1]},\n"rows": [\n  {lines}\n]}}\n', encoding="utf-8")


def _row(task):
    target, source, seed = task
    few, val, test = target_sets(target, seed)
    network = load_candidate(source, seed)
    scores, seconds = score_source(network, few)
    accuracy, tuning = finetune_test(source, few, val, test, seed)
    return {
        "scores": scores,
        "frozen": probe_test(network, few, test),
        "fine-tuned": accuracy,
        "seconds": seconds | {"fine-tuning": tuning},
    }


def _columns(target, source, runs):
    """One row of the leaderboard: lists over the seeds, and the mean of the seconds."""
    return {
        "target": target,
        "source": source,
        "frozen": [round(run["frozen"], 4) for run in runs],
        "fine-tuned": [round(run["fine-tuned"], 4) for run in runs],
        "scores": {name: [round(run["scores"][name], 4) for run in runs] for name in runs[0]["scores"]},
        "seconds": {name: round(_mean([run["seconds"][name] for run in runs]), 4) for name in runs[0]["seconds"]},
    }


def _mean(numbers):
    return sum(numbers) / len(numbers)
