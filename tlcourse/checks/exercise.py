"""What an exercise is, how a verdict on an answer comes about, and the check that a notebook runs."""

import copy
import html
import importlib
import importlib.util
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from IPython.display import display

from tlcourse import progress
from tlcourse.checks.compare import as_plain

# One module per exercise notebook, by the number before the dot of an exercise's id.
_NOTEBOOKS = {
    "01": "fundamentals",
    "02": "pretrained",
    "03": "finetuning",
    "04": "negative",
    "05": "mismatch",
    "06": "adaptation",
    "07": "sources",
}


class Case(NamedTuple):
    """One trial of an answer: plain inputs (tensors, arrays, numbers, strings), what only the judge knows, its part."""

    inputs: tuple
    truth: dict
    part: str = ""


def call(function, inputs):
    """Give an answer its inputs and return its output: how most exercises are observed."""
    return function(*inputs)


@dataclass(frozen=True)
class Exercise:
    """One graded task.

    Attributes:
        id: lesson and number, "01.2".
        title: in a few words.
        points: for an answer that passes every case.
        entry_point: the name of the function that the learner writes.
        time_limit: seconds for all cases together.
        cases: function of a numpy Generator that returns the list of Cases.
        verify: function of (case, observation) that returns None, or a message that names the likely mistake.
        observe: function of (answer, inputs) that calls the answer and returns plain data for verify. It runs beside
            the answer, so verify believes nothing in it that it cannot work out again from the inputs.
        parts: partial credit, as a dict from the name of a part to the points for passing all cases of that part. They
            add up to points. Empty: all or nothing.
    """

    id: str
    title: str
    points: int
    entry_point: str
    time_limit: float
    cases: Callable
    verify: Callable
    observe: Callable = call
    parts: dict = field(default_factory=dict)

    def __post_init__(self):
        if self.parts and sum(self.parts.values()) != self.points:
            raise ValueError(f"parts: those of exercise {self.id} do not add up to its {self.points} points")


class Verdict(NamedTuple):
    """Points earned, the message for the learner, and one of the states ok, wrong, error, timeout, crash, missing."""

    points: int
    message: str
    status: str


class CheckFailed(AssertionError):
    """An answer did not pass while TLCOURSE_STRICT=1."""


class NoAnswer(Exception):
    """A case got no observation: the state that this gives the exercise, and the message."""

    def __init__(self, status, message):
        super().__init__(message)
        self.status = status
        self.message = message


def judge(exercise, cases, ask):
    """Put the cases to an answer and come to a verdict. Every mark, in a notebook or not, is made here.

    Args:
        exercise: the Exercise.
        cases: its Cases; after a part's first failure its other cases are left out.
        ask: function of a case's inputs that returns the observation as plain data, or raises NoAnswer.

    Returns:
        Verdict; its message and status are those of the first failure.
    """
    failed, first = set(), None
    for case in cases:
        if case.part in failed:
            continue
        try:
            message, status = exercise.verify(case, ask(case.inputs)), "wrong"
        except NoAnswer as problem:
            message, status = problem.message, problem.status
        if message is not None:
            failed.add(case.part)
            first = first or (message, status)
    if first is None:
        return Verdict(exercise.points, "Every case passes.", "ok")
    earned = sum(points for part, points in exercise.parts.items() if part not in failed)
    return Verdict(earned, *first)


def run(exercise, function, seed):
    """Try an answer in this process on the cases drawn from a seed; return the Verdict."""

    def ask(inputs):
        try:
            return as_plain(exercise.observe(function, copy.deepcopy(inputs)))
        except NotImplementedError:
            message = f"{exercise.entry_point} is not written yet. Replace the line that raises."
            raise NoAnswer("missing", message) from None
        except Exception as error:
            raise NoAnswer("error", f"{exercise.entry_point} raised {type(error).__name__}: {error}") from error

    return judge(exercise, exercise.cases(np.random.default_rng(seed)), ask)


def check(id, function):
    """Try an answer on the public cases of an exercise, show the verdict, and keep that it passed; see teach.progress().

    The verdict is a service to the learner. Marks come from `tlcourse grade`, which draws other cases.

    Args:
        id: the exercise, such as "01.2".
        function: the learner's function.

    Raises:
        ValueError: no such exercise.
        CheckFailed: the answer did not pass under TLCOURSE_STRICT=1; otherwise nothing is raised.
    """
    exercise = find_exercise(id)
    verdict = run(exercise, function, seed=0)
    if verdict.status != "ok" and os.environ.get("TLCOURSE_STRICT") == "1":
        raise CheckFailed(f"exercise {id}: {verdict.message}")
    display(as_mime(exercise, verdict), raw=True)
    if verdict.status == "ok":
        try:
            progress.record(id)
        except OSError as error:  # a verdict is a verdict in a read-only folder too
            print(error)


def award(id, function):
    """Try an answer like check(), and return its points: the last line of a cell that nbgrader grades.

    nbgrader reads a number as partial credit and an exception as none.

    Raises:
        ValueError: no such exercise.
        CheckFailed: the answer earned nothing.
    """
    exercise = find_exercise(id)
    verdict = run(exercise, function, seed=0)
    if verdict.points == 0:
        raise CheckFailed(f"exercise {id}: {verdict.message}")
    display(as_mime(exercise, verdict), raw=True)
    return verdict.points


def find_exercise(id):
    """Look up an exercise by its id.

    Raises:
        ValueError: no such exercise.
    """
    for exercise in list_exercises():
        if exercise.id == id:
            return exercise
    raise ValueError(f"id={id!r}: no such exercise; there are {', '.join(e.id for e in list_exercises())}")


def list_exercises():
    """All exercises: the course's, in order, then those of the folder that TLCOURSE_CHECKS names.

    Raises:
        ValueError: a module in that folder cannot be loaded or has no EXERCISES.
    """
    modules = [importlib.import_module(f"tlcourse.checks.{name}") for name in _NOTEBOOKS.values()]
    if folder := os.environ.get("TLCOURSE_CHECKS"):
        modules += [_load_module(path) for path in sorted(Path(folder).glob("*.py"))]
    return [exercise for module in modules for exercise in module.EXERCISES]


@cache
def _load_module(path):
    spec = importlib.util.spec_from_file_location(f"tlcourse_checks_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        list(module.EXERCISES)
    except Exception as error:
        raise ValueError(f"{path} is no module of exercises: {type(error).__name__}: {error}") from error
    return module


def as_mime(exercise, verdict):
    """A verdict as text and as HTML."""
    mark, colour = ("✓", "#00664b") if verdict.status == "ok" else ("✗", "#b03a00")
    plain = f"{mark} Exercise {exercise.id}, {verdict.points} of {exercise.points} points: {verdict.message}"
    rich = (
        f'<div role="status" style="border-left: 4px solid {colour}; padding: 4px 10px">'
        f'<b style="color: {colour}">{mark} Exercise {exercise.id}</b> '
        f"({verdict.points} of {exercise.points} points) {html.escape(verdict.message)}</div>"
    )
    return {"text/plain": plain, "text/html": rich}
