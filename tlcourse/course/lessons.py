"""The lessons: what each says of itself in tlcourse/lessons/<slug>/lesson.toml. There is no other list of them."""

import tomllib
from functools import cache
from pathlib import Path
from typing import NamedTuple

import tlcourse


class Lesson(NamedTuple):
    """One lesson.

    Attributes:
        slug: the name of its folder, and of its notebook without the number.
        number: "04".
        title: in a few words.
        question: that it answers, one sentence.
        minutes: of a learner's time for the core.
        exercise_minutes: for its exercises; 0 where it has none.
        needs: numbers of the lessons that it builds on.
        helps: numbers of lessons that help.
        extras: names of the optional installs that a section of it can use.
        further: the optional sections after the summary, (title, minutes) each.
        folder: where its files are.
    """

    slug: str
    number: str
    title: str
    question: str
    minutes: int
    exercise_minutes: int
    needs: tuple
    helps: tuple
    extras: tuple
    further: tuple
    folder: Path

    @property
    def notebook(self):
        """The name of its notebooks, without the ending."""
        return f"{self.number}_{self.slug}"


@cache
def list_lessons():
    """All lessons, in order -> tuple of Lesson.

    Raises:
        ValueError: a lesson.toml that lacks a field, or has one that is unknown.
    """
    files = Path(tlcourse.__file__).parent.glob("lessons/*/lesson.toml")
    return tuple(sorted(map(_read, files), key=lambda lesson: lesson.number))


def _read(path):
    said = tomllib.loads(path.read_text(encoding="utf-8"))
    further = tuple((section["title"], section["minutes"]) for section in said.pop("further", []))
    try:
        lists = {name: tuple(said.pop(name, ())) for name in ("needs", "helps", "extras")}
        return Lesson(slug=path.parent.name, further=further, folder=path.parent, **lists, **said)
    except TypeError as error:
        raise ValueError(f"{path}: {error}; see CONTRIBUTING.md for the fields of a lesson") from error
