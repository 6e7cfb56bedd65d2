"""The check that a notebook runs, and the same as points for nbgrader."""

import html
import os

from IPython.display import display

from tlcourse.checks.judge import run
from tlcourse.checks.registry import find_exercise
from tlcourse.course import progress


class CheckFailed(AssertionError):
    """An answer did not pass while TLCOURSE_STRICT=1."""


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
