import json
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from typer.testing import CliRunner

from tlcourse import course, doctor, models
from tlcourse.cli import app
from tlcourse.course.run import Execution, execute

runner = CliRunner()


def make_notebook(path, *sources):
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path


SETUP = "from tlcourse import teach; session = teach.setup()"


def test_importing_the_package_imports_no_torch():
    code = "import sys, tlcourse; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_help_imports_no_torch_and_lists_the_commands():
    code = "import sys, tlcourse.cli; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
    text = runner.invoke(app, ["--help"]).output
    assert all(
        name in text
        for name in ("lab", "init", "doctor", "run", "claims", "zoo", "pretrain", "release", "check", "grade")
    )


def test_submodules_are_attributes_and_others_are_refused():
    import tlcourse

    assert tlcourse.models is models
    with pytest.raises(AttributeError, match="no attribute 'nodels'"):
        tlcourse.nodels  # noqa: B018


def test_doctor_says_that_all_is_well():
    result = runner.invoke(app, ["doctor"])
    assert result.exit_code == 0 and "letters" in result.output


def test_doctor_reports_damaged_weights_as_bad(monkeypatch):
    def damaged(name):
        raise ValueError(f"the weights of {name!r} are damaged")

    monkeypatch.setattr(models, "load", damaged)
    result = runner.invoke(app, ["doctor"])
    assert result.exit_code == 1 and "damaged" in result.output


def test_a_missing_package_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(doctor.OPTIONAL, "a-package-that-nobody-has", "test")
    assert "'tlcourse[test]'" in runner.invoke(app, ["doctor"]).output
    monkeypatch.setitem(sys.modules, "jupyterlab.labapp", None)
    result = runner.invoke(app, ["lab"])
    assert result.exit_code == 2 and "pip install 'tlcourse[lab]'" in result.output


def test_a_path_in_brackets_is_printed_as_it_is(tmp_path):
    result = runner.invoke(app, ["progress", str(tmp_path / "[red]mine[/] :smile:")])
    assert result.exit_code == 2 and "[red]mine[/] :smile:" in result.output.replace("\n", "")


def test_zoo_prints_the_cards():
    assert "rendered letters" in runner.invoke(app, ["zoo"]).output
    cards = json.loads(runner.invoke(app, ["zoo", "--json"]).stdout)
    assert {card["name"] for card in cards} == set(models.RECIPES)


def test_pretrain_compares_with_the_card(monkeypatch, tmp_path):
    card = next(card for card in models.zoo() if card.name == "letters")
    monkeypatch.setattr("tlcourse.authoring.pretrain.pretrain", lambda name, out, root, progress: card)
    result = runner.invoke(app, ["pretrain", "letters", "--out", str(tmp_path)])
    assert result.exit_code == 0
    assert result.output.count(f"{card.accuracy['held-out warps']:.4f}") == 2


def test_pretrain_names_what_is_wrong(tmp_path):
    assert runner.invoke(app, ["pretrain", "words", "--out", str(tmp_path)]).exit_code == 2
    (tmp_path / "file").write_text("")
    result = runner.invoke(app, ["pretrain", "letters", "--out", str(tmp_path / "file" / "x")])
    assert result.exit_code == 1 and "cannot be written" in " ".join(result.output.split())


def test_init_copies_and_never_overwrites_a_changed_notebook(tmp_path):
    assert runner.invoke(app, ["init", str(tmp_path)]).exit_code == 0
    lesson = tmp_path / "notebooks" / "01_fundamentals.ipynb"
    assert lesson.exists() and (tmp_path / "exercises" / "01_fundamentals.ipynb").exists()
    original = lesson.read_bytes()
    lesson.write_text("mine")
    result = runner.invoke(app, ["init", str(tmp_path)])
    assert lesson.read_text() == "mine" and "1 with your changes" in " ".join(result.output.split())
    assert not list(tmp_path.rglob("*.new.ipynb")), "the course's version is the one that the learner began with"
    assert set(course.copy_course(tmp_path).values()) == {"same", "changed"}
    (tmp_path / ".tlcourse.json").unlink()  # what was copied is not known any more
    assert "is kept" in " ".join(runner.invoke(app, ["init", str(tmp_path)]).output.split())
    assert (tmp_path / "notebooks" / "01_fundamentals.new.ipynb").read_bytes() == original


def test_init_again_brings_what_is_new_and_leaves_what_was_run(monkeypatch, tmp_path):
    old, mine = tmp_path / "course", tmp_path / "mine"
    shutil.copytree(course.course_root() / "notebooks", old / "notebooks")
    shutil.copytree(course.course_root() / "exercises", old / "exercises")
    monkeypatch.setattr("tlcourse.course.copies.course_root", lambda: old)
    (old / "notebooks" / "07_choosing_a_source.ipynb").unlink()
    course.copy_course(mine)

    ran, untouched = mine / "notebooks" / "00_start_here.ipynb", mine / "notebooks" / "01_fundamentals.ipynb"
    notebook = nbformat.read(ran, as_version=4)
    notebook.cells[2].outputs = [nbformat.v4.new_output("stream", text="ran")]
    nbformat.write(notebook, ran)
    with_output = ran.read_bytes()
    assert course.copy_course(mine)["notebooks/00_start_here.ipynb"] == "same"

    for name in ("00_start_here.ipynb", "01_fundamentals.ipynb"):
        newer = nbformat.read(old / "notebooks" / name, as_version=4)
        newer.cells[0].source += "\n\nMore."
        nbformat.write(newer, old / "notebooks" / name)
    shutil.copy(course.course_root() / "notebooks" / "00_start_here.ipynb", old / "notebooks" / "07_new.ipynb")
    done = course.copy_course(mine)
    assert done["notebooks/00_start_here.ipynb"] == "kept" and ran.read_bytes() == with_output
    assert "More." in (mine / "notebooks" / "00_start_here.new.ipynb").read_text()
    assert done["notebooks/01_fundamentals.ipynb"] == "updated" and "More." in untouched.read_text()
    assert done["notebooks/07_new.ipynb"] == "new"
    assert course.copy_course(mine)["notebooks/00_start_here.ipynb"] == "changed", "offered once"
    assert not list(mine.rglob("*.part"))


def test_init_on_a_full_disk_leaves_the_old_notebook_whole(monkeypatch, tmp_path):
    course.copy_course(tmp_path)
    lesson = tmp_path / "notebooks" / "01_fundamentals.ipynb"
    before = lesson.read_bytes()
    (tmp_path / "notebooks" / "00_start_here.ipynb").unlink()

    def full(path, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        course.copy_course(tmp_path)
    assert lesson.read_bytes() == before


def test_init_into_a_file_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    result = runner.invoke(app, ["init", str(tmp_path / "file" / "x")])
    assert result.exit_code == 1 and "cannot be written" in " ".join(result.output.split())


def test_lab_starts_jupyterlab_on_the_first_lesson(monkeypatch, tmp_path):
    started = []

    monkeypatch.setattr("jupyterlab.labapp.LabApp.launch_instance", lambda argv: started.extend(argv))
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", "")  # which the command adds to
    folder = tmp_path / "mine"
    assert runner.invoke(app, ["lab", str(folder), "--no-browser"]).exit_code == 0
    assert f"--ServerApp.root_dir={folder}" in started and "--no-browser" in started
    assert "--LabApp.default_url=/lab/tree/notebooks/00_start_here.ipynb" in started
    assert (folder / "notebooks" / "00_start_here.ipynb").exists()


def test_run_of_an_unknown_lesson_is_wrong_use():
    result = runner.invoke(app, ["run", "77"])
    assert result.exit_code == 2 and "00_start_here" in result.output


def test_a_lesson_is_chosen_by_number_or_name():
    assert [p.stem for p in course.select_lessons(["01", "00_start_here.ipynb"])] == [
        "01_fundamentals",
        "00_start_here",
    ]


def test_execute_collects_claims_seed_memory_and_progress(tmp_path):
    path = make_notebook(
        tmp_path / "01_demo.ipynb", SETUP, "assert session.seed == 3", "teach.claim('01.1', 'Holds.', 2, at_least=1)"
    )
    cells = []
    result, notebook = execute(path, seed=3, on_cell=lambda done, total: cells.append((done, total)))
    assert result.error is None and cells == [(1, 3), (2, 3), (3, 3)]
    assert [claim["id"] for claim in result.claims] == ["01.1"]
    assert result.peak_mib is None or result.peak_mib > 50
    assert notebook.cells[2].outputs and not nbformat.read(path, as_version=4).cells[2].outputs


@pytest.mark.parametrize("strict", [True, False])
def test_a_missed_claim_is_an_error_only_when_strict(tmp_path, strict):
    path = make_notebook(tmp_path / "01_demo.ipynb", SETUP, "teach.claim('01.1', 'Fails.', 0, at_least=1)")
    result, _ = execute(path, strict=strict)
    assert (result.error is not None) is strict
    assert [claim["held"] for claim in result.claims] == [False]


def test_a_dead_kernel_is_an_error_of_its_notebook(tmp_path):
    result, _ = execute(make_notebook(tmp_path / "01_demo.ipynb", "import os; os._exit(1)"))
    assert "died" in result.error.lower()


def test_run_prints_a_table_writes_pages_and_fails_with_its_lessons(monkeypatch, tmp_path):
    good = make_notebook(tmp_path / "01_good.ipynb", SETUP, "teach.claim('01.1', 'Holds.', 2, at_least=1)")
    bad = make_notebook(tmp_path / "02_bad.ipynb", "1 / 0")
    monkeypatch.setattr("tlcourse.course.find.select_lessons", lambda chosen: [good, bad])
    result = runner.invoke(app, ["run", "--out", str(tmp_path / "out")])
    assert result.exit_code == 1 and "ZeroDivisionError" in result.output and "1/1" in result.output
    assert "Claim 01.1" in (tmp_path / "out" / "01_good.html").read_text(encoding="utf-8")
    assert nbformat.read(tmp_path / "out" / "02_bad.ipynb", as_version=4).cells[0].outputs
    monkeypatch.setattr("tlcourse.course.find.select_lessons", lambda chosen: [good])
    result = runner.invoke(app, ["run", "--json"])
    assert result.exit_code == 0 and json.loads(result.stdout)[0]["notebook"] == "01_good"


def test_check_prints_the_verdicts_of_a_notebook(tmp_path):
    notebook = nbformat.read(course.course_root() / "exercises" / "01_fundamentals.ipynb", as_version=4)
    masters = nbformat.read(course.course_root() / "solutions" / "01_fundamentals.ipynb", as_version=4).cells
    solutions = {cell.id: cell.source for cell in masters}
    for cell in notebook.cells:
        if cell.id in ("transfer-gain", "labels-needed", "fit-linear-probe"):
            cell.source = solutions[cell.id]
        if cell.id == "transplant-head":
            cell.source = "this is no Python"
    nbformat.write(notebook, tmp_path / "mine.ipynb")
    before = (tmp_path / "mine.ipynb").read_bytes()
    result = runner.invoke(app, ["check", str(tmp_path / "mine.ipynb"), "--json"])
    verdicts = {verdict["exercise"]: verdict for verdict in json.loads(result.stdout)}
    assert result.exit_code == 1 and (tmp_path / "mine.ipynb").read_bytes() == before
    assert [verdict["passed"] for verdict in verdicts.values()] == [True, True, True, False, False]
    assert verdicts["01.1"]["text"] == "✓ Exercise 01.1, 4 of 4 points: Every case passes."
    assert "NameError" in verdicts["01.4"]["text"] and "not written yet" in verdicts["01.5"]["text"]


def test_check_passes_a_solved_notebook_and_names_what_is_none(tmp_path):
    solved = course.course_root() / "solutions" / "01_fundamentals.ipynb"
    result = runner.invoke(app, ["check", str(solved)])
    assert result.exit_code == 0 and result.output.count("✓ Exercise") == 5
    (tmp_path / "junk.ipynb").write_text("junk")
    assert runner.invoke(app, ["check", str(tmp_path / "junk.ipynb")]).exit_code == 2
    assert runner.invoke(app, ["check", str(tmp_path / "absent.ipynb")]).exit_code == 2
    result = runner.invoke(app, ["check", str(make_notebook(tmp_path / "plain.ipynb", "1"))])
    assert result.exit_code == 2 and "no check cells" in " ".join(result.output.split())


@pytest.mark.parametrize("arguments", [["run", "00", "--out"], ["claims", "00", "--seeds", "1", "--json"]])
def test_results_that_cannot_be_written_are_refused_before_the_work(tmp_path, arguments, monkeypatch):
    for module in ("course.run", "authoring.claims_over_seeds"):
        monkeypatch.setattr(f"tlcourse.{module}.execute", lambda *args, **kwargs: pytest.fail("it ran"))
    (tmp_path / "file").write_text("")
    result = runner.invoke(app, [*arguments, str(tmp_path / "file" / "x" / "y")])
    assert result.exit_code == 2 and "cannot be written to" in " ".join(result.output.split())


def test_a_disk_that_fills_up_keeps_what_was_written(tmp_path, monkeypatch):
    def full(*args):
        raise OSError(28, "No space left on device")

    execution = Execution("00_start_here", 0, 1.0, None, [], None)
    monkeypatch.setattr("tlcourse.course.run.execute", lambda *args, **kwargs: (execution, nbformat.v4.new_notebook()))
    monkeypatch.setattr("nbformat.write", full)
    result = runner.invoke(app, ["run", "00", "--out", str(tmp_path / "out")])
    assert result.exit_code == 1 and "No space left" in " ".join(result.output.split())
