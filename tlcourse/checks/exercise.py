"""What an exercise is, and how an answer to it is tried in the notebook."""

import copy
import html
import importlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from IPython.display import display

# One module per exercise notebook, by the number before the dot of an exercise's id.
_NOTEBOOKS = {"01": "fundamentals"}


class Case(NamedTuple):
    """One trial of an answer: plain inputs (tensors, arrays, numbers, strings) and what only the judge knows."""

    inputs: tuple
    truth: dict


def call(function, inputs):
    """Give an answer its inputs and return its output: how most exercises are observed."""
    return function(*inputs)


@dataclass(frozen=True)
class Exercise:
    """One graded task.

    Attributes:
        id: lesson and number, "01.2".
        title: in a few words.
        points: for an answer that passes every case; there is no credit for part of them.
        entry_point: the name of the function that the learner writes.
        time_limit: seconds for all cases together.
        cases: function of a numpy Generator that returns the list of Cases.
        verify: function of (case, observation) that returns None, or a message that names the likely mistake.
        observe: function of (answer, inputs) that calls the answer and returns plain data for verify. It runs beside
            the answer, so verify trusts nothing in what it returns.
    """

    id: str
    title: str
    points: int
    entry_point: str
    time_limit: float
    cases: Callable
    verify: Callable
    observe: Callable = call


class Verdict(NamedTuple):
    """Points earned, and the message for the learner."""

    points: int
    message: str


class CheckFailed(AssertionError):
    """An answer did not pass while TLCOURSE_STRICT=1."""


def check(id, function):
    """Try an answer on the public cases of an exercise and show the verdict.

    The verdict is a service to the learner. Marks come from a grader that draws other cases.

    Args:
        id: the exercise, such as "01.2".
        function: the learner's function.

    Raises:
        ValueError: no such exercise.
        CheckFailed: the answer did not pass under TLCOURSE_STRICT=1; otherwise nothing is raised.
    """
    exercise = find_exercise(id)
    points, message = run(exercise, function, seed=0)
    passed = points == exercise.points
    if not passed and os.environ.get("TLCOURSE_STRICT") == "1":
        raise CheckFailed(f"exercise {id}: {message}")
    display(_as_mime(exercise, points, message, passed), raw=True)


def run(exercise, function, seed):
    """Try an answer on the cases drawn from a seed; return the Verdict. An answer that raises earns 0, with the error."""
    for case in exercise.cases(np.random.default_rng(seed)):
        try:
            observation = exercise.observe(function, copy.deepcopy(case.inputs))
        except NotImplementedError:
            return Verdict(0, f"{exercise.entry_point} is not written yet. Replace the line that raises.")
        except Exception as error:
            return Verdict(0, f"{exercise.entry_point} raised {type(error).__name__}: {error}")
        message = exercise.verify(case, observation)
        if message is not None:
            return Verdict(0, message)
    return Verdict(exercise.points, "Every case passes.")


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
    """All exercises of the course, in order."""
    modules = [importlib.import_module(f"tlcourse.checks.{name}") for name in _NOTEBOOKS.values()]
    return [exercise for module in modules for exercise in module.EXERCISES]


def _as_mime(exercise, points, message, passed):
    mark, colour = ("✓", "#00664b") if passed else ("✗", "#b03a00")
    plain = f"{mark} Exercise {exercise.id}, {points} of {exercise.points} points: {message}"
    rich = (
        f'<div role="status" style="border-left: 4px solid {colour}; padding: 4px 10px">'
        f'<b style="color: {colour}">{mark} Exercise {exercise.id}</b> '
        f"({points} of {exercise.points} points) {html.escape(message)}</div>"
    )
    return {"text/plain": plain, "text/html": rich}
