"""The learner's commands: lab, init, progress, check, zoo, doctor."""

import json
import os
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from tlcourse.cli.console import err, out, print_table, stop

FIRST = Path("notebooks") / "00_start_here.ipynb"


def lab(
    folder: Annotated[Path | None, typer.Argument(help="Where your notebooks are; copied there if absent.")] = None,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open a browser window.")] = True,
    port: Annotated[int, typer.Option(help="Port to serve on; the next free one if it is taken.")] = 8888,
):
    """Open JupyterLab on the first lesson, or where your checks say that you are."""
    try:
        from jupyterlab.labapp import LabApp
    except ImportError:
        stop("JupyterLab is not installed; install it with: pip install 'tlcourse[lab]'", 2)
    folder = folder or _usual_folder()
    if not (folder / FIRST).exists():
        _report_copies(folder)
    arguments = [f"--ServerApp.root_dir={folder.resolve()}", f"--port={port}"]
    arguments.append(f"--LabApp.default_url=/lab/tree/{_notebook_to_open(folder).as_posix()}")
    if not browser:
        arguments.append("--no-browser")
    # No question about Jupyter's news over the first figure; what you choose in JupyterLab's settings still counts.
    settings = [os.environ.get("JUPYTER_CONFIG_PATH", ""), str(Path(__file__).parent / "jupyter")]
    os.environ["JUPYTER_CONFIG_PATH"] = os.pathsep.join(filter(None, settings))
    # As root, Jupyter refuses to start unless told; the course has nothing that would need the refusal.
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        arguments.append("--allow-root")
    LabApp.launch_instance(argv=arguments)


def init(folder: Annotated[Path, typer.Argument(help="Where to copy the notebooks to.")]):
    """Copy lessons and exercises into a folder, or bring it up to date; notebooks that you changed are kept."""
    _report_copies(folder)


def progress(
    folder: Annotated[Path | None, typer.Argument(help="Your folder, as given to lab or init; else this one.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the lessons as JSON.")] = False,
):
    """Show how many checks of each lesson you have passed, and the exercise to go on with."""
    from tlcourse.course.progress import next_exercise, progress_folder, read_lessons

    if folder is not None and not folder.is_dir():
        stop(f"{folder} is not a folder; name the one that holds your notebooks", 2)
    if folder is not None:
        os.environ["TLCOURSE_PROGRESS"] = str(folder)
    elif _usual_folder().is_dir():
        os.environ.setdefault("TLCOURSE_PROGRESS", str(progress_folder(_usual_folder())))
    lessons = read_lessons()
    if as_json:
        print(json.dumps([lesson._asdict() for lesson in lessons], indent=2))
        return
    rows = []
    for lesson in lessons:
        done, of = len(lesson.passed), len(lesson.exercises)
        rows.append((lesson.notebook, "█" * done + "░" * (of - done), f"{done} of {of}"))
    print_table(f"Checks passed, as kept in {progress_folder()}", ("exercises", "", "passed"), rows)
    going_on = next_exercise(lessons)
    out.print("All checks are passed." if going_on is None else "Go on with exercise {} in {}.".format(*going_on))


def doctor():
    """Check this installation and say what works."""
    from tlcourse.cli.doctor import diagnose

    marks = {"ok": Text("✓", "green"), "note": Text("–", "yellow"), "bad": Text("✗", "red")}
    rows = diagnose()
    print_table("tlcourse doctor", ("", "what", "detail"), [(marks[state], *text) for state, *text in rows])
    raise typer.Exit(int(any(state == "bad" for state, _, _ in rows)))


def check_notebook(
    notebook: Annotated[Path, typer.Argument(help="Your copy of an exercise notebook.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the verdicts as JSON.")] = False,
):
    """Run your exercise notebook and print the verdicts of its checks."""
    from tlcourse.course.run import check_verdicts

    try:
        verdicts = check_verdicts(notebook)
    except (OSError, ValueError) as error:
        stop(f"{notebook}: {error}", 2)
    except RuntimeError as error:
        stop(str(error), 1)
    if as_json:
        print(json.dumps(verdicts, indent=2))
    else:
        for verdict in verdicts:
            style = "green" if verdict["passed"] else "red"
            out.print(verdict["text"], style=style, highlight=False, soft_wrap=True)
    if not verdicts:
        stop(f"{notebook} has no check cells; give a notebook from exercises/", 2)
    raise typer.Exit(int(not all(verdict["passed"] for verdict in verdicts)))


def zoo(as_json: Annotated[bool, typer.Option("--json", help="Print the model cards as JSON.")] = False):
    """List the bundled pre-trained models."""
    from dataclasses import asdict

    from tlcourse import models

    if as_json:
        print(json.dumps([asdict(card) for card in models.zoo()], indent=2))
        return
    rows = []
    for card in models.zoo():
        accuracies = "\n".join(f"{value:.3f} {name}" for name, value in card.accuracy.items())
        rows.append((card.name, card.source, card.task, accuracies))
    rows.append(("random", "nothing: random weights", "none", ""))
    print_table("Bundled models: tlcourse.models.load(name)", ("name", "source", "task", "accuracy"), rows)


def _usual_folder():
    """Where `lab` keeps the notebooks unless told: here if they are here, else in transfer-learning."""
    here = Path.cwd()
    return here if (here / FIRST).exists() else Path("transfer-learning")


def _notebook_to_open(folder):
    from tlcourse.course.progress import next_exercise, read_lessons

    os.environ.setdefault("TLCOURSE_PROGRESS", str(folder.resolve()))  # for the kernels that JupyterLab starts, too
    lessons = read_lessons()
    going_on = next_exercise(lessons)
    if going_on is None or not any(lesson.passed for lesson in lessons):
        return FIRST
    begun = any(lesson.passed for lesson in lessons if lesson.notebook == going_on[1])
    notebook = Path("exercises" if begun else "notebooks") / f"{going_on[1]}.ipynb"
    return notebook if (folder / notebook).exists() else FIRST


def _report_copies(folder):
    from tlcourse.course import copy_course

    try:
        done = copy_course(folder)
    except OSError as error:
        stop(str(error), 1)
    for name, state in done.items():
        if state == "kept":
            beside = Path(name).with_suffix(".new.ipynb").name
            err.print(f"{name} was changed by you and is kept; the course's new version lies beside it as {beside}")
    counts = Counter(done.values())
    err.print(
        f"{folder}: {counts['new']} notebooks copied, {counts['updated']} brought up to date, "
        f"{counts['same']} are the course's already, {counts['changed']} with your changes"
    )
