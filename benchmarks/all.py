"""The benchmarks that compare, one after the other, each in a process of its own; and a page of what they found.

`--quick` does less of everything. `--json docs/benchmarks.json` keeps what was found, with a page of the same name beside it.
"""

import argparse
import importlib
import json
import multiprocessing
import statistics
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from benchmarks import _report

NAMES = ("start_up", "data_generation", "head_training", "transferability", "adaptation", "grading", "lesson_times")


def run(name, arguments):
    # A process that was spawned would spawn a DataLoader's workers too, slowly, where one from the shell forks them.
    multiprocessing.set_start_method(None, force=True)
    module = importlib.import_module(f"benchmarks.{name}")
    return module.main(arguments) | {"about": module.__doc__.strip()}


def as_page(found):
    """docs/benchmarks.md from what the benchmarks returned, as text."""
    lines = [
        "# Benchmarks",
        "",
        f"Medians of pairs A B A B: ours, and what people would use instead; above a ratio of 1, ours takes less. Made by `{found['made_by']}`.",
    ]
    for benchmark in found["benchmarks"]:
        about, _, more = benchmark["about"].partition("\n")
        versions = ", ".join(f"{name} {number}" for name, number in benchmark["versions"].items())
        threads = f"{benchmark['threads']} thread{'s' * (benchmark['threads'] > 1)}"
        lines += ["", f"## {benchmark['name']}", "", about, *(["", " ".join(more.split())] if more else [])]
        lines += ["", f"*{benchmark['machine']}, {threads}; {versions}.*", ""]
        lines += ["| what | instead | ours | theirs | ratio | repeats |", "|---|---|---|---|---|---|"]
        for row in benchmark["rows"]:
            ours, theirs = (f"{_short(row[side])} {row['unit']}" if row[side] else "" for side in ("ours", "theirs"))
            ratio = f"{_report.ratio_of(row):.2f}" if row["theirs"] else ""
            lines.append(f"| {row['what']} | {row['peer']} | {ours} | {theirs} | {ratio} | {len(row['ours'])} |")
        if benchmark["notes"]:
            lines += ["", *(f"- {note}" for note in benchmark["notes"])]
    return "\n".join(lines) + "\n"


def _short(values):
    """The median to three figures, without an exponent."""
    value = statistics.median(values)
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def main(arguments):
    parser = argparse.ArgumentParser(prog="python -m benchmarks all", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="less of everything: to see that the figures still hold")
    parser.add_argument("--json", type=Path, help="write the figures here, and a page of them beside it")
    options = parser.parse_args(arguments)
    quick = ["--quick"] if options.quick else []
    benchmarks = []
    for name in NAMES:
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            benchmarks.append(pool.submit(run, name, quick).result())
    if options.json:
        made_by = " ".join(["python -m benchmarks all", *quick, f"--json {options.json.as_posix()}"])
        found = {"made_by": made_by, "benchmarks": benchmarks}
        options.json.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        options.json.with_suffix(".md").write_text(as_page(found), encoding="utf-8")
