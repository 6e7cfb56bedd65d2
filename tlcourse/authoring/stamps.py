"""What `tlcourse release` writes into the notebooks, so that nobody has to keep it in step by hand."""

import ast
import importlib.util
import json
import re
import subprocess
import symtable
import sys
import tomllib
from functools import cache
from pathlib import Path

import nbformat

_SETUP = """\
# Setup, the same in every notebook. It installs tlcourse only where it is absent: from a wheel in this folder
# if there is one, else from {places}. Run it again whenever you like.
import importlib.util
import sys

if sys.version_info < (3, 11):
    raise RuntimeError(f"tlcourse needs Python 3.11 or newer, and this kernel has {{sys.version.split()[0]}}")
if (found := importlib.util.find_spec("tlcourse")) is None or found.origin is None:  # a folder has no origin
    import glob
    import os
    import subprocess

    for source in [*sorted(glob.glob("tlcourse-*.whl"), key=os.path.getmtime)[-1:], {sources}]:
        pip = subprocess.run([sys.executable, "-m", "pip", "install", source], capture_output=True, text=True)
        if pip.returncode == 0:
            break
        print(f"Could not install {{source}}. pip says:", pip.stderr, sep="\\n")
    else:
        raise RuntimeError("tlcourse is not installed; pip's reasons are above. Mend them, then run this cell again.")
    importlib.invalidate_caches()

from tlcourse import teach

session = teach.setup()"""

_BADGE = "[![Open this notebook in Colab](https://colab.research.google.com/assets/colab-badge.svg)]"
_COLAB = "https://colab.research.google.com/github/{repository}/blob/main/{folder}/{name}"
_RESTART = "*After a restart:"
_CHANGES = ("add", "append", "extend", "insert", "load_state_dict", "pop", "setdefault", "update")


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


def stamp_notebook(path, folder, repository, seconds=None):
    """A lesson or a master with everything written in that can be worked out.

    Args:
        path: the notebook.
        folder: where it is opened, "notebooks" or "exercises".
        repository: "owner/name", or None for no badge and no third place to install from.
        seconds: measured CPU time; None leaves what stands there.

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
    for cell in notebook.cells:
        if cell.id == "setup":
            cell.source = setup_cell(repository)
    if folder == "notebooks":
        _say_what_to_run_after_a_restart(notebook)
    return nbformat.writes(notebook) + "\n"


def setup_cell(repository):
    """The source of the first code cell of every notebook."""
    places, sources = "the package index", '"tlcourse"'
    if repository is not None:
        places += ", else from the course's repository"
        sources += f', "git+https://github.com/{repository}"'
    return _SETUP.format(places=places, sources=sources)


def stamp_readme(text, times, totals):
    """README.md's text with the lessons' times and how many claims hold.

    Args:
        text: of README.md.
        times: dict from a lesson's file name without the ending to measured seconds.
        totals: of the claims, as claims_over_seeds.count_claims() gives them; None leaves what stands there.
    """
    if totals is not None:
        held = f"{totals['always']} of the {totals['measured']} claims that the lessons measure held in every run"
        text = re.sub(r"\d+ of the \d+ claims that the lessons measure held in every run", held, text)
    for name, seconds in times.items():
        row = rf"(?m)^(\|.*\(notebooks/{re.escape(name)}\.ipynb\).*\| )\d+ s( \|)$"
        text = re.sub(row, rf"\g<1>{round_up(seconds)} s\g<2>", text)
    return text


def read_times(root):
    """Seconds of each lesson as last measured by `python -m benchmarks lesson_times` -> dict from its name."""
    measured = Path(root) / "docs" / "lesson_times.json"
    return json.loads(measured.read_text(encoding="utf-8"))["seconds"] if measured.exists() else {}


def read_totals(root):
    """How many claims hold, as last measured by `tlcourse claims --json docs/claims.json`; None where it is not."""
    measured = Path(root) / "docs" / "claims.json"
    return json.loads(measured.read_text(encoding="utf-8"))["totals"] if measured.exists() else None


def round_up(seconds):
    """A time for people, in steps of 5 seconds, never below what was measured by more than a tenth of a second."""
    return max(5, 5 * -int(-(seconds - 0.1) // 5))


def _say_what_to_run_after_a_restart(notebook):
    sections = _sections(notebook)
    for section in sections:
        lines = section["heading"].source.split("\n")
        first = next(i for i, line in enumerate(lines) if line.startswith("## "))
        rest = "\n".join(lines[first + 1 :]).lstrip("\n")
        rest = re.sub(rf"\A{re.escape(_RESTART)}[^\n]*\*(\n+|\Z)", "", rest)
        if section["code"]:
            sentence = f"{_RESTART} {_listed(_needed(section, sections))}.*"
            rest = f"{sentence}\n\n{rest}" if rest else sentence
        head = "\n".join(lines[: first + 1])
        section["heading"].source = f"{head}\n\n{rest}" if rest else head


def _sections(notebook):
    """The parts under headings of level 2 -> list of dicts "title", "heading" (its cell), "code", in order."""
    sections = []
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and (found := re.search(r"(?m)^## (.+)$", cell.source)):
            sections.append({"title": found[1], "heading": cell, "code": ""})
        elif cell.cell_type == "code" and sections:
            sections[-1]["code"] += cell.source + "\n"
    return sections


def _needed(section, sections):
    """Titles of the earlier sections whose names a section uses, those that they use in turn included, in order."""
    here = sections.index(section)
    needed, open_names = set(), [(here, name) for name in _undefined(section["code"])]
    while open_names:
        before, name = open_names.pop()
        for i in range(before - 1, -1, -1):
            if name in _bound(sections[i]["code"]):
                if i not in needed:
                    needed.add(i)
                    open_names += [(i, other) for other in _undefined(sections[i]["code"])]
                break
    return [sections[i]["title"] for i in sorted(needed)]


@cache
def _undefined(code):
    """The names that a piece of code uses and does not bind first, as ruff finds them (F821)."""
    if importlib.util.find_spec("ruff") is None:
        raise ImportError("release needs ruff; install it with: pip install 'tlcourse[test]'")
    command = [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "F821", "--output-format", "json", "-"]
    found = json.loads(subprocess.run(command, input=code, capture_output=True, text=True).stdout)
    if any(problem["code"] != "F821" for problem in found):
        raise ValueError(f"a section is not plain Python ({found[0]['message']}): {code[:80]!r}")
    return {re.search(r"`(.+)`", problem["message"])[1] for problem in found}


def _bound(code):
    """The names that a piece of code binds, or whose contents it changes: d["key"] = …, l.append(…)."""
    symbols = symtable.symtable(code, "section", "exec").get_symbols()
    names = {symbol.get_name() for symbol in symbols if symbol.is_assigned() or symbol.is_imported()}
    for node in _outside_functions(ast.parse(code)):
        stored = isinstance(node, ast.Subscript | ast.Attribute) and isinstance(node.ctx, ast.Store)
        called = isinstance(node, ast.Attribute) and node.attr in _CHANGES
        if (stored or called) and isinstance(node.value, ast.Name):
            names.add(node.value.id)
    return names


def _outside_functions(node):
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            yield child
            yield from _outside_functions(child)


def _listed(titles):
    if len(titles) > 3:
        return "first run all cells above (Run → Run All Above Selected Cell; on Colab, Runtime → Run before)"
    parts = ["first run the setup cell", *(f"“{title}”" for title in titles)]
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + f" and {parts[-1]}"
