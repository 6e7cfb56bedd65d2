"""Read notebooks: a student's, however odd, and the released one that it answers."""

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path

import nbformat

from tlcourse.course import exercise_notebooks

CHECK_CALL = re.compile(r'check\("([^"]+)"')  # how a check cell begins


def read_cells(content):
    """Read the cells of a notebook that may be of any version, or damaged.

    This runs in a child, before any code of the student's, so that no file can stop the judge.

    Args:
        content: the bytes of the file.

    Returns:
        list of dicts: "kind" ("code", "markdown" …), "source", "grade_id" (nbgrader's, else the cell's own id, else
        ""), "locked" (a cell that students do not write) and "version" (what release wrote into a check cell, or "").

    Raises:
        ValueError: no notebook can be made of it, with the reason.
    """
    if not content.strip():
        raise ValueError("the file is empty")
    try:
        notebook = json.loads(content.decode("utf-8-sig", errors="replace"))
    except RecursionError:
        raise ValueError("the file is not a notebook: its JSON is nested too deep") from None
    except ValueError as error:
        raise ValueError(f"the file is not a notebook: its JSON is damaged ({error})") from None
    if not isinstance(notebook, dict):
        raise ValueError("the file is not a notebook: it holds other JSON")
    if not isinstance(notebook.get("cells"), list):  # before format 4, cells lay in worksheets
        try:
            notebook = nbformat.convert(nbformat.reader.reads(json.dumps(notebook)), 4)
        except Exception as error:
            raise ValueError(f"the file is not a notebook: it has no cells ({type(error).__name__})") from None
    return [_as_plain_cell(cell) for cell in notebook["cells"] if isinstance(cell, dict)]


def _as_plain_cell(cell):
    metadata = cell.get("metadata") if isinstance(cell.get("metadata"), dict) else {}
    nbgrader = metadata.get("nbgrader") if isinstance(metadata.get("nbgrader"), dict) else {}
    source = cell.get("source", "")
    lines = source if isinstance(source, list) else [source]
    return {
        "kind": str(cell.get("cell_type")),
        "source": "".join(line for line in lines if isinstance(line, str)),
        "grade_id": str(nbgrader.get("grade_id") or cell.get("id") or metadata.get("id") or "")[:100],
        "locked": nbgrader.get("solution") is not True and bool(nbgrader),
        "version": str(metadata.get("tlcourse_version", ""))[:100],
    }


@dataclass(frozen=True)
class Release:
    """A released exercise notebook: what a submission of it is compared with.

    Attributes:
        name: its file name without the ending.
        path: where it lies.
        cells: as read_cells() gives them.
        exercises: dict from an exercise's id to (check cell's grade_id, grade_ids of its answer cells, version).
    """

    name: str
    path: Path
    cells: list
    exercises: dict

    @property
    def answer_ids(self):
        """grade_ids of all cells that students write."""
        return {id for _, ids, _ in self.exercises.values() for id in ids}


def releases():
    """All released exercise notebooks, by name: the course's, and those of the folder that TLCOURSE_CHECKS names."""
    return {path.stem: read_release(path) for path in exercise_notebooks()}


def read_release(path):
    """The Release in a file; a ValueError if it is not a notebook."""
    cells = read_cells(Path(path).read_bytes())
    exercises, answers = {}, []
    for cell in cells:
        if cell["kind"] == "code" and not cell["locked"] and "NotImplementedError" in cell["source"]:
            answers.append(cell["grade_id"])
        match = CHECK_CALL.match(cell["source"])
        if match and cell["kind"] == "code":
            exercises[match[1]] = (cell["grade_id"], tuple(answers), cell["version"])
            answers = []
    return Release(Path(path).stem, Path(path), cells, exercises)


def versions(cells):
    """What identifies the text of each exercise in a notebook: a hash of all that leads up to its check.

    Args:
        cells: as read_cells() gives them, of a notebook without answers.

    Returns:
        dict from the check cell's grade_id to 12 hexadecimal digits.
    """
    found, digest = {}, hashlib.sha256()
    for cell in cells:
        digest.update(json.dumps([cell["kind"], cell["source"]]).encode())
        if cell["kind"] == "code" and cell["source"].startswith("check("):
            found[cell["grade_id"]] = digest.hexdigest()[:12]
            digest = hashlib.sha256()
    return found
