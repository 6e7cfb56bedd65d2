import json
import os
import signal
import subprocess
import sys
import types
from pathlib import Path

import nbformat
import pytest
from typer.testing import CliRunner

from tlcourse import checks, progress, teach
from tlcourse.cli import app
from tlcourse.course import course_root

EXERCISES = course_root() / "exercises"
SOLUTIONS = course_root() / "solutions"


@pytest.fixture
def shown(monkeypatch):
    """What was displayed, as plain text and as HTML."""
    seen = []
    for module in (sys.modules["tlcourse.teach.progress"], sys.modules["tlcourse.checks.front"]):
        monkeypatch.setattr(module, "display", lambda mime, raw: seen.append(mime))
    return seen


def right_gain(scratch, transferred):
    gains = 100 * (transferred - scratch)
    return gains.mean(axis=1), gains.std(axis=1, ddof=1) / gains.shape[1] ** 0.5


def test_a_check_that_passes_is_kept_and_one_that_fails_is_not(shown):
    checks.check("01.1", lambda scratch, transferred: (scratch, scratch))
    assert progress.read_passed() == {}
    checks.check("01.1", right_gain)
    assert list(progress.read_passed()) == ["01.1"]
    before = progress.read_passed()
    checks.check("01.1", right_gain)
    assert progress.read_passed() == before  # the first time counts


def test_the_file_lies_beside_the_folders_of_the_notebooks(monkeypatch, tmp_path):
    monkeypatch.delenv("TLCOURSE_PROGRESS")
    (tmp_path / "exercises").mkdir()
    monkeypatch.chdir(tmp_path / "exercises")
    progress.record("01.1")
    assert progress.read_passed() and (tmp_path / "progress.json").exists()
    monkeypatch.setattr(progress, "DRIVE", tmp_path)
    assert progress.progress_folder() == tmp_path / "tlcourse"


def test_two_notebooks_at_once_lose_nothing(tmp_path):
    code = "import sys; from tlcourse.course import progress\nfor i in range(40): progress.record(f'{sys.argv[1]}.{i}')"
    writers = [subprocess.Popen([sys.executable, "-c", code, name]) for name in ("01", "02")]
    assert [writer.wait() for writer in writers] == [0, 0]
    assert len(progress.read_passed()) == 80


def test_a_killed_kernel_leaves_a_whole_file_and_no_lock():
    code = (
        "import itertools\nfrom tlcourse.course import progress\nfor i in itertools.count(): progress.record(f'01.{i}')"
    )
    writer = subprocess.Popen([sys.executable, "-c", code])
    while len(progress.read_passed()) < 5:
        assert writer.poll() is None
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    kept = json.loads((progress.progress_folder() / progress.FILE).read_text())
    assert len(kept) >= 5
    progress.record("02.1")
    assert progress.read_passed().keys() == kept.keys() | {"02.1"}


@pytest.mark.parametrize("content", ["", "{", "[1, 2]", '{"01.1": 5}'])
def test_a_damaged_file_counts_as_nothing_passed_and_is_written_anew(content):
    folder = progress.progress_folder()
    folder.mkdir()
    (folder / progress.FILE).write_text(content)
    assert progress.read_passed() == {}
    progress.record("01.1")
    assert list(progress.read_passed()) == ["01.1"]
    damaged = folder / f"{progress.FILE}.damaged"
    assert content.endswith("5}") or damaged.read_text() == content


def test_a_folder_that_cannot_be_written_to_costs_no_verdict(monkeypatch, tmp_path, shown, capsys):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TLCOURSE_PROGRESS", str(tmp_path / "file" / "x"))
    checks.check("01.1", right_gain)
    assert shown[0]["text/plain"].startswith("✓ Exercise 01.1")
    assert "keep_progress" in capsys.readouterr().out
    with pytest.raises(OSError, match="folder: .* cannot be written to"):
        teach.keep_progress(tmp_path / "file" / "x")


def test_bars_and_where_to_go_on(monkeypatch, tmp_path, shown):
    monkeypatch.setenv("TLCOURSE_PROGRESS", "")
    teach.keep_progress(tmp_path / "mine")
    lessons = progress.read_lessons()
    assert [lesson.number for lesson in lessons] == [path.name[:2] for path in sorted(EXERCISES.glob("*.ipynb"))]
    assert progress.next_exercise(lessons) == ("01.1", "01_fundamentals")
    progress.record("02.1")
    teach.progress()
    page = shown[-1]
    assert "02 █" in page["text/plain"] and "Go on with exercise 02.2" in page["text/plain"]
    assert 'aria-label="Exercises 02" value="1"' in page["text/html"]
    assert "02 Pre-trained models</th>" in page["text/html"]
    assert 'href="../exercises/02_pretrained_models.ipynb"' in page["text/html"]
    for lesson in lessons:
        for id in lesson.exercises:
            progress.record(id)
    assert progress.next_exercise(progress.read_lessons()) is None
    teach.progress()
    assert "All checks are passed" in shown[-1]["text/html"]


def test_after_a_finished_lesson_it_goes_on_with_the_next_open_one():
    lessons = [progress.Lesson("01", "a", ("01.1",), ()), progress.Lesson("02", "b", ("02.1",), ("02.1",))]
    progress.record("02.1")
    progress.record("90.1")  # an exercise of somebody's own, which is not in sight now
    assert progress.next_exercise(lessons) == ("01.1", "a")


def test_the_command_prints_the_bars(tmp_path):
    progress.record("01.1")
    result = CliRunner().invoke(app, ["progress"])
    assert result.exit_code == 0 and "█░░░░" in result.output and "01.2" in result.output
    result = CliRunner().invoke(app, ["progress", str(tmp_path / "progress"), "--json"])
    assert json.loads(result.output)[0]["passed"] == ["01.1"]
    assert CliRunner().invoke(app, ["progress", str(tmp_path / "nowhere")]).exit_code == 2


def test_the_command_finds_the_folder_that_lab_made(monkeypatch, tmp_path):
    (tmp_path / "transfer-learning" / "exercises").mkdir(parents=True)
    monkeypatch.setenv("TLCOURSE_PROGRESS", str(tmp_path / "transfer-learning"))
    progress.record("01.1")
    monkeypatch.delenv("TLCOURSE_PROGRESS")
    monkeypatch.chdir(tmp_path)
    assert json.loads(CliRunner().invoke(app, ["progress", "--json"]).output)[0]["passed"] == ["01.1"]


def test_lab_opens_the_exercises_that_one_is_in_the_middle_of_or_the_next_lesson(monkeypatch, tmp_path):
    started = []
    monkeypatch.setattr("jupyterlab.labapp.LabApp.launch_instance", lambda argv: started.extend(argv))
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", "")  # which the command adds to
    progress.record("02.1")
    assert CliRunner().invoke(app, ["lab", str(tmp_path / "mine"), "--no-browser"]).exit_code == 0
    assert "--LabApp.default_url=/lab/tree/exercises/02_pretrained_models.ipynb" in started
    for lesson in progress.read_lessons()[:2]:
        for id in lesson.exercises:
            progress.record(id)
    progress.record("02.1")
    assert CliRunner().invoke(app, ["lab", str(tmp_path / "mine"), "--no-browser"]).exit_code == 0
    assert "--LabApp.default_url=/lab/tree/notebooks/03_fine_tuning.ipynb" in started


def test_a_solved_notebook_is_written_as_the_grader_wants_it(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    notebook = nbformat.read(SOLUTIONS / "01_fundamentals.ipynb", as_version=4)
    notebook.cells[1].outputs = [nbformat.v4.new_output("stream", text="old")]
    nbformat.write(notebook, "Copy of mine (1).ipynb")
    monkeypatch.setenv("JPY_SESSION_NAME", "Copy of mine (1).ipynb")
    target = teach.submission()
    assert target == Path("submission/01_fundamentals.ipynb")
    written = nbformat.read(target, as_version=4)
    nbformat.validate(written)
    assert [cell.source for cell in written.cells] == [cell.source for cell in notebook.cells]
    assert not any(cell.get("outputs") for cell in written.cells)
    assert "5 of 5 exercises have an answer" in capsys.readouterr().out
    assert os.listdir("submission") == ["01_fundamentals.ipynb"]


def test_a_line_that_is_commented_out_counts_as_written(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    notebook = nbformat.read(SOLUTIONS / "01_fundamentals.ipynb", as_version=4)
    answer = next(cell for cell in notebook.cells if cell.id == "transfer-gain")
    answer.source += "\n    # raise NotImplementedError()"
    nbformat.write(notebook, "mine.ipynb")
    teach.submission("mine.ipynb")
    assert "01.1  answered" in capsys.readouterr().out


def test_a_submission_says_what_is_not_written_and_what_is_missing(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    notebook = nbformat.read(EXERCISES / "01_fundamentals.ipynb", as_version=4)
    notebook.cells = [cell for cell in notebook.cells if cell.id != "labels-needed"]
    nbformat.write(notebook, "mine.ipynb")
    teach.submission("mine.ipynb")
    printed = capsys.readouterr().out
    assert "01.1  not written yet" in printed and "01.2  its cell is missing" in printed and "0 of 5" in printed


def test_a_submission_that_cannot_be_found_or_is_none(monkeypatch, tmp_path):
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match="give its path"):
        teach.submission()
    with pytest.raises(ValueError, match="none of the course's exercise notebooks"):
        teach.submission(course_root() / "notebooks" / "00_start_here.ipynb")


def test_on_colab_the_open_page_is_read_and_downloaded(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    page = json.loads((EXERCISES / "01_fundamentals.ipynb").read_text())
    for cell in page["cells"]:  # Colab keeps its own ids in the metadata, and drops the cells' ids
        cell["metadata"]["id"] = cell.pop("id")[:3] + "Xy"
    downloaded, colab = [], types.ModuleType("google.colab")
    colab._message = types.SimpleNamespace(blocking_request=lambda *args, **kwargs: {"ipynb": page})
    colab.files = types.SimpleNamespace(download=downloaded.append)
    monkeypatch.setitem(sys.modules, "google", types.ModuleType("google"))
    monkeypatch.setitem(sys.modules, "google.colab", colab)
    target = teach.submission()
    assert downloaded == [str(target)] and target.name == "01_fundamentals.ipynb"
    colab._message.blocking_request = lambda *args, **kwargs: None
    with pytest.raises(FileNotFoundError, match="Download .ipynb"):
        teach.submission()
