"""Make the student notebooks from their masters, with nbgrader's own preprocessors."""

from pathlib import Path

import nbformat


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
    return nbformat.writes(notebook) + "\n"


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
    root = Path(root)
    masters = sorted((root / "solutions").glob("*.ipynb"))
    if not masters:
        raise FileNotFoundError(f"no masters in {root / 'solutions'}; run this in a checkout of the repository")
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
