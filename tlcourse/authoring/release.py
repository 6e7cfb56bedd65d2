"""Make the student notebooks from their masters, with nbgrader's own preprocessors, and keep the stamps up to date."""

import re
from pathlib import Path

import nbformat

from tlcourse.authoring import documents, stamps
from tlcourse.course.lessons import list_lessons
from tlcourse.course.read import read_cells, versions


def release_notebook(master):
    """Make the student version of a master notebook: no solutions, no outputs, check cells locked.

    Args:
        master: the text of a notebook in solutions/.

    Returns:
        str: the text of the student notebook, the same for the same master.

    Raises:
        ImportError: nbgrader is not installed.
    """
    try:
        from nbgrader.preprocessors import ClearOutput, ClearSolutions, LockCells
    except ImportError as error:
        raise ImportError("release needs nbgrader; install it with: pip install 'tlcourse[test]'") from error
    notebook = nbformat.reads(master, as_version=4)
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
    """Make every student notebook of a checkout, and stamp its lessons, masters, README and syllabus.

    Args:
        root: the checkout, with solutions/ and exercises/ in it.
        write: write what differs; with False only look.

    Returns:
        list of the paths that differed from what they should be, or have no master.

    Raises:
        FileNotFoundError: root has no masters.
        ImportError: nbgrader is not installed.
    """
    root, masters = Path(root), _masters(root)
    repository, times = stamps.read_repository(root), documents.read_times(root)
    made, minutes = {}, {lesson.notebook: lesson.minutes for lesson in list_lessons()}
    for path in sorted((root / "notebooks").glob("[0-9][0-9]_*.ipynb")):
        made[path] = stamps.stamp_notebook(path, "notebooks", repository, times.get(path.stem), minutes.get(path.stem))
    for master in masters:
        made[master] = stamps.stamp_notebook(master, "exercises", repository)
        made[root / "exercises" / master.name] = release_notebook(made[master])
    readme, syllabus = root / "README.md", root / "docs" / "syllabus.md"
    if readme.exists():
        totals = documents.read_totals(root)
        made[readme] = documents.stamp_readme(readme.read_text(encoding="utf-8"), list_lessons(), times, totals)
    if syllabus.exists():
        made[syllabus] = documents.stamp_syllabus(syllabus.read_text(encoding="utf-8"), list_lessons())
    differing = [path for path, text in made.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    for path in differing if write else []:
        path.parent.mkdir(exist_ok=True)
        path.write_text(made[path], encoding="utf-8")
    return differing + sorted(set((root / "exercises").glob("*.ipynb")) - made.keys())


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
