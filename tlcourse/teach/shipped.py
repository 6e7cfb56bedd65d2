"""Results that take longer than a lesson may, made beforehand by its experiment and shipped as small files."""

import json

from tlcourse._moved import RESULTS
from tlcourse.course.lessons import list_lessons


def load_results(name):
    """Read the results that a lesson ships.

    Args:
        name: the lesson's, without its number, such as "fine_tuning".

    Returns:
        dict; "made_by" is the command that makes the file again, "seeds" the seeds behind every list of numbers.

    Raises:
        ValueError: no such lesson, or one that ships no results.
    """
    files = {lesson.slug: lesson.folder / "results.json" for lesson in list_lessons()}
    known = [slug for slug, file in files.items() if file.exists()]
    slug = RESULTS.get(name, name)
    if slug not in known:
        raise ValueError(f"name={name!r}: there are results for {', '.join(known)}")
    return json.loads(files[slug].read_text(encoding="utf-8"))
