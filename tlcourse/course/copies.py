"""How a learner gets copies of the notebooks, and keeps their own work."""

import hashlib
import json
from pathlib import Path

from tlcourse.course.files import read_dict, write_whole
from tlcourse.course.find import course_root

FOLDERS = ("notebooks", "exercises")


def copy_course(folder):
    """Copy the lessons and exercises into a folder, or bring it up to date; a notebook that was changed there stays.

    Args:
        folder: where to; made if absent. A file .tlcourse.json in it says what was copied.

    Returns:
        dict from each notebook (path relative to folder) to "new"; "same" (its cells are the course's, run or not);
        "updated" (nobody had touched it since it was copied, so the course's new version took its place); "changed" (it
        was changed there, and the course's is the version that it was made from); or "kept" (both were changed, and the
        course's version lies beside it as NAME.new.ipynb).

    Raises:
        OSError: the folder cannot be written to.
    """
    folder = Path(folder)
    record = folder / ".tlcourse.json"
    copied, done = read_dict(record), {}
    try:
        for kind in FOLDERS:
            (folder / kind).mkdir(parents=True, exist_ok=True)
            for source in sorted((course_root() / kind).glob("*.ipynb")):
                name, content = f"{kind}/{source.name}", source.read_bytes()
                target = folder / name
                present = target.read_bytes() if target.exists() else None
                if present is None:
                    done[name] = "new"
                elif _sources(present) == _sources(content):
                    done[name] = "same"
                elif _digest(present) == copied.get(name):
                    done[name] = "updated"
                elif _digest(content) == copied.get(name):
                    done[name] = "changed"
                else:
                    done[name] = "kept"
                    target = target.with_suffix(".new.ipynb")
                if done[name] in ("new", "updated", "kept"):
                    write_whole(target, content)
                    copied[name] = _digest(content)
        write_whole(record, (json.dumps(copied, indent=1) + "\n").encode())
    except OSError as error:
        raise OSError(f"folder {str(folder)!r} cannot be written to ({error}); name another one") from error
    return done


def _sources(content):
    """What a person wrote in a notebook: the kinds and sources of its cells; the bytes themselves if it is none."""
    try:
        cells = json.loads(content)["cells"]
        return [(cell["cell_type"], "".join(cell["source"])) for cell in cells]
    except (ValueError, KeyError, TypeError):
        return content


def _digest(content):
    return hashlib.sha256(content).hexdigest()
