"""Results in the form that other systems read: Gradescope's results.json, and CSV files with columns of their names."""

import csv
import json
from pathlib import Path

from tlcourse.grading.reports import WORDS, tally, write_csv


def write_gradescope(rows, folder):
    """Write one results.json per student in the form of Gradescope's autograder.

    Args:
        rows: final rows.
        folder: where to; made if absent. A student's file is named like the student's page.

    Returns:
        list of paths.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for student in sorted({row["student"] for row in rows}):
        person = tally(student, rows)
        tests = [
            {
                "name": row["exercise"],
                "score": row["points"],
                "max_score": row["max_points"],
                "status": "passed" if row["status"] == "ok" else "failed",
                "output": f"{WORDS[row['status']]}: {row['hint']}",
            }
            for row in person["rows"]
            if row["exercise"]
        ]
        paths.append(folder / Path(person["page"]).with_suffix(".json"))
        result = {"score": person["total"], "tests": tests}
        paths[-1].write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return paths


def write_columns(rows, path, columns, roster=None, match=None):
    """Write a CSV file whose columns have the names that another system wants.

    Args:
        rows: final rows.
        path: the file.
        columns: dict from a column's name to what stands in it: "student", "total", "max", "percent", "days_late", an
            exercise ("01.2": its points), or a text in quotation marks ('"Quiz 1"') that is the same for all.
        roster: a CSV file that the other system exported. Its lines and columns are kept, and columns are filled in.
        match: with roster, its column that holds what a student's folder is named after.

    Returns:
        list of the students that the roster does not have.

    Raises:
        ValueError: an unknown field, or match is not a column of roster.
    """
    exercises = sorted({row["exercise"] for row in rows if row["exercise"]})
    fields = ["student", "total", "max", "percent", "days_late", *exercises]
    for name, field in columns.items():
        if field not in fields and not field.startswith('"'):
            raise ValueError(f"column {name!r}: {field!r} is not one of {', '.join(fields)}, nor a text in quotes")
    people = {student: tally(student, rows) for student in sorted({row["student"] for row in rows})}

    def fill(student):
        known = {"student": student, **people[student], **people[student]["points"]}
        return {name: field.strip('"') if field.startswith('"') else known[field] for name, field in columns.items()}

    if roster is None:
        write_csv(path, list(columns), [fill(student).values() for student in people])
        return []
    with open(roster, encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        header, lines = list(reader.fieldnames or []), list(reader)
    if match not in header:
        raise ValueError(f"match={match!r}: not a column of {roster}; it has {', '.join(header)}")
    for line in lines:
        if line[match] in people:
            line |= fill(line[match])
    header += [name for name in columns if name not in header]
    write_csv(path, header, [[line.get(name, "") for name in header] for line in lines])
    return [student for student in people if student not in {line[match] for line in lines}]
