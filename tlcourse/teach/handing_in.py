"""Make the file that a learner hands in from the notebook that is open."""

import json
import os
import re
import sys
from pathlib import Path

from IPython import get_ipython

from tlcourse.course.files import write_whole


def submission(notebook=None):
    """Write this exercise notebook as the grader wants it: under its released name, without outputs; see what is in it.

    On Colab the notebook is read from the page as it stands, and the file is downloaded. Elsewhere the saved file is
    read, so save first. Prints which exercises have an answer.

    Args:
        notebook: path of your notebook, where it is not found by itself.

    Returns:
        Path of the file, in a folder "submission" below the working folder.

    Raises:
        FileNotFoundError: the notebook is not found.
        ValueError: it is not one of the course's exercise notebooks.
        OSError: the file cannot be written.
    """
    from tlcourse.course.read import read_cells, releases  # not at the top: nbformat takes 0.8 s in every lesson

    on_colab = "google.colab" in sys.modules
    content = _ask_colab() if on_colab and notebook is None else _find(notebook).read_bytes()
    cells = read_cells(content)
    release = _best_match(releases().values(), cells)
    document = json.loads(content)
    for cell in document["cells"]:
        if cell.get("cell_type") == "code":
            cell["outputs"], cell["execution_count"] = [], None
    target = Path("submission") / f"{release.name}.ipynb"
    target.parent.mkdir(exist_ok=True)
    write_whole(target, (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode())
    states = _states(cells, release)
    for id, state in states.items():
        print(f"{id}  {state}")
    answered = sum(state == "answered" for state in states.values())
    print(f"{answered} of {len(states)} exercises have an answer. Hand in the file {target.as_posix()}.")
    if on_colab:
        from google.colab import files

        files.download(str(target))
    return target


def _ask_colab():
    from google.colab import _message

    reply = _message.blocking_request("get_ipynb", request="", timeout_sec=30)
    if not reply or "ipynb" not in reply:
        raise FileNotFoundError(
            "notebook: Colab did not give its content; choose File → Download → Download .ipynb instead"
        )
    return json.dumps(reply["ipynb"]).encode()


def _find(notebook):
    """The notebook's file: as named, or as the front end says (VS Code in the namespace, Jupyter in the environment)."""
    shell = get_ipython()
    named = notebook or (shell and shell.user_ns.get("__vsc_ipynb_file__")) or os.environ.get("JPY_SESSION_NAME")
    if not named or not Path(named).is_file():
        raise FileNotFoundError(
            f"notebook={notebook!r}: the file was not found; give its path, as in teach.submission('01_fundamentals.ipynb')"
        )
    return Path(named)


def _best_match(releases, cells):
    """The released notebook that these cells answer: the one with most of their check cells."""
    ids = {cell["grade_id"] for cell in cells}

    def shared(release):
        return sum(check in ids for check, _, _ in release.exercises.values())

    best = max(releases, key=shared)
    if shared(best) == 0:
        raise ValueError("notebook: this is none of the course's exercise notebooks; open the one that you hand in")
    return best


def _states(cells, release):
    sources = {cell["grade_id"]: cell["source"] for cell in cells}
    states = {}
    for id, (_, answers, _) in release.exercises.items():
        if any(answer not in sources for answer in answers):
            states[id] = "its cell is missing; copy it from the course's notebook"
        elif any(re.search(r"(?m)^\s*raise NotImplementedError", sources[answer]) for answer in answers):
            states[id] = "not written yet"
        else:
            states[id] = "answered"
    return states
