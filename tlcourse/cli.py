"""The command line: `tlcourse --help`."""

import json
import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

app = typer.Typer(no_args_is_help=True, add_completion=False, help="A hands-on course in transfer learning.")
out = Console()
err = Console(stderr=True)

Lessons = Annotated[list[str] | None, typer.Argument(help="Numbers such as 01; all lessons if none is given.")]


@app.command()
def lab(
    folder: Annotated[Path | None, typer.Argument(help="Where your notebooks are; copied there if absent.")] = None,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open a browser window.")] = True,
    port: Annotated[int, typer.Option(help="Port to serve on; the next free one if it is taken.")] = 8888,
):
    """Open JupyterLab on the first lesson, or on the exercises that you are in the middle of."""
    try:
        from jupyterlab.labapp import LabApp
    except ImportError:
        _stop("JupyterLab is not installed; install it with: pip install 'tlcourse[lab]'", 2)
    first = Path("notebooks") / "00_start_here.ipynb"
    if folder is None:
        folder = Path.cwd() if first.exists() else Path("transfer-learning")
    if not (folder / first).exists():
        _report_copies(folder)
    arguments = [f"--ServerApp.root_dir={folder.resolve()}", f"--port={port}"]
    arguments.append(f"--LabApp.default_url=/lab/tree/{_notebook_to_open(folder, first).as_posix()}")
    if not browser:
        arguments.append("--no-browser")
    # As root, Jupyter refuses to start unless told; the course has nothing that would need the refusal.
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        arguments.append("--allow-root")
    LabApp.launch_instance(argv=arguments)


@app.command()
def init(folder: Annotated[Path, typer.Argument(help="Where to copy the notebooks to.")]):
    """Copy lessons and exercises into a folder, or bring it up to date; notebooks that you changed are kept."""
    _report_copies(folder)


@app.command()
def progress(
    folder: Annotated[
        Path | None, typer.Argument(help="Your folder, as given to lab or init; by default this one.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the lessons as JSON.")] = False,
):
    """Show how many checks of each lesson you have passed, and the exercise to go on with."""
    from tlcourse.progress import next_exercise, progress_folder, read_lessons

    if folder is not None:
        if not folder.is_dir():
            _stop(f"{folder} is no folder; name the one that holds your notebooks", 2)
        os.environ["TLCOURSE_PROGRESS"] = str(folder)
    lessons = read_lessons()
    if as_json:
        print(json.dumps([lesson._asdict() for lesson in lessons], indent=2))
        return
    table = Table(title=f"Checks passed, as kept in {progress_folder()}")
    for heading in ("exercises", "", "passed"):
        table.add_column(heading)
    for lesson in lessons:
        done, of = len(lesson.passed), len(lesson.exercises)
        table.add_row(lesson.notebook, "█" * done + "░" * (of - done), f"{done} of {of}")
    out.print(table)
    going_on = next_exercise(lessons)
    out.print("All checks are passed." if going_on is None else "Go on with exercise {} in {}.".format(*going_on))


@app.command()
def doctor():
    """Check this installation and say what works."""
    from tlcourse.doctor import diagnose

    marks = {"ok": "[green]✓[/]", "note": "[yellow]–[/]", "bad": "[red]✗[/]"}
    rows = diagnose()
    table = Table(title="tlcourse doctor")
    for heading in ("", "what", "detail"):
        table.add_column(heading)
    for state, what, detail in rows:
        table.add_row(marks[state], what, detail)
    out.print(table)
    raise typer.Exit(int(any(state == "bad" for state, _, _ in rows)))


@app.command()
def run(
    lessons: Lessons = None,
    out_dir: Annotated[Path | None, typer.Option("--out", help="Write executed notebooks and HTML pages here.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the results as JSON.")] = False,
):
    """Execute lessons from top to bottom; a claim that does not hold is a failure."""
    from tlcourse.execution import execute

    if out_dir is not None:
        _make_folder(out_dir, "--out")
    results = []
    with _progress(as_json) as progress:
        for path in _selected(lessons):
            task = progress.add_task(path.stem, total=None)
            result, notebook = execute(
                path, on_cell=lambda done, n, t=task: progress.update(t, completed=done, total=n)
            )
            results.append(result)
            if out_dir is not None:
                try:
                    _write_executed(notebook, path.name, out_dir)
                except OSError as error:
                    _stop(f"--out: {path.name} cannot be written ({error}); the lessons before it are in {out_dir}", 1)
    if as_json:
        print(json.dumps([result.as_dict() for result in results], indent=2))
    else:
        table = Table(title="tlcourse run")
        for heading in ("lesson", "seconds", "peak memory", "claims held", "result"):
            table.add_column(heading, justify="left" if heading in ("lesson", "result") else "right")
        for r in results:
            memory = "unknown" if r.peak_mib is None else f"{r.peak_mib:,.0f} MiB"
            held = f"{sum(c['held'] for c in r.claims)}/{len(r.claims)}"
            table.add_row(r.notebook, f"{r.seconds:.1f}", memory, held, "failed" if r.error else "ok")
        out.print(table)
    for result in results:
        if result.error:
            err.print(f"[red]{result.notebook}[/]: ", end="")
            err.print(result.error, markup=False)
    raise typer.Exit(int(any(result.error for result in results)))


@app.command()
def claims(
    lessons: Lessons = None,
    seeds: Annotated[int, typer.Option(help="How many seeds.", min=1)] = 20,
    first: Annotated[int, typer.Option(help="The first seed; lessons are tuned on 0 to 19.", min=0)] = 0,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write everything measured to this file.")] = None,
):
    """Execute lessons again under other seeds; print how often each claim holds, and by what margin."""
    from tlcourse.execution import execute, summarise_claims

    if json_file is not None:
        _make_folder(json_file.resolve().parent, "--json")
    paths = _selected(lessons)
    executions = []
    with _progress(False) as progress:
        task = progress.add_task("seeds × lessons", total=seeds * len(paths))
        for seed in range(first, first + seeds):
            for path in paths:
                executions.append(execute(path, seed=seed, strict=False)[0])
                progress.advance(task)
    rows = summarise_claims(executions)
    table = Table(title=f"Claims under seeds {first} to {first + seeds - 1}")
    for heading in ("claim", "held", "mean margin", "worst", "text"):
        table.add_column(heading, justify="left" if heading in ("claim", "text") else "right")
    for row in rows:
        style = "red" if row["held"] < 0.95 * row["runs"] else None
        note = " (shipped)" if row["shipped"] else ""
        held = f"{row['held']}/{row['runs']}"
        table.add_row(
            row["id"], held, f"{row['mean_margin']:.3g}", f"{row['worst_margin']:.3g}", row["text"] + note, style=style
        )
    out.print(table)
    if json_file is not None:
        everything = {"claims": rows, "executions": [execution.as_dict() for execution in executions]}
        json_file.write_text(json.dumps(everything, indent=2) + "\n", encoding="utf-8")
    for execution in executions:
        if execution.error:
            err.print(f"{execution.notebook}, seed {execution.seed}: {execution.error}", markup=False)
    raise typer.Exit(int(any(execution.error for execution in executions)))


@app.command()
def zoo(as_json: Annotated[bool, typer.Option("--json", help="Print the model cards as JSON.")] = False):
    """List the bundled pre-trained models."""
    from dataclasses import asdict

    from tlcourse import models

    if as_json:
        print(json.dumps([asdict(card) for card in models.zoo()], indent=2))
        return
    table = Table(title="Bundled models: tlcourse.models.load(name)")
    for heading in ("name", "source", "task", "accuracy"):
        table.add_column(heading)
    for card in models.zoo():
        table.add_row(card.name, card.source, card.task, _accuracies(card.accuracy))
    table.add_row("random", "nothing: random weights", "none", "")
    out.print(table)


@app.command()
def pretrain(
    name: Annotated[str, typer.Argument(help="A bundled model; see `tlcourse zoo`.")],
    out_dir: Annotated[Path, typer.Option("--out", help="Folder for the weights and the card.")] = Path("weights"),
    root: Annotated[Path | None, typer.Option(help="Folder that holds FashionMNIST, for the fashion models.")] = None,
):
    """Make a bundled model again by its recipe, and compare its accuracy with its card."""
    from tlcourse import models

    shipped = {card.name: card.accuracy for card in models.zoo()}
    try:
        card = models.pretrain(name, out_dir, root=root, progress=True)
    except ValueError as error:
        _stop(str(error), 2)
    except OSError as error:
        _stop(str(error), 1)
    table = Table(title=f"{name}, written to {out_dir}")
    for heading in ("measured on", "now", "on the card"):
        table.add_column(heading)
    for key, value in card.accuracy.items():
        before = shipped.get(name, {}).get(key)
        table.add_row(key, f"{value:.4f}", "no card" if before is None else f"{before:.4f}")
    out.print(table)


@app.command()
def release(
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing; fail where a notebook or README.md is out of date.")
    ] = False,
    nbgrader: Annotated[
        Path | None, typer.Option(help="Write a course for nbgrader's own commands into this folder instead.")
    ] = None,
):
    """Make exercises/ from the masters in solutions/; write badges, times and what to run after a restart."""
    from tlcourse.course import course_root
    from tlcourse.release import release_all, write_nbgrader_course

    try:
        if nbgrader is not None:
            names = write_nbgrader_course(course_root(), nbgrader)
            err.print(f"wrote {', '.join(names)}; in {nbgrader}, run: nbgrader generate_assignment {names[0]} --create")
            return
        differing = release_all(course_root(), write=not check)
    except FileExistsError as error:
        _stop(str(error), 2)
    except (ImportError, FileNotFoundError, ValueError) as error:
        _stop(str(error), 1)
    for path in differing:
        name = path.relative_to(course_root())
        err.print(f"{name} {'is out of date, or has no master' if check else 'written, or has no master'}")
    if check and differing:
        _stop("notebooks or README.md are out of date; run: tlcourse release", 1)


@app.command(name="check")
def check_notebook(
    notebook: Annotated[Path, typer.Argument(help="Your copy of an exercise notebook.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the verdicts as JSON.")] = False,
):
    """Run your exercise notebook and print the verdicts of its checks."""
    from tlcourse.execution import check_verdicts

    try:
        verdicts = check_verdicts(notebook)
    except (OSError, ValueError) as error:
        _stop(f"{notebook}: {error}", 2)
    except RuntimeError as error:
        _stop(str(error), 1)
    if as_json:
        print(json.dumps(verdicts, indent=2))
    else:
        for verdict in verdicts:
            style = "green" if verdict["passed"] else "red"
            out.print(verdict["text"], style=style, markup=False, highlight=False, soft_wrap=True)
    if not verdicts:
        _stop(f"{notebook} has no check cells; give a notebook from exercises/", 2)
    raise typer.Exit(int(not all(verdict["passed"] for verdict in verdicts)))


@app.command()
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
        _stop(f"--isolation={isolation}: want strong or weak", 2)
    if checks is not None:
        if not checks.is_dir():
            _stop(f"--checks: {checks} is no folder", 2)
        os.environ["TLCOURSE_CHECKS"] = str(checks.resolve())
    from tlcourse.grading import batch, reports, results
    from tlcourse.grading import submissions as handed_in
    from tlcourse.grading.sandbox import IsolationError

    try:
        policy = results.Policy(due, late_per_day) if due is not None else None
        out_dir.mkdir(parents=True, exist_ok=True)
        for name in handed_in.strangers(submissions) if submissions.is_dir() else []:
            err.print(f"not graded: {name} lies beside the students' folders, not in one", markup=False)
        with _progress(as_json, rate=True) as progress:
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
        _stop(f"interrupted; {out_dir} holds what was graded, and --resume goes on from there", 1)
    except IsolationError as error:
        _stop(str(error), 1)
    except (ValueError, OSError, ImportError) as error:
        _stop(str(error), 2)
    if as_json:
        for row in rows:
            print(json.dumps(row))
    else:
        err.print(reports.summary(rows), markup=False)
        err.print(f"Open {out_dir / 'index.html'}", markup=False)
    raise typer.Exit(int(any(row["fault"] == "grader" for row in rows)))


@app.command()
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
        _stop(str(error), 2)
    err.print(f"{student}, {exercise}: {points:g} points", markup=False)


@app.command()
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
            err.print(f"{len(paths)} files written to {target}", markup=False)
            return
        pairs = [text.rpartition("=")[::2] for text in column or ["student=student", "total=total"]]
        absent = exports.write_columns(rows, target, dict(pairs), roster, match)
    except (ValueError, OSError) as error:
        _stop(str(error), 2)
    for name in absent:
        err.print(f"not in {roster}: {name}", markup=False)


def _notebook_to_open(folder, first):
    from tlcourse.progress import next_exercise, read_lessons

    os.environ.setdefault("TLCOURSE_PROGRESS", str(folder.resolve()))  # for the kernels that JupyterLab starts, too
    lessons = read_lessons()
    going_on = next_exercise(lessons)
    if going_on is None or not any(lesson.passed for lesson in lessons):
        return first
    notebook = Path("exercises") / f"{going_on[1]}.ipynb"
    return notebook if (folder / notebook).exists() else first


def _selected(lessons):
    from tlcourse.course import select_lessons

    try:
        return select_lessons(lessons or [])
    except ValueError as error:
        _stop(str(error), 2)


def _report_copies(folder):
    from tlcourse.course import copy_course

    try:
        done = copy_course(folder)
    except OSError as error:
        _stop(str(error), 1)
    for name, state in done.items():
        if state == "kept":
            beside = Path(name).with_suffix(".new.ipynb").name
            err.print(f"{name} was changed by you and is kept; the course's version lies beside it as {beside}")
    counts = {state: sum(found == state for found in done.values()) for state in ("new", "updated", "same")}
    err.print(
        f"{folder}: {counts['new']} notebooks copied, {counts['updated']} brought up to date, "
        f"{counts['same']} are the course's already"
    )


def _make_folder(folder, option):
    """Make a folder for results and see that it can be written to, before hours are spent on them."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ".tlcourse-probe").touch()
        (folder / ".tlcourse-probe").unlink()
    except OSError as error:
        _stop(f"{option}: {folder} cannot be written to ({error}); name another folder", 2)


def _write_executed(notebook, name, folder):
    import nbformat

    nbformat.write(notebook, folder / name)
    try:
        from nbconvert import HTMLExporter
    except ImportError:
        err.print("HTML pages need nbconvert; install it with: pip install 'tlcourse[lab]'")
        return
    page, _ = HTMLExporter().from_notebook_node(notebook)
    (folder / name).with_suffix(".html").write_text(page, encoding="utf-8")


def _progress(quiet, rate=False):
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    class Rate(TextColumn):
        def render(self, task):
            return f"{task.speed:.1f}/s" if task.speed else ""

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    if rate:
        columns += (Rate(""), TextColumn("left"), TimeRemainingColumn())
    return Progress(*columns, console=err, disable=quiet)


def _accuracies(accuracy):
    return "\n".join(f"{value:.3f} {name}" for name, value in accuracy.items())


def _stop(message, status):
    err.print(f"[red]error:[/] {message}", highlight=False)
    raise typer.Exit(status)


if __name__ == "__main__":
    app()
