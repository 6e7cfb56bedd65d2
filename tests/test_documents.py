"""README.md and the syllabus say what the lessons say of themselves."""

import pytest

from tlcourse.authoring import documents
from tlcourse.course.lessons import Lesson

MARKS = "{0}<!-- lessons: written by tlcourse release -->old<!-- end of lessons -->"
README = "# T\n" + MARKS.format("") + "<!-- exercises: written by tlcourse release -->old<!-- end of exercises -->\nend"


@pytest.fixture
def lessons(tmp_path):
    (tmp_path / "exercises").mkdir()
    (tmp_path / "exercises" / "e1_first.py").touch()
    further = (("More of it", 10),)
    return [
        Lesson("plain", "01", "Plain", "Why?", 60, 0, (), (), (), (), tmp_path / "absent"),
        Lesson("rich", "02", "Rich", "How?", 90, 30, ("01",), ("00",), ("text",), further, tmp_path),
    ]


def test_readme_has_a_row_per_lesson_with_its_time_and_the_exercises(lessons):
    text = documents.stamp_readme(README, lessons, {"01_plain": 40.2}, None)
    assert "| [01 Plain](notebooks/01_plain.ipynb) | Why? | 45 s |" in text
    assert "| [02 Rich](notebooks/02_rich.ipynb) | How? | – |" in text, "its time is not measured yet"
    assert "Exercises: [02](exercises/02_rich.ipynb)." in text and "old" not in text
    assert documents.stamp_readme(text, lessons, {"01_plain": 40.2}, None) == text


def test_the_syllabus_says_what_builds_on_what_and_what_goes_further(lessons):
    text = documents.stamp_syllabus(MARKS.format("# S\n"), lessons)
    assert "| 01 Plain | nothing | 60 minutes | none | nothing |" in text
    assert "| 02 Rich | 01; 00 helps | 90 minutes | 1, about 30 minutes | More of it (10 minutes) |" in text
    assert documents.stamp_syllabus(text, lessons) == text


def test_a_document_without_its_marks_is_an_error(lessons):
    with pytest.raises(ValueError, match="the part 'lessons' needs the lines"):
        documents.stamp_syllabus("# S", lessons)


def test_the_count_of_claims_is_the_last_measured(tmp_path, lessons):
    text = README + " 1 of the 2 claims that the lessons measure held in every run."
    assert documents.read_totals(tmp_path) is None and "1 of the 2" in documents.stamp_readme(text, lessons, {}, None)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "claims.json").write_text('{"totals": {"always": 30, "measured": 31}}')
    assert "30 of the 31 claims" in documents.stamp_readme(text, lessons, {}, documents.read_totals(tmp_path))
