"""The parts of README.md and docs/syllabus.md that say what the lessons say of themselves; `tlcourse release` writes them."""

import json
import re
from pathlib import Path

from tlcourse.authoring.stamps import round_up

_BEGIN, _END = "<!-- {name}: written by tlcourse release -->", "<!-- end of {name} -->"


def stamp_readme(text, lessons, times, totals):
    """README.md's text with the table of lessons, their times, the list of exercises, and how many claims hold.

    Args:
        text: of README.md.
        lessons: as course.lessons.list_lessons() gives them.
        times: dict from a notebook's name to measured seconds; a lesson that is not in it has a dash.
        totals: of the claims, as claims_over_seeds.count_claims() gives them; None leaves what stands there.

    Raises:
        ValueError: the text lacks the marks between which a part stands.
    """
    rows = [
        f"| [{x.number} {x.title}](notebooks/{x.notebook}.ipynb) | {x.question} | {_seconds(times.get(x.notebook))} |"
        for x in lessons
    ]
    table = "\n".join(["| lesson | question | CPU time |", "|---|---|---|", *rows])
    exercises = ", ".join(f"[{x.number}](exercises/{x.notebook}.ipynb)" for x in lessons if _count_exercises(x))
    text = _replace_part(_replace_part(text, "lessons", table), "exercises", f"Exercises: {exercises}.")
    if totals is None:
        return text
    held = f"{totals['always']} of the {totals['measured']} claims that the lessons measure held in every run"
    return re.sub(r"\d+ of the \d+ claims that the lessons measure held in every run", held, text)


def stamp_syllabus(text, lessons):
    """docs/syllabus.md's text with its table: what a lesson builds on, how long it takes, what goes further.

    Raises:
        ValueError: the text lacks the marks between which the table stands.
    """
    rows = []
    for x in lessons:
        builds_on = (
            "; ".join(filter(None, [", ".join(x.needs), x.helps and f"{', '.join(x.helps)} helps"])) or "nothing"
        )
        exercises = f"{_count_exercises(x)}, about {x.exercise_minutes} minutes" if _count_exercises(x) else "none"
        further = "; ".join(f"{title} ({minutes} minutes)" for title, minutes in x.further) or "nothing"
        rows.append(f"| {x.number} {x.title} | {builds_on} | {x.minutes} minutes | {exercises} | {further} |")
    head = ["| lesson | builds on | your time | exercises | going further |", "|---|---|---|---|---|"]
    return _replace_part(text, "lessons", "\n".join(head + rows))


def read_times(root):
    """Seconds of each lesson as last measured by `python -m benchmarks lesson_times` -> dict from its name."""
    measured = Path(root) / "docs" / "lesson_times.json"
    return json.loads(measured.read_text(encoding="utf-8"))["seconds"] if measured.exists() else {}


def read_totals(root):
    """How many claims hold, as last measured by `tlcourse claims --json docs/claims.json`; None where it is not."""
    measured = Path(root) / "docs" / "claims.json"
    return json.loads(measured.read_text(encoding="utf-8"))["totals"] if measured.exists() else None


def _seconds(measured):
    return "–" if measured is None else f"{round_up(measured)} s"


def _count_exercises(lesson):
    return len(list(lesson.folder.glob("exercises/e[0-9]*_*.py")))


def _replace_part(text, name, part):
    begin, end = _BEGIN.format(name=name), _END.format(name=name)
    if begin not in text or end not in text:
        raise ValueError(f"the part {name!r} needs the lines {begin!r} and {end!r} around it")
    before, _, rest = text.partition(begin)
    return f"{before}{begin}\n\n{part}\n\n{end}{rest.partition(end)[2]}"
