"""Which checks a learner has passed: one small file beside the notebooks. Deleting it loses nothing else."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock, Timeout

from tlcourse.course.files import read_dict, write_whole
from tlcourse.course.lessons import list_lessons

FILE = "progress.json"
DRIVE = Path("/content/drive/MyDrive")  # where Colab shows a mounted Google Drive


class Lesson(NamedTuple):
    """The exercises of one lesson: its number, the notebook's name, ids of the exercises, those passed, in order; its title."""

    number: str
    notebook: str
    exercises: tuple
    passed: tuple
    title: str = ""


def progress_folder(here=None):
    """The folder that keeps the progress.

    TLCOURSE_PROGRESS names it. Otherwise it is a folder "tlcourse" in a mounted Google Drive, else the folder that
    holds notebooks/ and exercises/, else `here`: the folder of the notebook, by default the working folder.
    """
    if named := os.environ.get("TLCOURSE_PROGRESS"):
        return Path(named).expanduser().resolve()
    if DRIVE.is_dir():
        return DRIVE / "tlcourse"
    here = Path.cwd() if here is None else Path(here).resolve()
    return next((folder for folder in (here, here.parent) if (folder / "exercises").is_dir()), here)


def record(id):
    """Keep that a check was passed. Notebooks may do so at the same time; a kernel may be killed at any moment.

    Args:
        id: the exercise, such as "01.2".

    Raises:
        OSError: the folder cannot be written to; the message names it and says how to name another.
    """
    folder = progress_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / f".{FILE}.lock", timeout=5):
            if (folder / FILE).exists() and not _is_whole(folder / FILE):
                os.replace(folder / FILE, folder / f"{FILE}.damaged")  # someone may be able to mend it
            passed = read_passed()
            if id in passed:
                return
            passed[id] = datetime.now(UTC).isoformat(timespec="seconds")
            write_whole(folder / FILE, (json.dumps(passed, indent=1, sort_keys=True) + "\n").encode())
    except (OSError, NotImplementedError, Timeout) as error:  # a file system without locks is not written to either
        raise OSError(
            f"progress is not kept: {str(folder)!r} cannot be written to ({error}); name another folder with "
            "teach.keep_progress(folder)"
        ) from error


def _is_whole(path):
    try:
        return isinstance(json.loads(path.read_text(encoding="utf-8")), dict)
    except ValueError:
        return False


def read_passed():
    """The passed checks -> dict from an exercise's id to the time it was first passed (ISO 8601, UTC).

    Whatever in the file is not such an entry counts as not passed.
    """
    found = read_dict(progress_folder() / FILE)
    return {id: when for id, when in found.items() if isinstance(when, str)}


def read_lessons():
    """The lessons that have exercises, in order, and what is passed of each -> list of Lesson."""
    from tlcourse.course.read import releases

    passed, titles = read_passed(), {lesson.notebook: lesson.title for lesson in list_lessons()}
    lessons = []
    for name, release in releases().items():
        ids = tuple(release.exercises)
        lessons.append(Lesson(name[:2], name, ids, tuple(id for id in ids if id in passed), titles.get(name, name)))
    return lessons


def next_exercise(lessons):
    """Where to go on -> (exercise's id, notebook's name): the first that is not passed in the lesson touched last.

    Args:
        lessons: as read_lessons() gives them.

    Returns:
        the first exercise of all if nothing is passed; after a finished lesson the first open one of the next; None if
        all are passed.
    """
    passed = read_passed()
    known = [id for lesson in lessons for id in lesson.passed if id in passed]
    latest = max(known, key=passed.get, default=None)
    begun = next((i for i, lesson in enumerate(lessons) if latest in lesson.passed), 0)
    in_turn = [(id, lesson.notebook) for lesson in lessons[begun:] + lessons[:begun] for id in lesson.exercises]
    return next(((id, notebook) for id, notebook in in_turn if id not in passed), None)
