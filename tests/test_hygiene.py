"""The form of every notebook: what a reader relies on, and what keeps the repository small."""

import ast
import re
import tomllib
from itertools import pairwise

import nbformat
import pytest

from tlcourse import teach
from tlcourse.course import course_root
from tlcourse.course.lessons import list_lessons

NOTEBOOKS = sorted(
    path for folder in ("notebooks", "solutions", "exercises") for path in (course_root() / folder).glob("*.ipynb")
)
LESSONS = [path for path in NOTEBOOKS if path.parent.name == "notebooks"]
SETUP = next(c.source for c in nbformat.read(LESSONS[0], as_version=4).cells if c.id == "setup")


def label(path):
    return f"{path.parent.name}/{path.stem}"


def code_cells(path):
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


def prose(path):
    return "\n\n".join(cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "markdown")


def headings(path):
    return [(len(marks), text) for marks, text in re.findall(r"(?m)^(#{1,6}) (.+)$", prose(path))]


def test_there_are_notebooks():
    assert {label(path) for path in NOTEBOOKS} >= {
        "notebooks/00_start_here",
        "notebooks/01_fundamentals",
        "solutions/01_fundamentals",
        "exercises/01_fundamentals",
    }


@pytest.mark.parametrize("path", NOTEBOOKS, ids=label)
def test_notebook_is_valid_stripped_and_has_stable_ids(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    ids = [cell.id for cell in notebook.cells]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[a-z][a-z0-9-]*", id) and not re.fullmatch(r"[0-9a-f]{8}", id) for id in ids)
    assert not any(cell.outputs or cell.execution_count for cell in code_cells(path))
    assert notebook.metadata.keys() <= {"kernelspec", "language_info"}
    known = {"tags", "cellView", "jupyter", "nbgrader", "tlcourse_version", "deletable", "editable"}
    assert all(cell.metadata.keys() <= known for cell in notebook.cells)
    assert path.stat().st_size < 100_000


@pytest.mark.parametrize("path", NOTEBOOKS, ids=label)
def test_headings_begin_with_one_h1_and_skip_no_level(path):
    levels = [level for level, _ in headings(path)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=label)
def test_the_setup_cell_is_the_first_code_and_the_same_everywhere(path):
    first = code_cells(path)[0]
    assert (first.id, first.source) == ("setup", SETUP)
    assert "torch" not in SETUP


@pytest.mark.parametrize("path", NOTEBOOKS, ids=label)
def test_code_cells_are_short(path):
    for cell in code_cells(path):
        assert len(cell.source.splitlines()) <= 40, cell.id


@pytest.mark.parametrize("path", NOTEBOOKS, ids=label)
def test_every_figure_is_shown_with_alt_text(path):
    for cell in code_cells(path):
        if cell.id == "setup":
            continue
        assert "plt.show" not in cell.source, cell.id
        calls = [node for node in ast.walk(ast.parse(cell.source)) if isinstance(node, ast.Call)]
        shows = [call for call in calls if ast.unparse(call.func) == "teach.show"]
        assert all(any(keyword.arg == "alt" for keyword in call.keywords) for call in shows), cell.id
        drawn = [
            call for call in calls if ast.unparse(call.func).startswith(("plt.subplots", "plt.figure", "figures.draw_"))
        ]
        # a drawing function of teach.interactive returns (figure, alt)
        in_function = "def draw" in cell.source or "teach.interactive" in cell.source or "teach.lab(" in cell.source
        assert in_function or len(shows) == len(drawn), cell.id
    assert not re.search(r"!\[\]\(", prose(path)), "a picture in the prose without alt text"


@pytest.mark.parametrize("path", LESSONS, ids=label)
def test_a_lesson_has_the_sections_that_learners_expect_in_order(path):
    titles = [text.lower() for level, text in headings(path) if level == 2]
    wanted = ["a working result first", "pitfalls", "summary", "references"]
    if not path.stem.startswith("00"):
        wanted.insert(1, "with the library")
    positions = [titles.index(title) for title in wanted]
    assert positions == sorted(positions)
    between = ["going further"] if "going further" in titles else []
    assert titles[titles.index("summary") :] == ["summary", *between, "references"]
    assert "**You need**" in prose(path) and "**Time:**" in prose(path)


@pytest.mark.parametrize("path", LESSONS, ids=label)
def test_references_give_author_title_venue_and_year(path):
    references = prose(path).split("## References")[1].strip().splitlines()
    assert 4 <= len(references) <= 8
    for reference in references:
        assert re.fullmatch(r"- .+?: \*.+\*\.? .+, (19|20)\d\d\. .+", reference), reference


@pytest.mark.parametrize("path", LESSONS, ids=label)
def test_a_lesson_asks_claims_and_interacts(path):
    source = "\n".join(cell.source for cell in code_cells(path))
    ids = re.findall(r'teach\.claim\(\s*"([^"]+)"', source)
    assert len(set(ids)) == len(ids) and all(id.startswith(path.stem[:2] + ".") for id in ids)
    assert source.count("teach.claims_held()") == 1
    if not path.stem.startswith("00"):
        assert len(ids) >= 6 and ("teach.interactive(" in source or "teach.lab(" in source)


def lesson_of(path):
    (lesson,) = [lesson for lesson in list_lessons() if lesson.notebook == path.stem]
    return lesson


@pytest.mark.parametrize("path", LESSONS, ids=label)
def test_every_quiz_is_asked_once_and_its_answer_stands_in_the_lesson_s_file(path):
    asked = [call for cell in code_cells(path) for call in re.findall(r"teach\.quiz\((.*)", cell.source)]
    quizzes = tomllib.loads((lesson_of(path).folder / "quizzes.toml").read_text(encoding="utf-8"))
    assert asked and asked == [f'"{path.stem[:2]}.{number}")' for number in range(1, len(asked) + 1)]
    assert list(quizzes) == [call.strip('")') for call in asked]
    for id in quizzes:
        teach.quiz(id)


@pytest.mark.parametrize("path", LESSONS, ids=label)
def test_the_optional_sections_are_those_that_the_lesson_s_file_names(path):
    after = headings(path)[headings(path).index((2, "Summary")) :]
    optional = after[after.index((2, "Going further")) :] if (2, "Going further") in after else []
    assert [text for level, text in optional if level == 3] == [title for title, _ in lesson_of(path).further]


@pytest.mark.parametrize("path", LESSONS, ids=label)
def test_a_cell_that_only_claims_is_folded(path):
    for cell in code_cells(path):
        lines = [line for line in cell.source.splitlines() if not line.startswith((" ", ")"))]
        if lines and all(line.startswith("teach.claim") for line in lines):
            assert "hide-input" in cell.metadata.get("tags", []), cell.id


@pytest.mark.parametrize("path", NOTEBOOKS, ids=label)
def test_links_between_notebooks_lead_somewhere(path):
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", prose(path)):
        assert (path.parent / target).resolve().exists(), target


def test_every_lesson_has_a_notebook_and_every_notebook_is_a_lessons():
    assert [path.stem for path in LESSONS] == [lesson.notebook for lesson in list_lessons()]
    for folder in ("solutions", "exercises"):
        found = {path.stem for path in NOTEBOOKS if path.parent.name == folder}
        assert found == {x.notebook for x in list_lessons() if list(x.folder.glob("exercises/*.py"))}, folder


@pytest.mark.parametrize("lesson", list_lessons(), ids=lambda lesson: lesson.slug)
def test_a_lesson_begins_with_the_title_that_it_has_everywhere(lesson):
    path = course_root() / "notebooks" / f"{lesson.notebook}.ipynb"
    assert headings(path)[0][1].startswith(lesson.title) and f"{lesson.minutes} minutes of yours" in prose(path)


DOCUMENTS = [*NOTEBOOKS, *course_root().glob("*.md"), *course_root().glob("docs/*.md")]


@pytest.mark.parametrize("path", DOCUMENTS, ids=label)
def test_the_text_of_a_link_says_where_it_leads(path):
    text = prose(path) if path.suffix == ".ipynb" else path.read_text(encoding="utf-8")
    for words in re.findall(r"(?<!!)\[([^\]]+)\]\((?!#)[^)]+\)", text):
        assert words.strip("`* ").lower() not in ("here", "this", "link", "click here", "more", "this link"), path
        assert not words.startswith("http"), path


@pytest.mark.parametrize("path", LESSONS, ids=label)
def test_colours_come_from_the_palette(path):
    for cell in code_cells(path):
        named = re.findall(r"\bc(?:olor)?=[\"'](.+?)[\"']", cell.source)
        assert set(named) <= {"black", "white", "none"}, (cell.id, named)


def test_every_lesson_stands_in_the_readme_and_the_syllabus():
    for document in ("README.md", "docs/syllabus.md"):
        text = (course_root() / document).read_text(encoding="utf-8")
        for path in LESSONS:
            assert path.stem[:2] in text, f"{path.stem} is not in {document}"


def test_no_file_names_a_path_of_the_machine_it_was_made_on():
    root = course_root()
    texts = [
        *NOTEBOOKS,
        *root.glob("tlcourse/**/*.py"),
        *root.glob("*.md"),
        *root.glob("tlcourse/models/weights/*.json"),
    ]
    for path in texts:
        assert not re.search(r"(?<![\w$.])/(home|root|tmp|work|Users)/", path.read_text(encoding="utf-8")), path
