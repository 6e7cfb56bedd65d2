"""The judge: draws inputs from the secret, has a child answer, and makes one row per exercise. It runs no student's code."""

import builtins
import hashlib
import os
import threading
import time
from contextlib import AbstractContextManager, closing
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np

import tlcourse
from tlcourse import checks
from tlcourse.course import exercise_notebooks
from tlcourse.course.lessons import list_lessons
from tlcourse.course.read import releases
from tlcourse.grading.answer import Answer
from tlcourse.grading.sandbox import ChildEnded, Raised, Sandbox

MAX_MESSAGE = 600  # characters

# Checks seed torch's one generator; two judges in two threads would draw from each other's numbers.
_TORCH = threading.Lock()


def draw_cases(exercise, secret):
    """An exercise's cases, and the seed of the answer's own random numbers, for the cohort that has this secret (bytes).

    Neither tells anything of the other, nor of another exercise.
    """

    def number(purpose):
        return int.from_bytes(hashlib.sha256(secret + f"|{exercise.id}|{purpose}".encode()).digest()[:8])

    return exercise.cases(np.random.default_rng(number("cases"))), number("answer") >> 1


def versions():
    """What a mark depends on beside the submission and the secret: versions, and a hash of all exercises and checks."""
    digest = hashlib.sha256()
    own = os.environ.get("TLCOURSE_CHECKS")
    modules = {*Path(checks.__file__).parent.glob("*.py"), *(Path(own).glob("*.py") if own else [])}
    for lesson in list_lessons():
        modules |= {lesson.folder / "observers.py", *lesson.folder.glob("exercises/*.py")}
    for path in sorted(filter(Path.is_file, modules)) + exercise_notebooks():
        digest.update(path.read_bytes())
    packages = {name: version(name) for name in ("torch", "numpy")}
    return {"tlcourse": tlcourse.__version__, "exercises": digest.hexdigest()[:12], **packages}


def fingerprint(secret):
    """What names a secret without telling it."""
    return hashlib.sha256(b"name|" + secret).hexdigest()[:12]


class Judge(AbstractContextManager):
    """Grades notebooks one after another in one sandbox.

    Args:
        secret: bytes that all hidden inputs are drawn from.
        isolation: "strong" or "weak", see Sandbox.

    Raises:
        IsolationError: the sandbox cannot be had.
        ValueError: a released notebook checks an exercise that does not exist.
    """

    def __init__(self, secret, isolation="strong"):
        self.seed = fingerprint(secret)
        self.releases = releases()
        self._secret = secret
        self._versions = versions()
        self._exercises = {exercise.id: exercise for exercise in checks.list_exercises()}
        for release in self.releases.values():
            if unknown := release.exercises.keys() - self._exercises.keys():
                raise ValueError(f"{release.path} checks {sorted(unknown)}, which no module of exercises defines")
        self._cases = {}
        self._sandbox = Sandbox(isolation)

    def __exit__(self, *_):
        self.close()

    def close(self):
        self._sandbox.close()

    def grade(self, content, release_name=None, only=None):
        """Grade one notebook.

        Args:
            content: the bytes of the file.
            release_name: the released notebook that its file name says it answers, or None; what its cells say goes
                before that.
            only: ids of the exercises to grade; None grades all.

        Returns:
            list of dicts, one per exercise: notebook, exercise, points, max_points, status, message, hint (what a
            student may read of the message), version, fault ("", or whose it seems to be: the "check"'s, the
            "grader"'s), seed, sha256, isolation, seconds, versions. One row without an exercise if the file answers
            no released notebook.
        """
        with closing(Answer(self._sandbox)) as answer:
            try:
                cells = answer.read(content)
            except ValueError as error:
                return self.unreadable(release_name, str(error), only, content)
            release = self._match(cells, release_name)
            if release is None:
                return self.unreadable(None, "these are not the cells of a notebook of exercises", only, content)
            answer.prepare(release, cells)
            ids = [id for id in release.exercises if only is None or id in only]
            return [self._grade_exercise(answer, release, id, cells, content) for id in ids]

    def unreadable(self, release_name, problem, only=None, content=b"", fault=""):
        """The rows of a file that no answers can be had of: one per exercise of the notebook that it is named after."""
        release = self.releases.get(release_name)
        ids = [id for id in release.exercises if only is None or id in only] if release else [""]
        verdict = checks.Verdict(0, problem, "error")
        return [self._row(release, id, content, verdict, problem, fault=fault) for id in ids]

    def _row(self, release, id, content, verdict, hint, version="unknown", seconds=0.0, fault=""):
        return {
            "notebook": release.name if release else "",
            "exercise": id,
            "points": verdict.points,
            "max_points": self._exercises[id].points if id else 0,
            "status": verdict.status,
            "message": _one_line(verdict.message),
            "hint": _one_line(hint),
            "version": version,
            "seconds": round(seconds, 4),
            "fault": fault,
            "seed": self.seed,
            "sha256": hashlib.sha256(content).hexdigest(),
            "isolation": self._sandbox.isolation,
            "versions": self._versions,
        }

    def _match(self, cells, release_name):
        """The released notebook whose answer cells a notebook has most of; else the one that its file name says."""
        ids = {cell["grade_id"] for cell in cells}
        overlap = {name: len(ids & release.answer_ids) for name, release in self.releases.items()}
        best = max(overlap, key=overlap.get)
        return self.releases[best] if overlap[best] > 0 else self.releases.get(release_name)

    def _grade_exercise(self, answer, release, id, cells, content):
        exercise = self._exercises[id]
        check_id, answer_ids, released = release.exercises[id]
        found = [cell["version"] for cell in cells if cell["grade_id"] == check_id and cell["version"]]
        edition = "unknown" if not found else "released" if found[-1] == released else "other"
        started = time.perf_counter()
        if id not in self._cases:
            with _TORCH:
                self._cases[id] = draw_cases(exercise, self._secret)
        verdict, hint, fault = _judge(exercise, answer, answer_ids, *self._cases[id])
        seconds = time.perf_counter() - started
        notes = answer.notes(answer_ids)
        if edition == "other":
            notes.append("This notebook was made from another version of the exercise.")
        message, hint = (" ".join([text, *notes]) for text in (verdict.message, hint))
        return self._row(release, id, content, verdict._replace(message=message), hint, edition, seconds, fault)


def _judge(exercise, answer, answer_ids, cases, seed):
    """Put the cases to an answer.

    Returns:
        (Verdict; what of its message the student may read, not what the code itself said of hidden inputs; "check" if
        the exercise's check failed, else "").
    """
    name, hints, fault = exercise.entry_point, {}, ""
    left = exercise.time_limit  # what the judge itself takes between two cases is not the student's

    def error_with(hint, message):
        hints[message] = hint
        return checks.NoAnswer("error", message)

    def ask(inputs):
        nonlocal left
        if answer.is_over:
            raise checks.NoAnswer("timeout", f"{name} had no time left for the other cases.")
        started = time.monotonic()
        try:
            return answer.call(max(0.1, left), exercise.id, name, seed, inputs)
        except Raised as error:
            if error.type_name == "NotImplementedError":
                raise checks.NoAnswer("missing", f"{name} is not written yet.") from None
            where = f" ({error.line})" if error.line else ""
            # Its text may hold the inputs, and so may a name or a line of the code's own making.
            is_known = isinstance(getattr(builtins, error.type_name, None), type) and answer.has_line(error.line)
            hint = f"{name} raised {error.type_name}{where}." if is_known else f"{name} raised an exception."
            raise error_with(hint, f"{name} raised {error}{where}.") from None
        except ChildEnded as end:
            limit = f"{name} took over {exercise.time_limit:g} s."
            raise checks.NoAnswer(end.status, limit if end.status == "timeout" else f"{name}: {end.message}.") from None
        finally:
            left -= time.monotonic() - started

    def verify(case, observation):
        nonlocal fault
        try:
            with _TORCH:
                return exercise.verify(case, observation)
        except Exception as error:  # a form of answer that the check does not know: no reason to stop the class
            fault = "check"
            hint = f"{name} returned something of a form that this exercise does not know."
            said = f"Have a look at it: the check raised {type(error).__name__}: {error}"
            raise error_with(hint, f"{hint} {said}") from error

    try:
        answer.run(name, answer_ids)
    except checks.NoAnswer as absence:
        return checks.Verdict(0, absence.message, absence.status), absence.message, fault
    verdict = checks.judge(replace(exercise, verify=verify), cases, ask)
    return verdict, hints.get(verdict.message, verdict.message), fault


def _one_line(text):
    """A message as any file, terminal and parser takes it, whatever a student's code put into it."""
    text = "".join(character if character.isprintable() else " " for character in text[: 2 * MAX_MESSAGE])
    return text if len(text) <= MAX_MESSAGE else text[:MAX_MESSAGE] + " …"
