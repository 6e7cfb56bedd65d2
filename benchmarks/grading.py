"""Grade the same submissions with nbgrader's autograde and with tlcourse grade: time, overhead, marks, memory.

`python -m benchmarks grading` needs nbgrader and bubblewrap. The overhead of a grader is its time per submission less the
time of the student's code, which is what the public checks take in a warm process on one thread. `--seeds 50` also judges
the solutions under 50 seeds.
"""

import argparse
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

import nbformat
import psutil
import torch

from benchmarks import _report
from tlcourse.authoring.release import write_nbgrader_course
from tlcourse.checks import list_exercises, run
from tlcourse.course import course_root
from tlcourse.grading import batch
from tlcourse.grading.judge import Judge

NAME = "01_fundamentals"


def exercises():
    return [exercise for exercise in list_exercises() if exercise.id.startswith("01.")]


def cells_of(folder):
    return nbformat.read(course_root() / folder / f"{NAME}.ipynb", as_version=4)


def honest(n):
    """n submissions, in turn: all solved, none, one exercise not solved, one wrong."""
    answers = {cell.id: cell.source for cell in cells_of("solutions").cells}
    ids = [cell.id for cell in cells_of("solutions").cells if cell.metadata.get("nbgrader", {}).get("solution")]
    for i in range(n):
        notebook = cells_of("exercises")
        for k, cell in enumerate(cell for cell in notebook.cells if cell.id in ids):
            if i % 4 == 0 or (i % 4 > 1 and k != i % len(ids)):
                cell.source = answers[cell.id]
            elif i % 4 == 3:
                cell.source = cell.source.replace("raise NotImplementedError()", "return None")
        yield f"student{i:03}", nbformat.writes(notebook)


def functions_of(text):
    """The functions that a submission defines, in this process."""
    namespace = {}
    for cell in nbformat.reads(text, as_version=4).cells:
        if cell.cell_type == "code" and cell.id != "setup" and not cell.source.startswith("check("):
            exec(cell.source, namespace)
    return namespace


def code_seconds(text):
    """How long the student's own functions take on the public cases, in a warm process."""
    namespace, spent = functions_of(text), 0.0

    def timed(function):
        def call(*inputs):
            nonlocal spent
            started = time.perf_counter()
            try:
                return function(*inputs)
            finally:
                spent += time.perf_counter() - started

        return call

    for exercise in exercises():
        run(exercise, timed(namespace[exercise.entry_point]), 0)
    return spent


def by_nbgrader(submissions, folder):
    """Seconds that `nbgrader autograde` takes, and its marks."""
    from nbgrader.api import Gradebook

    write_nbgrader_course(course_root(), folder)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path}

    def call(*arguments):
        command = [sys.executable, "-m", "nbgrader", *arguments]
        subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=True)

    call("generate_assignment", NAME, "--create")
    for student, text in submissions.items():
        home = folder / "submitted" / student / NAME
        home.mkdir(parents=True)
        (home / f"{NAME}.ipynb").write_text(text, encoding="utf-8")
    started = time.perf_counter()
    call("autograde", NAME)
    seconds = time.perf_counter() - started
    with Gradebook(f"sqlite:///{folder / 'gradebook.db'}") as book:
        return seconds, {entry.student.id: entry.score for entry in book.assignment_submissions(NAME)}


def by_us(submissions, folder):
    """Seconds that a cold `tlcourse grade` with one job takes, seconds without its start, and its marks."""
    for student, text in submissions.items():
        home = folder / "in" / student
        home.mkdir(parents=True)
        (home / f"{NAME}.ipynb").write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "tlcourse.cli", "grade", str(folder / "in"), "--out", str(folder / "cold")]
    started = time.perf_counter()
    subprocess.run(command, capture_output=True, check=True)
    cold = time.perf_counter() - started
    ticks = []
    rows = batch.grade_folder(
        folder / "in",
        folder / "out",
        secret=batch.read_secret(folder),
        on_progress=lambda done, total: ticks.append(time.perf_counter()),
    )
    marks = {}
    for row in rows:
        marks[row["student"]] = marks.get(row["student"], 0) + row["points"]
    # From the first notebook graded to the last: the fork server's one start is left out, and reported by itself.
    warm = (ticks[-1] - ticks[1]) * len(submissions) / (len(submissions) - 1)
    return cold, warm, marks


def child_resources(text):
    """(CPU seconds, peak MiB, peak MiB of its own) of one child that grades a notebook.

    The first two are the kernel's count. What is a child's own, and not shared with the process that it is forked from,
    is read every few milliseconds.
    """
    with Judge(secrets.token_bytes(32)) as judge:
        used, end = [], judge._sandbox.end_child
        judge._sandbox.end_child = lambda *command: used.append(end(*command)) or used[-1]
        own, ended = [0], threading.Event()

        def watch():
            server = psutil.Process(judge._sandbox._process.pid)
            while not ended.wait(0.005):
                for process in server.children(recursive=True):
                    with suppress(psutil.Error):
                        if process.parent().name().startswith("python"):  # the server's own parent is the sandbox
                            own.append(process.memory_full_info().uss)

        judge.grade(text.encode(), NAME)  # draws and warms
        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            for _ in range(3):
                judge.grade(text.encode(), NAME)
        finally:
            ended.set()
            watcher.join()
    seconds = statistics.median(u["cpu_seconds"] for u in used[1:])
    return seconds, used[-1]["peak_kib"] / 1024, max(own) / 2**20


def main(arguments):
    parser = argparse.ArgumentParser(prog="python -m benchmarks grading", description=__doc__)
    parser.add_argument("--submissions", type=int, default=12)
    parser.add_argument("--pairs", type=int, default=3, help="repeat ours, nbgrader, ours, nbgrader, …")
    parser.add_argument("--seeds", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="four submissions, two pairs")
    options = parser.parse_args(arguments)
    n, pairs = (4, 2) if options.quick else (options.submissions, options.pairs)
    submissions = dict(honest(n))
    cold, warm, theirs = [], [], []
    for _ in range(pairs):
        with tempfile.TemporaryDirectory() as top:
            whole, without_start, our_marks = by_us(submissions, Path(top))
            seconds, their_marks = by_nbgrader(submissions, Path(top) / "nbgrader")
        cold.append(whole)
        warm.append(without_start / n)
        theirs.append(seconds)
    equal = sum(our_marks[student] == their_marks[student] for student in submissions)
    notes = [f"submissions with equal marks: {equal} of {n}"]
    torch.set_num_threads(1)
    for text in list(submissions.values())[:4]:
        code_seconds(text)  # warm
    code = sum(code_seconds(text) for text in submissions.values()) / n
    notes.append(f"the students' own code takes {code:.3f} s each on one thread")
    each = [seconds / n for seconds in theirs]
    rows = [
        _report.row(f"{n} submissions of exercise 01, start included", "nbgrader autograde", cold, theirs),
        _report.row("a submission", "nbgrader autograde", warm, each),
        _report.row(
            "a submission, less the student's own code",
            "nbgrader autograde",
            [seconds - code for seconds in warm],
            [seconds - code for seconds in each],
        ),
    ]
    cpu, peak, beyond = child_resources(submissions["student000"])
    notes.append(f"one solved notebook: {cpu:.2f} s of CPU in its child, {peak:.0f} MiB resident with what it shares")
    rows.append(_report.row("a child's memory beyond the process it is forked from", "", [beyond], [], unit="MiB"))
    if options.seeds:
        solved = functions_of(submissions["student000"])
        for exercise in exercises():
            points = [run(exercise, solved[exercise.entry_point], seed).points for seed in range(options.seeds)]
            full = points.count(exercise.points)
            notes.append(f"solution of {exercise.id}: all points under {full} of {options.seeds} seeds")
    return _report.report("grading", rows, ["nbgrader"], notes=notes)
