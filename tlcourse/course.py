"""Where the notebooks are, and how a learner gets copies of them."""

import os
from pathlib import Path

import tlcourse

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
    """Copy the lessons and exercises into a folder, and never overwrite a notebook that was changed there.

    Args:
        folder: where to; made if absent.

    Returns:
        dict from each copied path (relative to folder) to "new", "same" or "kept": a changed notebook is kept and the
        course's version lies beside it as NAME.new.ipynb.

    Raises:
        OSError: the folder cannot be written to.
    """
    folder = Path(folder)
    done = {}
    try:
        for kind in FOLDERS:
            (folder / kind).mkdir(parents=True, exist_ok=True)
            for source in sorted((course_root() / kind).glob("*.ipynb")):
                content = source.read_bytes()
                target = folder / kind / source.name
                if not target.exists():
                    target.write_bytes(content)
                    state = "new"
                elif target.read_bytes() == content:
                    state = "same"
                else:
                    target.with_suffix(".new.ipynb").write_bytes(content)
                    state = "kept"
                done[f"{kind}/{source.name}"] = state
    except OSError as error:
        raise OSError(f"folder {str(folder)!r} cannot be written to ({error}); name another one") from error
    return done
