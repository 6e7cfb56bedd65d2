"""What experiments share: options, runs over a pool of processes, and a JSON file with one row of the table a line."""

import argparse
import json
import multiprocessing
import os
import shlex
import sys
from pathlib import Path

import torch
from tqdm import tqdm


def read_options(module, about, *, seeds):
    """Read the command line of an experiment.

    Args:
        module: the experiment's, as `python -m` takes it.
        about: what --help says of it.
        seeds: how many there are by default.

    Returns:
        argparse.Namespace: seeds, a list of int; jobs, how many processes; json, the Path to write; made_by, the command.
    """
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=about)
    parser.add_argument("--seeds", type=int, default=seeds, help="how many (default: %(default)s)")
    parser.add_argument("--first", type=int, default=0, help="the first seed (default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes (default: one for each core)")
    parser.add_argument("--json", type=Path, default="results.json", help="file to write (default: %(default)s)")
    options = parser.parse_args()
    if options.seeds < 1 or options.jobs < 1:
        parser.error("--seeds, --jobs: want at least 1")
    if not options.json.parent.is_dir():  # found out before the work, not after
        parser.error(f"--json: there is no folder {options.json.parent}; make it first")
    options.seeds = list(range(options.first, options.first + options.seeds))
    options.made_by = shlex.join(["python", "-m", module, *sys.argv[1:]])
    return options


def measure_cells(measure, cells, seeds, jobs):
    """Call measure(**cell, seed=seed) for all cells and seeds, in processes that compute on one thread each.

    Args:
        measure: a function of a module, which the processes import.
        cells: list of dicts.
        seeds: list of int.
        jobs: how many processes.

    Returns:
        list with an entry for each cell: the list of what measure returned, one for each seed.
    """
    plan = [(measure, cell | {"seed": seed}) for cell in cells for seed in seeds]
    with multiprocessing.get_context("spawn").Pool(jobs, torch.set_num_threads, (1,)) as pool:
        found = iter(list(tqdm(pool.imap(_call, plan), total=len(plan), smoothing=0)))
        pool.close()
        pool.join()  # processes that end by themselves leave nothing behind
    return [[next(found) for _ in seeds] for _ in cells]


def _call(task):
    measure, arguments = task
    return measure(**arguments)


def as_columns(runs, digits=4):
    """One dict of numbers for each seed -> dict of lists, rounded, with None where a run has None."""
    return {name: [None if run[name] is None else round(run[name], digits) for run in runs] for name in runs[0]}


def write_table(options, table):
    """Write a table to options.json, a line for each row, so that a changed row is a changed line.

    Args:
        options: as read_options returns.
        table: dict whose last entry is the list of rows. The command and the version of torch are put before it.
    """
    *head, (name, rows) = table.items()
    head = json.dumps({"made_by": options.made_by, "torch": torch.__version__, **dict(head)}, ensure_ascii=False)
    lines = ",\n  ".join(json.dumps(row, ensure_ascii=False) for row in rows)
    options.json.write_text(f'{head[:-1]},\n"{name}": [\n  {lines}\n]}}\n', encoding="utf-8")
    print(f"{options.json}: {len(rows)} rows")
