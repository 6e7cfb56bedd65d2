"""Where the notebooks are, and how a learner gets copies of them."""

import hashlib
import json
import os
from pathlib import Path

import tlcourse
from tlcourse.files import read_dict, write_whole

FOLDERS = ("notebooks", "exercises")


def course_root():
    """The folder that holds notebooks/ and exercises/: inside the installed package, or the repository."""
    package = Path(tlcourse.__file__).parent
    installed = package / "_course"
    return installed if installed.is_dir() else package.parent


def select_lessons(chosen):
    """Paths of the lessons with the given numbers ("01") or file names, all of them if none is given.

    Raises:
        ValueError: a lesson that does not exist.
    """
    lessons = sorted((course_root() / "notebooks").glob("[0-9][0-9]_*.ipynb"))
    if not chosen:
        return lessons
    selected = []
    for word in chosen:
        found = [path for path in lessons if path.name.startswith(f"{word}_") or path.stem == Path(word).stem]
        if not found:
            raise ValueError(f"lesson {word!r}: there is none; there are {', '.join(path.stem for path in lessons)}")
        selected += found
    return selected


def exercise_notebooks():
    """Paths of the released exercise notebooks: the course's, then those in the folder that TLCOURSE_CHECKS names."""
    own = sorted(Path(folder).glob("*.ipynb")) if (folder := os.environ.get("TLCOURSE_CHECKS")) else []
    return sorted((course_root() / "exercises").glob("[0-9][0-9]_*.ipynb")) + own


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
