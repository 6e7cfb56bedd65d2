"""What Colab ships, and the course in an environment like it."""

import json
import os
import re
import subprocess
import sys
import tomllib

import nbformat
import pytest
from nbclient import NotebookClient
from packaging.requirements import Requirement

from tlcourse.course import course_root, select_lessons
from tlcourse.course.run import execute

ROOT = course_root()

# Colab's versions of what the course needs, of August 2026.
PINS = {
    "torch": "2.11.0",
    "torchvision": "0.26.0",
    "numpy": "2.1.3",
    "pandas": "2.2.3",
    "pillow": "11.3.0",
    "scikit-learn": "1.6.1",
    "threadpoolctl": "3.6.0",
    "matplotlib": "3.10.0",
    "ipywidgets": "7.7.1",
    "safetensors": "0.8.0",
    "filelock": "3.32.3",
    "tqdm": "4.67.3",
    "typer": "0.27.1",
    "rich": "13.9.4",
    "nbformat": "5.11.1",
    "nbclient": "0.10.4",
    "jinja2": "3.1.6",
    "ipython": "7.34.0",
    "ipykernel": "6.17.1",
    "traitlets": "5.7.1",
}


def requirements():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return [Requirement(text) for text in project["dependencies"]]


def test_every_floor_admits_what_colab_ships():
    for requirement in requirements():
        assert requirement.specifier.contains(PINS[requirement.name]), requirement


def test_on_colab_nothing_that_is_there_is_upgraded(tmp_path):
    (tmp_path / "core.in").write_text("\n".join(map(str, requirements())))
    (tmp_path / "pins").write_text("\n".join(f"{name}=={version}" for name, version in PINS.items()))
    command = [
        sys.executable,
        "-m",
        "uv",
        "pip",
        "compile",
        "--quiet",
        "--python-version",
        "3.13",
        "--constraint",
        "pins",
        "core.in",
    ]
    resolved = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    if "Failed to fetch" in resolved.stderr:
        pytest.skip("no package index within reach")
    assert resolved.returncode == 0, resolved.stderr
    for requirement in requirements():
        assert re.search(rf"(?m)^{requirement.name}=={re.escape(PINS[requirement.name])}", resolved.stdout), requirement


@pytest.fixture(scope="module")
def colab(tmp_path_factory):
    """The Python of an environment with Colab's versions, and a folder that makes google.colab importable in it."""
    python = os.environ.get("COLAB_PYTHON")
    if python is None:
        pytest.skip("COLAB_PYTHON names no environment with Colab's versions")
    package = tmp_path_factory.mktemp("colab") / "google" / "colab"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("from google.colab import _message, files\n")
    (package / "_message.py").write_text(
        "import json, os\n"
        "def blocking_request(name, request='', timeout_sec=None):\n"
        "    return {'ipynb': json.load(open(os.environ['OPEN_NOTEBOOK']))}\n"
    )
    (package / "files.py").write_text("def download(path):\n    print('downloaded', path)\n")
    return os.path.abspath(python), package.parent.parent


@pytest.fixture
def kernel(colab, tmp_path, monkeypatch):
    """Make that environment the kernel of notebooks: each starts alone in an empty folder, with google.colab in it."""
    python, simulated = colab
    spec = tmp_path / "kernels" / "python3"
    spec.mkdir(parents=True)
    argv = [python, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    (spec / "kernel.json").write_text(json.dumps({"argv": argv, "display_name": "Colab", "language": "python"}))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(simulated))
    return python


def test_the_environment_has_colabs_versions(colab):
    names = ["ipython", "ipykernel", "ipywidgets", "matplotlib", "numpy"]
    code = f"from importlib.metadata import version; print(*map(version, {names}))"
    found = subprocess.run([colab[0], "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert found == [PINS[name] for name in names]


@pytest.mark.parametrize("lesson", select_lessons([]), ids=lambda path: path.stem)
def test_a_lesson_runs_on_colab(kernel, lesson):
    result, notebook = execute(lesson)
    assert result.error is None
    setup = next(cell for cell in notebook.cells if cell.id == "setup")
    assert "Python 3.13" in setup.outputs[0].text  # it is that environment's kernel that ran
    assert result.claims and all(claim["held"] for claim in result.claims)


def test_an_exercise_is_handed_in_on_colab(kernel, monkeypatch, tmp_path):
    solved = ROOT / "solutions" / "01_fundamentals.ipynb"
    monkeypatch.setenv("OPEN_NOTEBOOK", str(solved))
    notebook = nbformat.read(solved, as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell("import google.colab\nteach.submission()\nteach.progress()"))
    (tmp_path / "content").mkdir()
    NotebookClient(
        notebook, kernel_name="python3", timeout=120, resources={"metadata": {"path": tmp_path / "content"}}
    ).execute()
    text = str(notebook.cells[-1].outputs)
    assert "5 of 5 exercises have an answer" in text and "downloaded submission" in text and "01 █████" in text
    assert (tmp_path / "content" / "submission" / "01_fundamentals.ipynb").exists()
