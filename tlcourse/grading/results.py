"""results.jsonl, and what a person decided on top of it: overrides and the policy for late submissions."""

import csv
import json
import math
import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from tlcourse.course.files import write_whole
from tlcourse.grading import reports


@dataclass(frozen=True)
class Policy:
    """What becomes of late submissions.

    Attributes:
        due: when they are due, ISO 8601 ("2026-12-01T23:59"; local time unless it has an offset), or "" for never.
        late_per_day: share of the points, in [0, 1], that each started day costs.

    Raises:
        ValueError: due is no date, or late_per_day is outside [0, 1].
    """

    due: str = ""
    late_per_day: float = 0.0

    def __post_init__(self):
        if self.due:
            try:
                datetime.fromisoformat(self.due)
            except ValueError:
                raise ValueError(f"due={self.due!r}: want a date and time such as 2026-12-01T23:59") from None
        if not 0 <= self.late_per_day <= 1:
            raise ValueError(f"late_per_day={self.late_per_day}: want a share from 0 to 1")

    def days_late(self, submitted):
        """Started days after the due time, 0 if in time."""
        if not self.due or submitted is None:
            return 0
        return max(0, math.ceil((submitted - datetime.fromisoformat(self.due).astimezone().timestamp()) / 86400))


def read(out):
    """The rows of OUT/results.jsonl as the judge made them; a line cut off by a power failure is left out."""
    path = Path(out) / "results.jsonl"
    rows = []
    for line in path.read_text(encoding="utf-8").split("\n") if path.exists() else []:
        with suppress(ValueError, KeyError, TypeError):
            row = json.loads(line)
            if row["file"]:
                rows.append({**row, "points": row.get("judged", row["points"])})
    return rows


def write(out, rows):
    """Put these rows in place of all that OUT/results.jsonl holds."""
    write_whole(Path(out) / "results.jsonl", _as_lines(rows).encode())


def append(out, rows):
    """Add the rows of one notebook, to the disk."""
    with open(Path(out) / "results.jsonl", "a", encoding="utf-8") as file:
        file.write(_as_lines(rows))
        file.flush()
        os.fsync(file.fileno())


def write_policy(out, policy):
    """Keep the policy beside the results; None keeps what is there."""
    if policy is not None:
        write_whole(Path(out) / "policy.json", (json.dumps(asdict(policy), indent=2) + "\n").encode())


def add_override(out, student, exercise, points, reason):
    """Put a person's mark in place of the judge's, and write the reports again.

    Args:
        out: folder of results.
        student, exercise: whose mark, for what.
        points: the mark, from 0 to the exercise's points.
        reason: kept with it, and shown to the student.

    Raises:
        ValueError: there is no such row, points are out of range, or there is no reason.
    """
    rows = [row for row in read_final(out) if (row["student"], row["exercise"]) == (student, exercise)]
    if not rows or not exercise:
        raise ValueError(f"student {student!r}, exercise {exercise!r}: not in {out}; grade it first")
    if not 0 <= points <= rows[0]["max_points"]:
        raise ValueError(f"points={points}: exercise {exercise} has 0 to {rows[0]['max_points']}")
    if not reason.strip():
        raise ValueError("reason: say why; it is kept with the mark and shown to the student")
    with open(Path(out) / "overrides.csv", "a", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        if file.tell() == 0:
            writer.writerow(["student", "exercise", "points", "reason"])
        writer.writerow([student, exercise, points, reason])
    finish(out, sorted({row["student"] for row in read_final(out)}))


def read_final(out):
    """The rows of OUT/results.jsonl with overrides and late policy in them, as reports and exports show them."""
    path = Path(out) / "results.jsonl"
    if not path.exists():
        raise FileNotFoundError(f"{path}: no results; run tlcourse grade first")
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


def finish(out, students):
    """Settle all rows, write them in order, and write the reports. A student who has no rows gets some: "missing"."""
    out = Path(out)
    rows = _one_notebook_each(read(out))
    rows += _absences(rows, students)
    policy, overrides = _read_policy(out), _read_overrides(out)
    for row in rows:
        row["judged"] = row["points"]
        row["days_late"] = policy.days_late(row["submitted"])
        row["points"] = round(row["judged"] * max(0.0, 1 - policy.late_per_day * row["days_late"]), 2)
        row["override"] = None
        if decided := overrides.get((row["student"], row["exercise"])):
            row["points"], row["override"] = decided
        row["points"] = reports.without_zeros(row["points"])
    rows.sort(key=lambda row: (row["student"], row["notebook"], row["exercise"], row["file"]))
    write(out, rows)
    reports.write(out, rows, students)


def _one_notebook_each(rows):
    """Where a student has several files for one notebook, the one with the released name counts, else the last by name."""
    best = {}
    for row in rows:
        rivals = [row["file"], best.get((row["student"], row["notebook"]), row["file"])]
        chosen = max(rivals, key=lambda file: (Path(file).stem == row["notebook"], file))
        best[row["student"], row["notebook"]] = chosen
    counted, passed_over = [], {}
    for row in rows:
        chosen = best[row["student"], row["notebook"]]
        if row["file"] == chosen or not row["notebook"]:
            counted.append(row)
        else:
            message = f"Not counted: {chosen} answers the same notebook."
            nothing = {"exercise": "", "points": 0, "max_points": 0, "status": "error", "seconds": 0.0}
            passed_over.setdefault(row["file"], row | nothing | {"message": message, "hint": message})
    return counted + list(passed_over.values())


def _absences(rows, students):
    """Rows for the students who have none on an exercise that others have."""
    message = "No notebook was handed in."
    nothing = {"file": "", "submitted": None, "sha256": "", "version": "unknown", "fault": ""}
    nothing |= {"points": 0, "status": "missing", "message": message, "hint": message, "seconds": 0.0}
    examples = {row["exercise"]: row for row in rows if row["exercise"]}
    present = {(row["student"], row["exercise"]) for row in rows}
    return [
        {**example, **nothing, "student": student}
        for student in students
        for exercise, example in examples.items()
        if (student, exercise) not in present
    ]


def _read_policy(out):
    path = out / "policy.json"
    return Policy(**json.loads(path.read_text(encoding="utf-8"))) if path.exists() else Policy()


def _read_overrides(out):
    """(student, exercise) → (points, reason); the last line on each counts."""
    path = out / "overrides.csv"
    if not path.exists():
        return {}
    with open(path, encoding="utf-8", newline="") as file:
        return {(r["student"], r["exercise"]): (float(r["points"]), r["reason"]) for r in csv.DictReader(file)}


def _as_lines(rows):
    return "".join(json.dumps(row) + "\n" for row in rows)
