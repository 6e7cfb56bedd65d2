"""The time of every lesson, and its peak memory, into the file that `tlcourse release` reads the times of README and lessons from.

Each lesson runs alone, with two threads, as a learner's laptop with two cores would; imports included. Run it on a quiet
machine. A lesson with a claim that does not hold is an error.
"""

import argparse
import json
import statistics
from pathlib import Path

from tqdm import tqdm

from benchmarks import _report
from tlcourse.course import select_lessons
from tlcourse.course.run import execute


def main(arguments):
    parser = argparse.ArgumentParser(prog="python -m benchmarks lesson_times", description=__doc__)
    parser.add_argument("lessons", nargs="*", help="such as 01; all if none is given")
    parser.add_argument("--repeats", type=int, default=1, help="the median of so many runs")
    parser.add_argument("--json", type=Path, help="as docs/lesson_times.json; lessons that are not run stay in it")
    parser.add_argument("--quick", action="store_true", help="the first lesson alone")
    options = parser.parse_args(arguments)
    known = json.loads(options.json.read_text()) if options.json and options.json.exists() else {}
    seconds, peak = dict(known.get("seconds", {})), dict(known.get("peak_mib", {}))
    rows = []
    for path in tqdm(select_lessons(["00"] if options.quick else options.lessons), disable=None):
        runs = [execute(path, threads=2)[0] for _ in range(options.repeats)]
        for run in runs:
            if run.error:
                raise SystemExit(f"{path.stem}: {run.error}")
        runs.sort(key=lambda run: run.seconds)
        middle = runs[len(runs) // 2]
        seconds[path.stem], peak[path.stem] = round(middle.seconds, 1), round(middle.peak_mib or 0)
        rows.append(_report.row(path.stem, "", [run.seconds for run in runs], []))
        rows.append(_report.row(f"{path.stem}, peak memory", "", [run.peak_mib or 0 for run in runs], [], unit="MiB"))
    rows.append(_report.row("together", "", [sum(statistics.median(r["ours"]) for r in rows if r["unit"] == "s")], []))
    result = _report.report("lesson_times", rows, ["torchvision"], threads=2)
    if options.json:
        made_by = "python -m benchmarks lesson_times --json docs/lesson_times.json"
        versions = result["versions"]
        table = {"made_by": made_by, "threads": 2, "versions": versions, "seconds": seconds, "peak_mib": peak}
        options.json.write_text(json.dumps(table, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return result
