import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import nbformat
import pytest
from typer.testing import CliRunner

from tlcourse.authoring.release import release_all, release_notebook
from tlcourse.cli import app
from tlcourse.course import course_root

ROOT = course_root()


def test_exercises_and_stamps_are_what_release_makes():
    assert release_all(ROOT, write=False) == []
    assert CliRunner().invoke(app, ["release", "--check"]).exit_code == 0


@pytest.mark.parametrize("master", sorted((ROOT / "solutions").glob("*.ipynb")), ids=lambda p: p.stem)
def test_a_student_version_is_its_master_minus_the_answers(master):
    text = master.read_text(encoding="utf-8")
    made = nbformat.reads(release_notebook(text), as_version=4)
    original = nbformat.read(master, as_version=4)
    assert [cell.id for cell in made.cells] == [cell.id for cell in original.cells]
    for student, teacher in zip(made.cells, original.cells, strict=True):
        if teacher.metadata.get("nbgrader", {}).get("solution"):
            assert "NotImplementedError" in student.source and "SOLUTION" not in student.source
            assert student.source.splitlines()[0] == teacher.source.splitlines()[0]
        else:
            assert student.source == teacher.source
    assert release_notebook(text) == release_notebook(text)


def test_release_check_fails_where_a_student_version_differs(tmp_path):
    (tmp_path / "solutions").mkdir()
    master = tmp_path / "solutions" / "01_fundamentals.ipynb"
    master.write_bytes((ROOT / "solutions" / "01_fundamentals.ipynb").read_bytes())
    assert [path.name for path in release_all(tmp_path, write=False)] == [master.name]
    release_all(tmp_path)
    assert release_all(tmp_path, write=False) == []
    (tmp_path / "exercises" / "99_orphan.ipynb").write_text("{}")
    assert [path.name for path in release_all(tmp_path, write=False)] == ["99_orphan.ipynb"]


def test_release_outside_a_checkout_says_so(tmp_path):
    with pytest.raises(FileNotFoundError, match="checkout"):
        release_all(tmp_path)


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A wheel of the checkout, unpacked away from it."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--outdir", str(folder), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder


def run_installed(folder, code, **environment):
    env = {**os.environ, "PYTHONPATH": str(folder / "site"), **environment}
    return subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=env, capture_output=True, text=True, check=True
    ).stdout


def test_a_wheel_outside_the_checkout_loads_the_zoo_and_inits_a_folder(installed):
    code = """
import json, tlcourse
from tlcourse import course, models
names = [card.name for card in models.zoo() if models.load(card.name)]
print(json.dumps({"file": tlcourse.__file__, "names": names, "copied": course.copy_course("mine")}))
"""
    result = json.loads(run_installed(installed, code))
    assert Path(result["file"]).is_relative_to(installed)
    assert set(result["names"]) >= {"letters", "fashion", "rotation", "shuffled", "digits-rendered"}
    for folder in ("notebooks", "exercises"):
        assert {p.name for p in (ROOT / folder).glob("*.ipynb")} == {
            p.name for p in (installed / "mine" / folder).glob("*.ipynb")
        }


def test_the_wheel_carries_no_solutions_and_no_tests(installed):
    names = [str(path.relative_to(installed / "site")) for path in (installed / "site").rglob("*")]
    assert not [name for name in names if "solution" in name or name.startswith("tests")]
    assert sum(path.stat().st_size for path in installed.glob("*.whl")) < 10_000_000  # sixteen networks of 0.6 MB each


def run_nbval(folder, name, source):
    (folder / name).mkdir()
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(notebook, folder / name / "broken.ipynb")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(folder / name / "broken.ipynb")]
    command += ["-c", str(ROOT / "pyproject.toml"), "--rootdir", str(folder), "--confcutdir", str(folder)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def test_a_broken_notebook_or_a_missed_claim_fails_pytest(tmp_path):
    (tmp_path / "conftest.py").write_bytes((ROOT / "conftest.py").read_bytes())
    missed = "from tlcourse import teach\nteach.claim('1.1', 'Fails.', 0, at_least=1)"
    assert run_nbval(tmp_path, "notebooks", "1 / 0").returncode == 1
    assert run_nbval(tmp_path, "solutions", missed).returncode == 1
    assert run_nbval(tmp_path, "exercises", missed).returncode == 0


def test_a_notebook_that_reaches_for_the_network_fails_pytest(tmp_path):
    (tmp_path / "conftest.py").write_bytes((ROOT / "conftest.py").read_bytes())
    hidden = "import urllib.request\ntry:\n    urllib.request.urlopen('http://example.com', timeout=3)\nexcept OSError:\n    pass"
    done = run_nbval(tmp_path, "notebooks", hidden)
    assert done.returncode == 1 and "example.com" in done.stdout
    assert (
        run_nbval(tmp_path, "solutions", "import socket\nsocket.create_server(('127.0.0.1', 0)).close()").returncode
        == 0
    )
