"""The layout that CONTRIBUTING.md describes: three products, their budgets and directions, and where a line is found."""

import ast
import re
from pathlib import Path

import pytest

import tlcourse
from tlcourse.course import course_root
from tlcourse.course.lessons import list_lessons

PACKAGE = Path(tlcourse.__file__).parent
LIBRARY = ("data", "models", "training", "adapt", "measure")  # in this order: none imports a later one
PLATFORM = ("course", "checks", "teach", "authoring", "grading", "cli")
MODULES = sorted(PACKAGE.glob("**/*.py"))


def product_of(path):
    folder = path.relative_to(PACKAGE).parts[0]
    return "library" if folder in LIBRARY else "platform" if folder in PLATFORM else folder


def lines_of(paths):
    return sum(len(path.read_text(encoding="utf-8").splitlines()) for path in paths)


@pytest.mark.parametrize("product, budget", [("library", 7500), ("platform", 5500)])
def test_a_product_keeps_its_budget(product, budget):
    lines = lines_of(path for path in MODULES if product_of(path) == product)
    print(f"{product}: {lines} of {budget} lines")
    assert 0 < lines <= budget


@pytest.mark.parametrize("lesson", list_lessons(), ids=lambda lesson: lesson.slug)
def test_a_lesson_keeps_its_budget(lesson):
    lines = lines_of(lesson.folder.glob("**/*.py"))
    print(f"{lesson.slug}: {lines} of 900 lines")
    assert lines <= 900


def test_every_module_belongs_to_a_product():
    others = {
        path.relative_to(PACKAGE).as_posix()
        for path in MODULES
        if product_of(path) not in ("library", "platform", "lessons")
    }
    assert others == {"__init__.py", "_moved.py"}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_a_module_is_short_and_imports_nothing_above_it(path):
    text = path.read_text(encoding="utf-8")
    print(f"{len(text.splitlines())} of 350 lines")
    assert len(text.splitlines()) <= 350
    order = {"library": 0, "platform": 1, "lessons": 2}
    own = product_of(path)
    for name in imported(ast.parse(text)):
        folder = name.split(".")[1]
        if own == "library":
            assert folder in LIBRARY, f"the library imports {name}"
            assert LIBRARY.index(folder) <= LIBRARY.index(path.relative_to(PACKAGE).parts[0]), name
        elif own in order:
            assert folder != "lessons" or own == "lessons", f"{own} imports {name}"


def imported(tree):
    """The modules of this package that a module imports anywhere in it, but for tlcourse._moved."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module == "tlcourse":
            names |= {f"tlcourse.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return {
        name for name in names if name.startswith("tlcourse.") and not name.startswith(("tlcourse._", "tlcourse.__"))
    }


def test_a_lesson_imports_no_other_lesson():
    for path in PACKAGE.glob("lessons/*/**/*.py"):
        slug = path.relative_to(PACKAGE).parts[1]
        for name in imported(ast.parse(path.read_text(encoding="utf-8"))):
            assert not name.startswith("tlcourse.lessons.") or name.split(".")[2] == slug, (path, name)


def test_what_runs_beside_an_answer_does_not_import_what_judges_it():
    for path in PACKAGE.glob("lessons/*/observers.py"):
        assert not [name for name in imported(ast.parse(path.read_text(encoding="utf-8"))) if ".exercises" in name], (
            path
        )


def test_the_library_knows_no_lesson():
    for path in MODULES:
        if product_of(path) == "library":
            assert not re.search(r"[Ll]esson \d\d|exercise \d\d", path.read_text(encoding="utf-8")), path


def two_hops():
    """Rows of CONTRIBUTING.md's table of questions: the question, the file, and what stands there."""
    text = (course_root() / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = text.split("## Where is it?")[1].split("\n## ")[0]
    return re.findall(r"(?m)^\| ([^|]+?) \| `([^`]+)` \| `([^`]+)` \|$", table)


def test_the_ten_questions_are_answered():
    assert len(two_hops()) >= 10


@pytest.mark.parametrize("question, path, name", two_hops())
def test_the_answer_to_a_question_stands_where_the_table_says(question, path, name):
    assert name in (course_root() / path).read_text(encoding="utf-8"), question
