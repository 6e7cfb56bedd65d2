"""Make the student notebooks from their masters, with nbgrader's own preprocessors."""

import re
from pathlib import Path

import nbformat

from tlcourse.grading.notebook import read_cells, versions


def release_notebook(master):
    """Make the student version of a master notebook: no solutions, no outputs, check cells locked.

    Args:
        master: path of a notebook in solutions/.

    Returns:
        str: the text of the student notebook, the same for the same master.

    Raises:
        ImportError: nbgrader is not installed.
    """
    try:
        from nbgrader.preprocessors import ClearOutput, ClearSolutions, LockCells
    except ImportError as error:
        raise ImportError("release needs nbgrader; install it with: pip install 'tlcourse[test]'") from error
    notebook = nbformat.read(master, as_version=4)
    for preprocessor in (LockCells(), ClearSolutions(), ClearOutput()):
        notebook, _ = preprocessor.preprocess(notebook, {})
    found = versions(read_cells(nbformat.writes(notebook).encode()))
    for cell in notebook.cells:
        if cell.id in found:
            cell.metadata["tlcourse_version"] = found[cell.id]
    return nbformat.writes(notebook) + "\n"


def write_nbgrader_course(root, folder):
    """Write a course that nbgrader's own generate_assignment and autograde take: one assignment per exercise notebook.

    A check cell becomes a call of checks.award, whose number nbgrader reads as the points; one without points raises.

    Args:
        root: a checkout, with solutions/ in it.
        folder: where to; made if absent.

    Returns:
        list of the names of the assignments.

    Raises:
        FileNotFoundError: root has no masters.
        FileExistsError: folder has an nbgrader_config.py already.
    """
    folder = Path(folder)
    if (folder / "nbgrader_config.py").exists():
        raise FileExistsError(f"{folder} is an nbgrader course already; name another folder")
    names = []
    for master in _masters(root):
        notebook = nbformat.read(master, as_version=4)
        for cell in notebook.cells:
            if cell.id == "setup":
                cell.source += _NBGRADER_SETUP
            elif cell.cell_type == "code":
                cell.source = re.sub(r"\Acheck\(", "award(", cell.source)
        target = folder / "source" / master.stem / master.name
        target.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook, target)
        names.append(master.stem)
    (folder / "nbgrader_config.py").write_text(_NBGRADER_CONFIG, encoding="utf-8")
    return names


def release_all(root, write=True):
    """Make every student notebook of a checkout.

    Args:
        root: the checkout, with solutions/ and exercises/ in it.
        write: write what differs; with False only look.

    Returns:
        list of the paths in exercises/ that differed from their master, or have none.

    Raises:
        FileNotFoundError: root has no masters.
    """
    root, masters = Path(root), _masters(root)
    differing = []
    for master in masters:
        target = root / "exercises" / master.name
        text = release_notebook(master)
        if not target.exists() or target.read_text(encoding="utf-8") != text:
            differing.append(target)
            if write:
                target.parent.mkdir(exist_ok=True)
                target.write_text(text, encoding="utf-8")
    names = {master.name for master in masters}
    orphans = [path for path in sorted((root / "exercises").glob("*.ipynb")) if path.name not in names]
    return differing + orphans


def _masters(root):
    masters = sorted((Path(root) / "solutions").glob("*.ipynb"))
    if not masters:
        raise FileNotFoundError(f"no masters in {Path(root) / 'solutions'}; run this in a checkout of the repository")
    return masters


# Locked, so nbgrader puts it into every submission, one made from exercises/ included.
_NBGRADER_SETUP = """

import os

from tlcourse.checks import award

os.environ["TLCOURSE_STRICT"] = "1"
"""

_NBGRADER_CONFIG = """\
c = get_config()  # noqa: F821
c.CourseDirectory.course_id = "tlcourse"
c.ExecutePreprocessor.timeout = 120
c.ExecutePreprocessor.startup_timeout = 120
"""
