"""What people read: grades.csv, a page per student, and an overview of the class. Everything works offline."""

import base64
import csv
import hashlib
import io
import re
from collections import Counter
from pathlib import Path

import jinja2
from matplotlib.figure import Figure

from tlcourse.checks import list_exercises

WORDS = {
    "ok": "passed",
    "wrong": "not right",
    "error": "raised an error",
    "timeout": "took too long",
    "crash": "ended its process",
    "missing": "not handed in",
}
_BLUE, _ORANGE = "#0072B2", "#D55E00"


def write(out, rows, students):
    """Write OUT/grades.csv, OUT/students/NAME.html and OUT/index.html from the rows that results.finish() settled."""
    out = Path(out)
    ids = sorted({row["exercise"] for row in rows if row["exercise"]})
    people = [tally(student, rows) for student in students]
    exercises = [_difficulty(id, rows) for id in ids]
    header = ["student", *ids, "total", "max", "days_late"]
    lines = [[p["name"], *(p["points"].get(id, 0) for id in ids), p["total"], p["max"], p["days_late"]] for p in people]
    write_csv(out / "grades.csv", header, lines)
    folder = out / "students"
    folder.mkdir(exist_ok=True)
    for old in folder.glob("*.html"):
        old.unlink()
    environment = jinja2.Environment(loader=jinja2.PackageLoader("tlcourse"), autoescape=True, trim_blocks=True)
    environment.globals |= {"titles": {e.id: e.title for e in list_exercises()}, "words": WORDS}
    for person in people:
        page = environment.get_template("student.html").render(person=person)
        (folder / person["page"]).write_text(page, encoding="utf-8")
    page = environment.get_template("index.html").render(
        people=people,
        exercises=exercises,
        histogram=_histogram(people),
        bars=_bars(exercises),
        look=[row for row in rows if _needs_a_look(row)],
        about=rows[0] if rows else None,
    )
    (out / "index.html").write_text(page, encoding="utf-8")


def tally(student, rows):
    """What a student has: a dict of name, page (its file), rows, points (by exercise), total, max, percent, days_late."""
    own = [row for row in rows if row["student"] == student]
    total, most = without_zeros(round(sum(row["points"] for row in own), 2)), sum(row["max_points"] for row in own)
    return {
        "name": student,
        "page": page_name(student),
        "rows": own,
        "points": {row["exercise"]: row["points"] for row in own},
        "total": total,
        "max": most,
        "percent": round(100 * total / most, 2) if most else 0,
        "days_late": max((row["days_late"] for row in own), default=0),
    }


def without_zeros(points):
    """Points as an int if they are whole: 7, not 7.0."""
    return int(points) if points == int(points) else points


def write_csv(path, header, lines):
    """Write a CSV file in which no cell is a formula to a spreadsheet: names come from strangers."""

    def harmless(cell):
        if re.fullmatch(r"[+-]?[0-9.,]+", str(cell)):
            return cell
        return re.sub(r"(^|[;\t\r\n])(\s*)([=+@-])", r"\1\2'\3", str(cell))  # some part cells at semicolons

    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([map(harmless, line) for line in [header, *lines]])


def page_name(student):
    """A file name for a student's page: nothing but letters, digits, dots and dashes, and none that two students share.

    A name that is not plain gets a hash. One with capitals is not plain, as some systems take them for small letters, nor
    is one that looks as if it had a hash already.
    """
    safe = re.sub(r"[^A-Za-z0-9._-]+", "_", student).strip("._")[:60]
    if not safe or safe != student.lower() or safe != student or re.search(r"-[0-9a-f]{8}$", safe):
        safe = f"{safe or 'student'}-{hashlib.sha256(student.encode()).hexdigest()[:8]}"
    return f"{safe}.html"


def _difficulty(id, rows):
    """How the class did on an exercise."""
    own = [row for row in rows if row["exercise"] == id]
    mistakes = Counter(row["hint"] for row in own if row["status"] != "ok")
    return {
        "id": id,
        "passed": sum(row["status"] == "ok" for row in own),
        "rows": len(own),
        "mean": sum(row["points"] for row in own) / len(own),
        "max": own[0]["max_points"],
        "states": Counter(row["status"] for row in own),
        "mistakes": sorted(mistakes.items(), key=lambda item: (-item[1], item[0]))[:3],
        "seconds": max(row["seconds"] for row in own),
    }


def _needs_a_look(row):
    return bool(row["fault"]) or row["override"] is not None or row["version"] == "other" or not row["exercise"]


def _histogram(people):
    """Distribution of the totals, as (data URL, alt text)."""
    shares = [person["percent"] for person in people if person["max"]]
    if not shares:
        return None
    figure = Figure(figsize=(6, 2.6), layout="constrained")
    axis = figure.subplots()
    counts, _, _ = axis.hist(shares, bins=range(0, 101, 10), color=_BLUE, edgecolor="white")
    axis.set(xlabel="total, % of all points", ylabel="students", xlim=(0, 100), xticks=range(0, 101, 20))
    axis.yaxis.get_major_locator().set_params(integer=True)
    groups = ", ".join(f"{10 * i} to {10 * i + 10} %: {int(n)}" for i, n in enumerate(counts) if n)
    return _as_url(figure), f"Histogram of totals. Students by share of all points: {groups}."


def _bars(exercises):
    """Share of the class that passed each exercise, as (data URL, alt text)."""
    if not exercises:
        return None
    names = [exercise["id"] for exercise in exercises]
    shares = [100 * exercise["passed"] / exercise["rows"] for exercise in exercises]
    figure = Figure(figsize=(6, 0.8 + 0.32 * len(exercises)), layout="constrained")
    axis = figure.subplots()
    bars = axis.barh(names, shares, color=[_ORANGE if share < 50 else _BLUE for share in shares])
    axis.bar_label(bars, fmt="{:.0f} %", padding=3)
    axis.set(xlim=(0, 100), xlabel="students who passed, %", ylabel="exercise")
    axis.invert_yaxis()
    listed = ", ".join(f"{name}: {share:.0f} %" for name, share in zip(names, shares))
    return _as_url(figure), f"Share of students who passed each exercise. {listed}."


def _as_url(figure):
    for axis in figure.axes:
        axis.spines[["top", "right"]].set_visible(False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=160, metadata={"Software": None})
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def summary(rows):
    """A line for the terminal: how many of each state, and what needs a look."""
    states = Counter(row["status"] for row in rows if row["exercise"])
    look = sum(map(_needs_a_look, rows))
    text = ", ".join(f"{count} {WORDS[state]}" for state, count in states.most_common())
    return f"{text or 'nothing was graded'}; {look} rows need a look (index.html lists them)."
