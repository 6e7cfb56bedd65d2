"""Lessons executed again under other seeds: how often each claim holds, by what margin, and a page that shows it."""

import hashlib
import json
import math
import os
import platform
import statistics
import tempfile
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import jinja2
import nbformat

from tlcourse.course.run import Execution, execute

FIRM = 3  # standard deviations of its runs that a claim's mean margin should be at least
WEAK = 0.95  # a claim that holds in a smaller share of the runs is in need of mending: 19 of 20 is enough


def execute_seeds(paths, seeds, *, jobs=1, dask=None, record=None, on_done=None):
    """Execute every lesson under every seed.

    Args:
        paths: the lessons' notebooks.
        seeds: ints, each a TLCOURSE_SEED.
        jobs: how many lessons at a time; the cores are shared out among them.
        dask: address of a Dask scheduler whose workers do it instead, one thread a lesson; they need tlcourse.
        record: file to which every execution is added as a JSON line. What is in it already, of the same code, seed and
            versions, is not run again; an execution that ended with an error is.
        on_done: called with (executions done, executions in all).

    Returns:
        list of Executions, by seed and within a seed in the order of `paths`.

    Raises:
        ImportError: dask is given, and Dask is not installed.
        KeyboardInterrupt: passed on, when what was under way has ended and is in the record.
        OSError: record cannot be written to, or no scheduler answers.
        RuntimeError: there is no kernel to run notebooks with.
    """
    tasks = [(path, seed) for seed in seeds for path in paths]
    keys = {task: _key(*task) for task in tasks}
    before = _read_record(record) if record is not None else {}
    done = {task: before[keys[task]] for task in tasks if keys[task] in before}
    todo = [task for task in tasks if task not in done]

    def keep(task, execution):
        done[task] = execution
        if record is not None:
            with open(record, "a", encoding="utf-8") as file:
                file.write(json.dumps({"key": keys[task]} | execution.as_dict()) + "\n")
        if on_done is not None:
            on_done(len(done), len(tasks))

    if on_done is not None:
        on_done(len(done), len(tasks))
    with _executor(jobs, dask) as executor:
        threads = 1 if dask else None if jobs == 1 else max(1, (os.cpu_count() or 1) // jobs)
        futures = {
            executor.submit(_execute, path.name, path.read_text(encoding="utf-8"), seed, threads): (path, seed)
            for path, seed in todo
        }
        try:
            for future in as_completed(futures):
                keep(futures.pop(future), future.result())
        except BaseException:  # Ctrl-C above all: what is under way ends, and is not lost
            for future in as_completed([future for future in futures if not future.cancel()]):
                if future.exception() is None:
                    keep(futures[future], future.result())
            raise
    return [done[task] for task in tasks]


def published_seeds(path):
    """The 20 seeds of a lesson's published runs: the first is the first eight hex digits of the sha256 of its code.

    A lesson that changes gets other seeds, so nobody can tune its claims to them.
    """
    first = int(hashlib.sha256(_code(path).encode()).hexdigest()[:8], 16)
    return range(first, first + 20)


def append_history(path, executions, file):
    """Add one published run of a lesson to the history, a JSON line; no line of it is ever changed or taken out.

    Args:
        path: the lesson's notebook.
        executions: of that lesson alone, under its published seeds.
        file: the history; made if absent.
    """
    entry = {
        "lesson": path.stem,
        "sha256": hashlib.sha256(_code(path).encode()).hexdigest(),
        "seeds": [execution.seed for execution in executions],
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "versions": _versions(),
        "errors": [execution.error for execution in executions if execution.error],
        "claims": summarise_claims(executions),
    }
    with open(file, "a", encoding="utf-8") as history:
        history.write(json.dumps(entry, ensure_ascii=False) + "\n")


def summarise_claims(executions):
    """Pass rate and margins of every claim over several executions.

    Args:
        executions: Executions of lessons under several seeds.

    Returns:
        list of dicts, one per claim in the order first met: id, lesson, text, shipped, at_least, at_most, runs (the
        executions of its lesson), held, the mean, worst and standard deviation of the margin (how far the value is on
        the right side of its bound), and the values, one per run; a claim that a run did not reach has None there.
    """
    claims, runs = {}, {}
    for execution in executions:
        runs.setdefault(execution.notebook, []).append({record["id"]: record for record in execution.claims})
        for record in execution.claims:
            claims.setdefault(record["id"], (execution.notebook, record))
    rows = []
    for id, (lesson, first) in claims.items():
        records = [run.get(id) for run in runs[lesson]]
        margins = [r["margin"] for r in records if r is not None and not math.isnan(r["margin"])]
        rows.append(
            {
                "id": id,
                "lesson": lesson,
                **{key: first[key] for key in ("text", "shipped", "at_least", "at_most")},
                "runs": len(records),
                "held": sum(r is not None and r["held"] for r in records),
                "mean_margin": _rounded(statistics.fmean(margins)) if margins else None,
                "worst_margin": _rounded(min(margins)) if margins else None,
                "sd_margin": _rounded(statistics.stdev(margins)) if len(margins) > 1 else None,
                "values": [None if r is None else _rounded(r["value"]) for r in records],
            }
        )
    return rows


def is_weak(row):
    """Whether a claim, as summarise_claims() gives it, held in fewer than 19 of 20 runs."""
    return row["held"] < WEAK * row["runs"]


def margin_in_sds(row):
    """Mean margin of a claim in standard deviations of its runs; infinite where the runs do not differ, NaN if unknown."""
    if row["mean_margin"] is None or row["sd_margin"] is None:
        return math.nan
    return row["mean_margin"] / row["sd_margin"] if row["sd_margin"] else math.copysign(math.inf, row["mean_margin"])


def is_firm(row):
    """Whether a claim's mean margin is at least 3 standard deviations of its runs; what was read from a file is."""
    return row["shipped"] or not margin_in_sds(row) < FIRM  # NaN where there is one run: nothing is known against it


def by_firmness(rows):
    """Rows of summarise_claims(), what needs work first: weak claims, then margins under 3 standard deviations."""
    return sorted(rows, key=lambda row: (not is_weak(row), is_firm(row)))


def count_claims(rows):
    """How firm the claims are that the lessons measure themselves; those on shipped files do not depend on the seed.

    Returns:
        dict: "all", "measured", "always" (of the measured, those that held in every run), "weak".
    """
    measured = [row for row in rows if not row["shipped"]]
    return {
        "all": len(rows),
        "measured": len(measured),
        "always": sum(row["held"] == row["runs"] for row in measured),
        "weak": sum(is_weak(row) for row in rows),
    }


def summarise(executions, made_by, before=None):
    """All that `tlcourse claims --json` writes, as a dict of plain types.

    Args:
        executions: as execute_seeds() gives them.
        made_by: the command that made them.
        before: an earlier summary of the same seeds; what it says of other lessons stays.
    """
    of_lesson = {}
    for execution in executions:
        of_lesson.setdefault(execution.notebook, []).append(execution)
    lessons = {
        name: {
            "made_by": made_by,
            "machine": f"{platform.machine()}, {os.cpu_count()} cores",
            "versions": _versions(),
            "seconds": round(statistics.median(run.seconds for run in runs), 1),
            "peak_mib": round(max(run.peak_mib or 0 for run in runs)),
            "errors": sum(run.error is not None for run in runs),
        }
        for name, runs in of_lesson.items()
    }
    rows = summarise_claims(executions)
    if before:
        lessons = dict(sorted((before["lessons"] | lessons).items()))
        rows += [row for row in before["claims"] if row["lesson"] not in of_lesson]
        rows.sort(key=lambda row: row["lesson"])  # stable: within a lesson the order stays
    seeds = sorted({execution.seed for execution in executions})
    return {"seeds": seeds, "totals": count_claims(rows), "lessons": lessons, "claims": rows}


def as_json(summary):
    """The summary as JSON with a line per claim, so that a claim that changes is a line that changes -> str."""
    head = json.dumps(summary | {"claims": []}, indent=1, ensure_ascii=False).removesuffix("[]\n}")
    rows = ",\n  ".join(json.dumps(row, ensure_ascii=False) for row in summary["claims"])
    return f"{head}[\n  {rows}\n ]\n}}\n"


def as_page(summary):
    """The summary as one HTML page that works offline, with a strip plot of the margins of each claim -> str."""
    environment = jinja2.Environment(loader=jinja2.PackageLoader("tlcourse"), autoescape=True, trim_blocks=True)
    rows = [row | {"weak": is_weak(row), "strip": _strip(row)} for row in by_firmness(summary["claims"])]
    return environment.get_template("claims.html").render(summary=summary | {"claims": rows})


def _strip(row, width=160, height=18):
    """Where each run's margin lies on a line whose middle is the bound: SVG path data, and the words for it."""
    values = [value for value in row["values"] if value is not None]
    margins = [
        min(
            value - row["at_least"] if row["at_least"] is not None else math.inf,
            row["at_most"] - value if row["at_most"] is not None else math.inf,
        )
        for value in values
    ]
    reach = max((abs(margin) for margin in margins), default=0) or 1
    places = [width / 2 + margin / reach * (width / 2 - 6) for margin in margins]
    return {
        "path": "".join(f"M{place:.0f} {height // 2}h0" for place in places),
        "words": f"values from {min(values):.3g} to {max(values):.3g}" if values else "no run reached it",
    }


@contextmanager
def _executor(jobs, dask):
    """What runs the executions: threads that each wait for a kernel, or the workers of a Dask cluster."""
    if dask is None:
        with ThreadPoolExecutor(jobs) as pool:
            yield pool
        return
    try:
        from distributed import Client
    except ImportError as error:
        raise ImportError("--dask needs Dask; install it with: pip install 'tlcourse[dask]'") from error
    with Client(dask, timeout="10s") as client:
        yield client.get_executor(pure=False)


def _execute(name, text, seed, threads):
    """Execute a notebook that is sent as text: a worker on another machine does not have the file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_text(text, encoding="utf-8")
        return execute(path, seed=seed, strict=False, threads=threads)[0]


def _key(path, seed):
    """What an execution depends on, but for the package itself: the code of the notebook, the seed, the versions."""
    content = json.dumps([path.stem, _code(path), seed, _versions()])
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def _code(path):
    return "\n\n".join(cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code")


def _read_record(path):
    if not path.exists():
        return {}
    found = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            fields = json.loads(line)
            key = fields.pop("key")
            execution = Execution(**fields)
        except (ValueError, KeyError, TypeError, AttributeError):
            continue  # half a line, where a run was killed
        if execution.error is None:
            found[key] = execution
    return found


def _versions():
    names = ("tlcourse", "torch", "torchvision", "numpy", "scikit-learn")
    return {"python": platform.python_version()} | {name: version(name) for name in names}


def _rounded(value):
    """Six figures are enough for a file that people read; NaN and infinities, which JSON has no word for, are None."""
    return float(f"{value:.6g}") if math.isfinite(value) else None
