"""A new lesson is new files and no edit: a test adds one to a copy of the tree and uses all of it."""

import json
import os
import shutil
import subprocess
import sys

import nbformat
import pytest

from tlcourse.course import course_root

TOML = """number = "98"
title = "Doubling"
question = "What is twice a number?"
minutes = 5
exercise_minutes = 5
needs = ["00"]
"""
QUIZ = """["98.1"]
question = "What is twice two?"
answer = "4"
options = [
  { text = "4", why = "Two and two are four." },
  { text = "5", why = "That is one too many." },
]
"""
EXERCISE = '''"""Double a number."""

from tlcourse.checks.spec import Case

ID = "98.1"
TITLE = "Twice"
POINTS = 2
ENTRY_POINT = "double"
SECONDS = 5


def cases(rng):
    return [Case((float(rng.normal()),), {})]


def verify(case, output):
    return None if output == 2 * case.inputs[0] else "That is not twice the number."
'''


def code(id, source, **nbgrader):
    cell = nbformat.v4.new_code_cell(source, id=id)
    if nbgrader:
        base = {"schema_version": 3, "grade_id": id, "grade": False, "solution": False, "locked": False, "task": False}
        cell.metadata["nbgrader"] = base | nbgrader
    return cell


def write(path, *cells):
    like = nbformat.read(course_root() / "notebooks" / "00_start_here.ipynb", as_version=4)
    setup = next(cell for cell in like.cells if cell.id == "setup")
    title, *others = cells
    like.cells = [title, setup, *others]
    nbformat.write(like, path)


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    root = tmp_path_factory.mktemp("tree")
    for name in ("tlcourse", "notebooks", "solutions", "exercises", "docs", "tests"):
        shutil.copytree(course_root() / name, root / name, ignore=shutil.ignore_patterns("__pycache__", ".ipynb*"))
    for path in course_root().glob("*.*"):
        if path.is_file():
            shutil.copy(path, root)
    before = contents(root)
    lesson = root / "tlcourse" / "lessons" / "doubling"
    (lesson / "exercises").mkdir(parents=True)
    (lesson / "lesson.toml").write_text(TOML)
    (lesson / "quizzes.toml").write_text(QUIZ)
    (lesson / "exercises" / "e1_double.py").write_text(EXERCISE)
    title = nbformat.v4.new_markdown_cell("# 98 Doubling\n\nWhat is twice a number?", id="title")
    quiz = code("quiz-one", 'teach.quiz("98.1")')
    write(root / "notebooks" / "98_doubling.ipynb", title, quiz)
    answer = "def double(x):\n    ### BEGIN SOLUTION\n    return 2 * x\n    ### END SOLUTION"
    write(
        root / "solutions" / "98_doubling.ipynb",
        title,
        code("imports", "from tlcourse.checks import check"),
        code("double", answer, solution=True),
        code("check-double", 'check("98.1", double)', grade=True, locked=True, points=2),
    )
    return root, before


def contents(root):
    return {path: path.read_bytes() for path in root.rglob("*") if path.is_file() and "__pycache__" not in path.parts}


def run(root, *arguments, status=0):
    environment = os.environ | {"PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([sys.executable, *arguments], cwd=root, env=environment, capture_output=True, text=True)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout


def test_release_makes_all_else_and_is_then_content(tree):
    root, before = tree
    run(root, "-m", "tlcourse.cli", "release")
    run(root, "-m", "tlcourse.cli", "release", "--check")
    changed = {path.relative_to(root).as_posix() for path, text in before.items() if path.read_bytes() != text}
    assert changed <= {"README.md", "docs/syllabus.md"}, "an author would have had to edit these"
    assert "notebooks/98_doubling.ipynb" in (root / "README.md").read_text()
    assert "| 98 Doubling | 00 | 5 minutes | 1, about 5 minutes |" in (root / "docs" / "syllabus.md").read_text()
    assert "### BEGIN" not in (root / "exercises" / "98_doubling.ipynb").read_text()


def test_the_exercise_is_found_judged_and_counted(tree):
    root, _ = tree
    found = run(
        root,
        "-c",
        "import json\nfrom tlcourse import checks\nfrom tlcourse.course.progress import read_lessons\n"
        "answers = (lambda x: 2 * x, lambda x: x)\n"
        "points = [checks.run(checks.find_exercise('98.1'), answer, 0).points for answer in answers]\n"
        "print(json.dumps([points, read_lessons()[-1].exercises]))",
    )
    assert json.loads(found) == [[2, 0], ["98.1"]]


def test_its_notebook_is_checked_in_the_terminal(tree):
    root, _ = tree
    solved = str(root / "solutions" / "98_doubling.ipynb")
    assert "✓ Exercise 98.1, 2 of 2 points" in run(root, "-m", "tlcourse.cli", "check", solved)


def test_the_quiz_is_found(tree):
    root, _ = tree
    assert "What is twice two?" in run(
        root, "-c", "from tlcourse import teach; print(teach.quiz('98.1').children[0].value)"
    )
