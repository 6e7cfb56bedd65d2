"""Every exercise notebook goes through the grader: solved it earns all its points, untouched none."""

import pytest
from handed_in import submission

from tlcourse.course import exercise_notebooks

NAMES = [path.stem for path in exercise_notebooks()]


@pytest.mark.parametrize("name", NAMES)
def test_a_solved_notebook_earns_everything(judge, name):
    rows = judge.grade(submission(solved=True, name=name), name)
    assert [row["message"] for row in rows if row["points"] < row["max_points"]] == []
    assert sum(row["points"] for row in rows) >= 25


@pytest.mark.parametrize("name", NAMES)
def test_an_untouched_notebook_earns_nothing_and_is_no_error(judge, name):
    rows = judge.grade(submission(name=name), name)
    assert {(row["points"], row["status"]) for row in rows} == {(0, "missing")}
