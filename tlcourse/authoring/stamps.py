"""What `tlcourse release` writes into the notebooks, so that nobody has to keep it in step by hand."""

import re
import tomllib
from pathlib import Path

import jinja2
import nbformat

_BADGE = "[![Open this notebook in Colab](https://colab.research.google.com/assets/colab-badge.svg)]"
_COLAB = "https://colab.research.google.com/github/{repository}/blob/main/{folder}/{name}"
_RESTART = (
    "After a restart, run all cells above the one you are at: Run → Run All Above Selected Cell; on Colab, Runtime → "
    "Run before."
)
_FOLDED = {"jupyter": {"source_hidden": True}, "cellView": "form"}  # what JupyterLab reads, and what Colab reads


def read_repository(root):
    """The repository on GitHub, "owner/name", of [tool.tlcourse] in pyproject.toml; None if none is set.

    The git remote is not asked: a clone of a fork would then differ from what was committed, and fail its own tests.

    Raises:
        ValueError: the setting is not of the form owner/name.
    """
    settings = Path(root) / "pyproject.toml"
    tools = tomllib.loads(settings.read_text(encoding="utf-8")).get("tool", {}) if settings.exists() else {}
    named = tools.get("tlcourse", {}).get("repository")
    if named is not None and not re.fullmatch(r"[\w.-]+/[\w.-]+", named):
        raise ValueError(f"[tool.tlcourse] repository={named!r} in pyproject.toml: want owner/name")
    return named


def stamp_notebook(path, folder, repository, seconds=None, minutes=None):
    """A lesson or a master with everything written in that can be worked out.

    Args:
        path: the notebook.
        folder: where it is opened, "notebooks" or "exercises".
        repository: "owner/name", or None for no badge and no third place to install from.
        seconds: measured CPU time; None leaves what stands there.
        minutes: of the learner's own time, as lesson.toml has it; None leaves what stands there.

    Returns:
        str: the text of the notebook, the same if it was stamped already.
    """
    notebook = nbformat.read(path, as_version=4)
    title = notebook.cells[0]
    title.source = re.sub(rf"\n\n{re.escape(_BADGE)}\([^)]*\)", "", title.source)
    if repository is not None:
        heading, _, rest = title.source.partition("\n")
        link = _COLAB.format(repository=repository, folder=folder, name=Path(path).name)
        title.source = f"{heading}\n\n{_BADGE}({link})\n{rest}"
    if seconds is not None:
        title.source = re.sub(
            r"about \d+ seconds of CPU", f"about {round_up(seconds)} seconds of CPU", title.source, count=1
        )
    if minutes is not None:
        title.source = re.sub(r"\d+ minutes of yours", f"{minutes} minutes of yours", title.source, count=1)
    for cell in notebook.cells:
        if cell.id == "setup":
            cell.source = setup_cell(repository)
        for key in _FOLDED:
            cell.metadata.pop(key, None)
        if "hide-input" in cell.metadata.get("tags", []):
            cell.metadata.update(_FOLDED)
    if folder == "notebooks":
        title.source = re.sub(r"\n\nAfter a restart, [^\n]+", "", title.source) + f"\n\n{_RESTART}"
    return nbformat.writes(notebook) + "\n"


def setup_cell(repository):
    """The source of the first code cell of every notebook."""
    places, sources = "the package index", '"tlcourse"'
    if repository is not None:
        places += ", else from the course's repository"
        sources += f', "git+https://github.com/{repository}"'
    environment = jinja2.Environment(loader=jinja2.PackageLoader("tlcourse"))
    return environment.get_template("setup_cell.py.jinja").render(places=places, sources=sources)


def round_up(seconds):
    """A time for people, in steps of 5 seconds, never below what was measured by more than a tenth of a second."""
    return max(5, 5 * -int(-(seconds - 0.1) // 5))
