"""Where the exercises are: a file each in tlcourse/lessons/*/exercises, and an instructor's own modules."""

import importlib
import importlib.util
import os
from functools import cache
from pathlib import Path

from tlcourse.checks.spec import Exercise, call
from tlcourse.course.lessons import list_lessons


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
    return [exercise for lesson in list_lessons() for exercise in _read_lesson(lesson)] + [
        exercise for module in _own_modules() for exercise in module.EXERCISES
    ]


def find_observer(id):
    """The function that calls an answer to an exercise and notes what verify needs; see Exercise.observe.

    This is all that runs beside an answer: a lesson's observers.py defines observe_e4 for its exercise 4, where plain
    calling is not enough. It does not load the exercise itself, which the grader hides from a student's code.
    """
    for lesson in list_lessons():
        if id.startswith(f"{lesson.number}."):
            if not (lesson.folder / "observers.py").is_file():
                return call
            observers = importlib.import_module(f"tlcourse.lessons.{lesson.slug}.observers")
            return getattr(observers, f"observe_e{id.partition('.')[2]}", call)
    return next(exercise.observe for module in _own_modules() for exercise in module.EXERCISES if exercise.id == id)


@cache
def _read_lesson(lesson):
    found = []
    for path in sorted((lesson.folder / "exercises").glob("e[0-9]*_*.py")):
        module = importlib.import_module(f"tlcourse.lessons.{lesson.slug}.exercises.{path.stem}")
        found.append(
            Exercise(
                id=module.ID,
                title=module.TITLE,
                points=module.POINTS,
                entry_point=module.ENTRY_POINT,
                time_limit=module.SECONDS,
                cases=lambda rng, draw=module.cases: list(draw(rng)),  # a file may yield its cases
                verify=module.verify,
                observe=find_observer(module.ID),
                parts=getattr(module, "PARTS", {}),
            )
        )
    return tuple(found)


def _own_modules():
    folder = os.environ.get("TLCOURSE_CHECKS")
    return [_load_module(path) for path in sorted(Path(folder).glob("*.py"))] if folder else []


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
