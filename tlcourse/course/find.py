"""Where the notebooks are."""

import os
from pathlib import Path

import tlcourse


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
