"""How a verdict on an answer comes about: every mark, in a notebook or in the grader, is made here."""

import copy

import numpy as np

from tlcourse.checks.compare import as_plain
from tlcourse.checks.spec import NoAnswer, Verdict


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
