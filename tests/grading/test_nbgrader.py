"""nbgrader's own commands take the course that `tlcourse release --nbgrader` writes, and give the marks that we give."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from handed_in import NAME, submission
from typer.testing import CliRunner

from tlcourse.cli import app
from tlcourse.course import course_root

HONEST = {
    "full": submission(solved=True),
    "partly": submission(
        {
            "labels-needed": "def labels_needed(n, a, t):\n    return np.exp(np.interp(t, a, np.log(n)))",
            "fit-linear-probe": "def fit_linear_probe(*a):\n    return None",
        },
        solved=True,
    ),
    "untouched": submission(),
}


def nbgrader(folder, *arguments):
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # it calls alembic by name
    command = [sys.executable, "-m", "nbgrader", *arguments]
    done = subprocess.run(command, cwd=folder, env={**os.environ, "PATH": path}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.fixture(scope="module")
def marks(tmp_path_factory):
    """nbgrader's marks: student → grade_id of the check cell → points."""
    from nbgrader.api import Gradebook

    folder = tmp_path_factory.mktemp("nbgrader") / "course"
    result = CliRunner().invoke(app, ["release", "--nbgrader", str(folder)])
    assert result.exit_code == 0 and "generate_assignment" in result.output
    assert CliRunner().invoke(app, ["release", "--nbgrader", str(folder)]).exit_code == 2  # never over another course
    nbgrader(folder, "generate_assignment", NAME, "--create")
    assert "BEGIN SOLUTION" not in (folder / "release" / NAME / f"{NAME}.ipynb").read_text(encoding="utf-8")
    for student, content in HONEST.items():
        home = folder / "submitted" / student / NAME
        home.mkdir(parents=True)
        (home / f"{NAME}.ipynb").write_bytes(content)
    nbgrader(folder, "autograde", NAME)
    with Gradebook(f"sqlite:///{folder / 'gradebook.db'}") as book:
        return {
            entry.student.id: {grade.name: grade.score for grade in entry.notebooks[0].grades}
            for entry in book.assignment_submissions(NAME)
        }


def test_nbgrader_and_we_give_the_same_marks_on_honest_submissions(marks, judge):
    for student, content in HONEST.items():
        rows = judge.grade(content, NAME)
        ours = {judge.releases[NAME].exercises[row["exercise"]][0]: row["points"] for row in rows}
        assert marks[student] == ours, student
    assert sum(marks["full"].values()) == 32 and sum(marks["partly"].values()) == 23


def test_nbgrader_finds_its_submissions_where_grade_looks_for_them(marks, judge, tmp_path):
    from tlcourse.grading.submissions import find_submissions

    (tmp_path / "ann" / NAME).mkdir(parents=True)
    (tmp_path / "ann" / NAME / f"{NAME}.ipynb").write_bytes(HONEST["full"])
    _, found = find_submissions(tmp_path, [NAME])
    assert [submission.release_name for submission in found] == [NAME]
    assert (course_root() / "exercises" / f"{NAME}.ipynb").exists()
