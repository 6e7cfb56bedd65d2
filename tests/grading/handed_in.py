"""What students hand in, made from the exercises and the solutions."""

import copy

import nbformat

from tlcourse.course import course_root

NAME = "01_fundamentals"
SECRET = b"the secret of the tests"


def notebook_of(folder, name=NAME):
    return nbformat.read(course_root() / folder / f"{name}.ipynb", as_version=4)


def as_bytes(notebook):
    return nbformat.writes(notebook).encode()


def submission(answers=None, first=None, solved=False, name=NAME):
    """A submission as bytes: the student notebook with some of its answer cells replaced.

    Args:
        answers: dict from the grade_id of an answer cell to the source to put there.
        first: source of a cell of the student's own before all answers.
        solved: start from the solutions, not from the stubs.
        name: of the exercise notebook.
    """
    notebook = notebook_of("exercises", name)
    solutions = {cell.id: cell.source for cell in notebook_of("solutions", name).cells}
    for cell in notebook.cells:
        if solved and cell.metadata.get("nbgrader", {}).get("solution"):
            cell.source = solutions[cell.id]
        if cell.id in (answers or {}):
            cell.source = answers[cell.id]
    if first is not None:
        notebook.cells.insert(2, nbformat.v4.new_code_cell(first))
    return as_bytes(copy.deepcopy(notebook))
