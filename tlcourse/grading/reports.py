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
    """Write OUT/grades.csv, OUT/students/NAME.html and OUT/index.html.

    Args:
        out: folder of results.
        rows: as results.finish() settles them.
        students: all of the class.
    """
    out = Path(out)
    titles = {exercise.id: exercise.title for exercise in list_exercises()}
    exercises = sorted({(row["exercise"], row["max_points"]) for row in rows if row["exercise"]})
    people = [_person(student, rows, exercises) for student in students]
    write_csv(out / "grades.csv", *grade_table(rows, students))
    folder = out / "students"
    folder.mkdir(exist_ok=True)
    for old in folder.glob("*.html"):
        old.unlink()
    environment = jinja2.Environment(loader=jinja2.PackageLoader("tlcourse"), autoescape=True, trim_blocks=True)
    common = {"titles": titles, "words": WORDS}
    for person in people:
        page = environment.get_template("student.html").render(person=person, **common)
        (folder / person["page"]).write_text(page, encoding="utf-8")
    counted = [row for row in rows if row["exercise"]]
    page = environment.get_template("index.html").render(
        people=people,
        exercises=[_difficulty(id, points, counted) for id, points in exercises],
        histogram=_histogram(people),
        bars=_bars(exercises, counted),
        look=[row for row in rows if _needs_a_look(row)],
        about=rows[0] if rows else None,
        **common,
    )
    (out / "index.html").write_text(page, encoding="utf-8")


def grade_table(rows, students):
    """(header, lines) of grades.csv: a line per student with the points of each exercise, the total and days late."""
    exercises = sorted({(row["exercise"], row["max_points"]) for row in rows if row["exercise"]})
    header = ["student", *(id for id, _ in exercises), "total", "max", "days_late"]
    lines = []
    for student in students:
        person = _person(student, rows, exercises)
        points = {row["exercise"]: row["points"] for row in person["rows"]}
        late = max([row["days_late"] for row in person["rows"]], default=0)
        own = [points.get(id, 0) for id, _ in exercises]
        lines.append([student, *own, person["total"], person["max"], late])
    return header, lines


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


def _person(student, rows, exercises):
    own = [row for row in rows if row["student"] == student]
    total = round(sum(row["points"] for row in own), 2)
    return {
        "name": student,
        "page": page_name(student),
        "rows": own,
        "total": int(total) if total == int(total) else total,
        "max": sum(points for _, points in exercises),
    }


def _difficulty(id, max_points, rows):
    own = [row for row in rows if row["exercise"] == id]
    mistakes = Counter(row["hint"] for row in own if row["status"] != "ok")
    return {
        "id": id,
        "passed": sum(row["status"] == "ok" for row in own),
        "rows": len(own),
        "mean": sum(row["points"] for row in own) / len(own),
        "max": max_points,
        "states": Counter(row["status"] for row in own),
        "mistakes": sorted(mistakes.items(), key=lambda item: (-item[1], item[0]))[:3],
        "seconds": max(row["seconds"] for row in own),
    }


def _needs_a_look(row):
    return bool(row["fault"]) or row["override"] is not None or row["version"] == "other" or not row["exercise"]


def _histogram(people):
    """Distribution of the totals, as (data URL, alt text)."""
    if not people or not people[0]["max"]:
        return None
    shares = [100 * person["total"] / person["max"] for person in people]
    figure = Figure(figsize=(6, 2.6), layout="constrained")
    axis = figure.subplots()
    counts, _, _ = axis.hist(shares, bins=range(0, 101, 10), color=_BLUE, edgecolor="white")
    axis.set(xlabel="total, % of all points", ylabel="students", xlim=(0, 100), xticks=range(0, 101, 20))
    axis.yaxis.get_major_locator().set_params(integer=True)
    groups = ", ".join(f"{10 * i} to {10 * i + 10} %: {int(n)}" for i, n in enumerate(counts) if n)
    return _as_url(figure), f"Histogram of totals. Students by share of all points: {groups}."


def _bars(exercises, rows):
    """Share of the class that passed each exercise, as (data URL, alt text)."""
    if not exercises:
        return None
    shares = []
    for id, _ in exercises:
        own = [row for row in rows if row["exercise"] == id]
        shares.append(100 * sum(row["status"] == "ok" for row in own) / len(own))
    figure = Figure(figsize=(6, 0.8 + 0.32 * len(exercises)), layout="constrained")
    axis = figure.subplots()
    names = [id for id, _ in exercises]
    axis.barh(names, shares, color=[_ORANGE if share < 50 else _BLUE for share in shares])
    for place, share in enumerate(shares):
        inside = share > 88
        axis.text(share - 1 if inside else share + 1, place, f"{share:.0f} %", va="center",
                  ha="right" if inside else "left", color="white" if inside else "black")  # fmt: skip
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
