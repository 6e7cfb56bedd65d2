"""The instructor's commands: grade, override, export."""

import json
import os
from pathlib import Path
from typing import Annotated

import typer

from tlcourse.cli.console import err, progress_bar, stop


def grade(
    submissions: Annotated[Path, typer.Argument(help="Folder with a folder per student.")],
    out_dir: Annotated[Path, typer.Option("--out", help="Folder for results.jsonl, grades.csv and the pages.")],
    jobs: Annotated[int, typer.Option(help="Notebooks at a time; as many as you have cores.", min=1)] = 1,
    resume: Annotated[bool, typer.Option(help="Keep what is graded already, of the same files and seed.")] = False,
    student: Annotated[list[str] | None, typer.Option(help="Grade this student again; may be repeated.")] = None,
    exercise: Annotated[list[str] | None, typer.Option(help="Grade this exercise again; may be repeated.")] = None,
    seed_file: Annotated[Path | None, typer.Option(help="Secret that inputs are drawn from; made if absent.")] = None,
    checks: Annotated[Path | None, typer.Option(help="Folder with exercises of your own.")] = None,
    isolation: Annotated[str, typer.Option(help="strong, or weak: only for code that you trust.")] = "strong",
    due: Annotated[str | None, typer.Option(help="When submissions are due, such as 2026-12-01T23:59.")] = None,
    late_per_day: Annotated[float, typer.Option(help="Share of the points that a started day costs.")] = 0.0,
    dask: Annotated[str | None, typer.Option(help="Address of a Dask scheduler, such as tcp://host:8786.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the rows as JSON lines.")] = False,
):
    """Grade submissions: marks, a page per student, and an overview of the class."""
    if isolation not in ("strong", "weak"):
        stop(f"--isolation={isolation}: want strong or weak", 2)
    if checks is not None:
        if not checks.is_dir():
            stop(f"--checks: {checks} is not a folder", 2)
        os.environ["TLCOURSE_CHECKS"] = str(checks.resolve())
    from tlcourse.grading import batch, reports, results
    from tlcourse.grading.sandbox import IsolationError
    from tlcourse.grading.submissions import strangers

    try:
        policy = results.Policy(due, late_per_day) if due is not None else None
        out_dir.mkdir(parents=True, exist_ok=True)
        for name in strangers(submissions) if submissions.is_dir() else []:
            err.print(f"not graded: {name} lies beside the students' folders, not in one")
        with progress_bar(as_json, rate=True) as progress:
            task = progress.add_task("grading", total=None)
            rows = batch.grade_folder(
                submissions,
                out_dir,
                secret=batch.read_secret(out_dir, seed_file),
                isolation=isolation,
                jobs=jobs,
                dask=dask,
                resume=resume,
                students=student,
                exercises=exercise,
                policy=policy,
                on_progress=lambda done, total: progress.update(task, completed=done, total=total),
            )
    except KeyboardInterrupt:
        stop(f"interrupted; {out_dir} holds what was graded, and --resume goes on from there", 1)
    except IsolationError as error:
        stop(str(error), 1)
    except (ValueError, OSError, ImportError) as error:
        stop(str(error), 2)
    if as_json:
        for row in rows:
            print(json.dumps(row))
    else:
        err.print(reports.summary(rows))
        err.print(f"Open {out_dir / 'index.html'}")
    raise typer.Exit(int(any(row["fault"] == "grader" for row in rows)))


def override(
    out_dir: Annotated[Path, typer.Argument(help="Folder of results, as given to grade --out.")],
    student: Annotated[str, typer.Argument(help="Whose mark.")],
    exercise: Annotated[str, typer.Argument(help="For what, such as 01.2.")],
    points: Annotated[float, typer.Argument(help="The mark.")],
    reason: Annotated[str, typer.Option(help="Why; the student reads it too.")],
):
    """Put your mark in place of the grader's; it survives --resume."""
    from tlcourse.grading import results

    try:
        results.add_override(out_dir, student, exercise, points, reason)
    except (ValueError, OSError) as error:
        stop(str(error), 2)
    err.print(f"{student}, {exercise}: {points:g} points")


def export(
    out_dir: Annotated[Path, typer.Argument(help="Folder of results, as given to grade --out.")],
    target: Annotated[Path, typer.Argument(help="CSV file to write, or with --gradescope the folder.")],
    column: Annotated[
        list[str] | None, typer.Option(help="NAME=FIELD; FIELD is student, total, max, percent, 01.2 … or '\"text\"'.")
    ] = None,
    roster: Annotated[Path | None, typer.Option(help="CSV file of the other system, to be filled in.")] = None,
    match: Annotated[str | None, typer.Option(help="Its column with the names of the students' folders.")] = None,
    gradescope: Annotated[bool, typer.Option(help="Write one results.json per student.")] = False,
):
    """Write results as Moodle, Canvas, nbgrader or Gradescope read them; docs/grading.md has the recipes."""
    from tlcourse.grading import exports, results

    try:
        rows = results.read_final(out_dir)
        if gradescope:
            paths = exports.write_gradescope(rows, target)
            err.print(f"{len(paths)} files written to {target}")
            return
        pairs = [text.rpartition("=")[::2] for text in column or ["student=student", "total=total"]]
        absent = exports.write_columns(rows, target, dict(pairs), roster, match)
    except (ValueError, OSError) as error:
        stop(str(error), 2)
    for name in absent:
        err.print(f"not in {roster}: {name}")
