"""Find what students handed in, and read it without following where a file name or a link would lead."""

import errno
import os
import stat
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

MAX_BYTES = 100 << 20
_NOT_HANDED_IN = (".ipynb_checkpoints", ".git", "__MACOSX")  # folders that programs leave beside what people made


@dataclass(frozen=True)
class Submission:
    """One notebook that one student handed in.

    Attributes:
        student: the name of the student's folder, as text that can be written anywhere.
        file: where it lies below the folder of submissions, as such text.
        path: where it lies.
        release_name: the released notebook that its file name names, or None.
        submitted: when, in seconds since 1970: from nbgrader's timestamp.txt beside it, else the file's own time.
    """

    student: str
    file: str
    path: Path
    release_name: str | None
    submitted: float

    def read(self):
        """The content.

        Raises:
            ValueError: it is not a plain file of at most 100 MiB.
        """
        try:
            file = _open_plain(self.path)
        except OSError as error:
            raise ValueError(f"the file cannot be read ({error.strerror}); links are not followed") from None
        with file:
            size = os.fstat(file.fileno()).st_size
            if size > MAX_BYTES:
                raise ValueError(f"the file has {size >> 20} MiB, over the {MAX_BYTES >> 20} MiB that are read")
            return file.read()


def _open_plain(path):
    """Open a file for reading; OSError if it is a link, a device, or a pipe that never ends."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "no plain file")
    return os.fdopen(descriptor, "rb")


def find_submissions(folder, release_names):
    """Look through SUBMISSIONS/<student>/<notebook>.ipynb and <student>/<assignment>/<notebook>.ipynb.

    Args:
        folder: SUBMISSIONS.
        release_names: names of the released notebooks.

    Returns:
        (list of all students, list of Submissions), both sorted; students without a notebook are in the first only.

    Raises:
        NotADirectoryError: there is no such folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise NotADirectoryError(f"submissions: {folder} is not a folder; give the one that holds a folder per student")
    homes = [path for path in sorted(folder.iterdir()) if _is_folder(path)]
    found = []
    for home in homes:
        for path in _notebooks(home):
            names = (as_text(home.name), as_text(str(path.relative_to(folder))))
            found.append(Submission(*names, path, _named(path, release_names), _submitted(path)))
    return [as_text(home.name) for home in homes], found


def _notebooks(home):
    """Paths of a student's notebooks. A folder that may not be read stands for what is in it, and so gets a row."""
    paths, places = [], [home]
    for place in places:
        try:
            inside = sorted(place.iterdir())
        except OSError:
            paths.append(place)
            continue
        if place is home:
            places += filter(_is_folder, inside)
        notebooks = [path for path in inside if path.suffix.lower() == ".ipynb"]
        paths += [path for path in notebooks if path.is_symlink() or not path.is_dir()]
    return paths


def strangers(folder):
    """Names of what lies directly in the folder of submissions and is not a student's folder."""
    others = [path for path in sorted(Path(folder).iterdir()) if not _is_folder(path)]
    return [as_text(path.name) for path in others if path.name not in (*_NOT_HANDED_IN, ".DS_Store")]


def as_text(name):
    """A file name as text that every file and terminal takes. Two names never give the same text.

    Bytes that are no UTF-8, control characters and the backslash itself are escaped.
    """

    def escaped(character):
        if "\udc80" <= character <= "\udcff":  # how Python holds a byte that is no UTF-8
            return f"\\x{ord(character) - 0xDC00:02x}"
        if character.isprintable() and character != "\\":
            return character
        return character.encode("unicode_escape").decode()

    return "".join(map(escaped, os.fsdecode(name)))


def _is_folder(path):
    return path.is_dir() and not path.is_symlink() and path.name not in _NOT_HANDED_IN


def _named(path, release_names):
    """The released notebook that a file, or else its folder, is named after; of two the one with the longer name."""
    names = sorted(release_names, key=len, reverse=True)
    return next((name for place in (path.stem, path.parent.name) for name in names if name in place), None)


def _submitted(path):
    try:
        with _open_plain(path.parent / "timestamp.txt") as file:
            day, clock, *zone = file.read(200).decode().split()
        moment = datetime.fromisoformat(f"{day} {clock}")
        return (moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(zone[0]) if zone else UTC)).timestamp()
    except (OSError, ValueError, KeyError):  # KeyError: no such time zone
        return os.lstat(path).st_mtime
