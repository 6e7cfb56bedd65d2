"""Results that take longer than a lesson may, made beforehand by a benchmark and shipped as small files."""

import json
from importlib import resources


def load_results(name):
    """Read a result file of the course.

    Args:
        name: "strategies": the equal-budget table of lesson 03; "negative_transfer": the gaps of lesson 04; "adaptation":
            the methods of lesson 06; "leaderboard": the sources of lesson 07.

    Returns:
        dict; "made_by" is the command that makes the file again, "seeds" the seeds behind every list of numbers.

    Raises:
        ValueError: no such file.
    """
    folder = resources.files("tlcourse.teach") / "results"
    known = sorted(path.name.removesuffix(".json") for path in folder.iterdir())
    if name not in known:
        raise ValueError(f"name={name!r}: there are results for {', '.join(known)}")
    return json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
