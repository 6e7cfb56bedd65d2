import shutil
import subprocess
import sys

import nbformat
import pytest

from tlcourse.authoring import stamps
from tlcourse.authoring.release import release_all
from tlcourse.course import course_root

LESSON = """\
[markdown] # Title

**Time:** 5 minutes of yours, about 10 seconds of CPU.

After a restart, what an older version said.
[setup] old
[markdown] ## First

Prose.
[code] import math
[markdown] ## Summary
"""


@pytest.fixture
def lesson(tmp_path):
    cells = []
    for part in LESSON.split("\n["):
        kind, _, source = part.lstrip("[").partition("] ")
        new = nbformat.v4.new_markdown_cell if kind == "markdown" else nbformat.v4.new_code_cell
        cells.append(new(source.rstrip("\n"), id="setup" if kind == "setup" else f"cell-{len(cells)}"))
    path = tmp_path / "01_lesson.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path


def stamped(path, **options):
    return nbformat.reads(stamps.stamp_notebook(path, "notebooks", **{"repository": None, **options}), as_version=4)


def test_a_lesson_says_once_what_to_run_after_a_restart(lesson):
    notebook = stamped(lesson)
    title = notebook.cells[0].source
    assert title.endswith(
        "seconds of CPU.\n\nAfter a restart, run all cells above the one you are at: Run → Run All Above Selected Cell; "
        "on Colab, Runtime → Run before."
    )
    assert str(notebook).count("After a restart") == 1


def test_the_tag_alone_says_which_cells_are_folded(lesson):
    notebook = nbformat.read(lesson, as_version=4)
    setup, code = (cell for cell in notebook.cells if cell.cell_type == "code")
    setup.metadata.update({"jupyter": {"source_hidden": True}, "cellView": "form"})  # its tag has gone
    code.metadata["tags"] = ["hide-input", "text"]
    nbformat.write(notebook, lesson)
    setup, code = (cell for cell in stamped(lesson).cells if cell.cell_type == "code")
    assert setup.metadata == {}
    folded = {"tags": ["hide-input", "text"], "jupyter": {"source_hidden": True}, "cellView": "form"}
    assert code.metadata == folded


@pytest.mark.parametrize("options", [{}, {"repository": "owner/name", "seconds": 12.3}])
def test_stamping_twice_changes_nothing(lesson, options):
    once = stamps.stamp_notebook(lesson, "notebooks", **{"repository": None, **options})
    lesson.write_text(once, encoding="utf-8")
    assert stamps.stamp_notebook(lesson, "notebooks", **{"repository": None, **options}) == once


def test_a_badge_leads_to_the_notebook_and_goes_when_the_setting_goes(lesson):
    plain = stamps.stamp_notebook(lesson, "notebooks", None)
    notebook = stamped(lesson, repository="owner/name")
    assert "(https://colab.research.google.com/github/owner/name/blob/main/notebooks/01_lesson.ipynb)" in (
        notebook.cells[0].source
    )
    assert '"git+https://github.com/owner/name"' in notebook.cells[1].source
    nbformat.write(notebook, lesson)
    assert "colab.research" not in stamps.stamp_notebook(lesson, "notebooks", None)
    assert stamps.stamp_notebook(lesson, "notebooks", None) == plain


def test_times_are_rounded_up_to_five_seconds(lesson):
    assert "about 45 seconds of CPU" in stamped(lesson, seconds=40.2).cells[0].source
    assert [stamps.round_up(seconds) for seconds in (0.3, 5.05, 5.2, 50.0, 51)] == [5, 5, 10, 50, 55]


def test_minutes_are_those_of_the_lesson(lesson):
    notebook = nbformat.read(lesson, as_version=4)
    notebook.cells[0].source += "\n\n**Time:** 60 minutes of yours, about 5 seconds of CPU."
    nbformat.write(notebook, lesson)
    assert "75 minutes of yours" in stamped(lesson, minutes=75).cells[0].source


def test_the_repository_is_the_setting_or_none(tmp_path):
    assert stamps.read_repository(tmp_path) is None
    settings = tmp_path / "pyproject.toml"
    settings.write_text('[tool.tlcourse]\nrepository = "owner/name"')
    assert stamps.read_repository(tmp_path) == "owner/name"
    settings.write_text('[tool.tlcourse]\nrepository = "https://example.org/x"')
    with pytest.raises(ValueError, match="want owner/name"):
        stamps.read_repository(tmp_path)


def test_no_badge_is_dead():
    """Every badge in the repository is of the repository that is set, and there is none while none is set."""
    repository = stamps.read_repository(course_root())
    for path in course_root().glob("*/*.ipynb"):
        text = path.read_text(encoding="utf-8")
        assert ("colab.research.google.com" in text) == (repository is not None), path
        assert repository is None or f"/github/{repository}/blob/main/" in text, path


def run_setup(folder, setup, **environment):
    """Run the setup cell in a fresh Python that has no tlcourse, with a pip that only prints what it is asked for."""
    (folder / "pip").mkdir(exist_ok=True)
    (folder / "pip" / "__main__.py").write_text(
        "import os, pathlib, sys\n"
        "source = sys.argv[-1]\n"
        "print('asked for', source, file=open('asked', 'a'))\n"
        "if source != os.environ.get('AVAILABLE'): sys.exit('no such thing: ' + source)\n"
        "package = pathlib.Path('tlcourse'); package.mkdir()\n"
        "(package / '__init__.py').write_text('')\n"
        "(package / 'teach.py').write_text('def setup(): print(\"ready\")')\n"
    )
    (folder / "asked").write_text("")
    script = folder / "cell.py"
    script.write_text(setup, encoding="utf-8")
    base = getattr(sys, "_base_executable", sys.executable)  # the interpreter below the virtual environment
    command = [base, "-I", "-S", "-c", "import sys; sys.path.insert(0, '.'); exec(open('cell.py').read())"]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, env={"PYTHONPATH": str(folder), **environment}
    )
    return done, (folder / "asked").read_text().split("asked for ")[1:]


@pytest.fixture
def setup(tmp_path):
    """The setup cell with pip replaced, since -I keeps the real one out of reach of a stand-in."""
    return stamps.setup_cell("owner/name").replace('[sys.executable, "-m", "pip"', '[sys.executable, "pip"')


def test_the_setup_cell_tries_a_wheel_then_the_index_then_the_repository(tmp_path, setup):
    (tmp_path / "tlcourse-0.1.0-py3-none-any.whl").write_text("")
    done, asked = run_setup(tmp_path, setup)
    assert [source.strip() for source in asked] == [
        "tlcourse-0.1.0-py3-none-any.whl",
        "tlcourse",
        "git+https://github.com/owner/name",
    ]
    assert "no such thing: tlcourse-0.1.0" in done.stdout  # pip's own words
    assert done.returncode == 1 and "pip's reasons are above" in done.stderr
    done, asked = run_setup(tmp_path, setup, AVAILABLE="tlcourse")
    assert done.stdout.strip().endswith("ready") and len(asked) == 2
    done, asked = run_setup(tmp_path, setup)  # again: it is there
    assert done.stdout == "ready\n" and asked == []


def test_a_folder_called_tlcourse_is_not_the_package(tmp_path, setup):
    (tmp_path / "tlcourse").mkdir()
    (tmp_path / "tlcourse" / "progress.json").write_text("{}")
    done, asked = run_setup(tmp_path, setup)
    assert len(asked) == 2 and "pip's reasons are above" in done.stderr


def test_an_old_python_gets_one_clear_message(tmp_path, setup):
    done, asked = run_setup(tmp_path, setup.replace("(3, 11)", "(99, 0)"))
    assert "RuntimeError: tlcourse needs Python" in done.stderr and asked == []


def test_release_check_sees_a_stamp_out_of_date(tmp_path):
    for folder in ("notebooks", "solutions", "exercises"):
        (tmp_path / folder).mkdir()
        for path in sorted((course_root() / folder).glob("*.ipynb"))[:1]:
            shutil.copy(path, tmp_path / folder)
    assert release_all(tmp_path, write=False) == []
    (tmp_path / "pyproject.toml").write_text('[tool.tlcourse]\nrepository = "owner/name"')
    assert len(release_all(tmp_path)) == 3
    assert release_all(tmp_path, write=False) == []
