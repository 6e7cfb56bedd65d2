"""The batch: outputs, resuming, interruptions, overrides, late work, exports, an instructor's own exercises."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from unittest import mock

import nbformat
import pytest
from handed_in import NAME, SECRET, submission
from typer.testing import CliRunner

from tlcourse.cli import app
from tlcourse.grading import batch, exports, reports, results
from tlcourse.grading.judge import Judge
from tlcourse.grading.sandbox import IsolationError, Sandbox

HALF = {"labels-needed": "def labels_needed(n, a, t):\n    return np.exp(np.interp(t, a, np.log(n)))"}
CLASS = {
    "ann": submission(solved=True),
    "bob": submission(HALF, solved=True),
    "cyd": submission({"transfer": "import os\ndef transfer(*a): os._exit(0)"}, solved=True),
    "dee": b"junk",
}

pytestmark = pytest.mark.usefixtures("strong")


def hand_in(folder, people=CLASS):
    for student, content in people.items():
        (folder / student).mkdir(parents=True, exist_ok=True)
        (folder / student / f"{NAME}.ipynb").write_bytes(content)
    return folder


@pytest.fixture(scope="module")
def graded(strong, tmp_path_factory):
    """One run of the command line over the class: (submissions, results, what it printed)."""
    top = tmp_path_factory.mktemp("class")
    folder, out = hand_in(top / "in"), top / "out"
    (folder / "eve").mkdir()
    (folder / "stray.txt").write_text("x")
    (top / "seed").write_bytes(SECRET)
    done = grade(folder, out, "--seed-file", top / "seed")
    assert done.returncode == 0, done.stderr
    return folder, out, done


def grade(*arguments, **options):
    command = [
        sys.executable,
        "-m",
        "tlcourse.cli",
        "grade",
        *map(str, arguments[:1]),
        "--out",
        *map(str, arguments[1:]),
    ]
    return subprocess.run(command, capture_output=True, text=True, **options)


@pytest.fixture
def copied(graded, judge, tmp_path, monkeypatch):
    """The same submissions and results, to be changed; graded by a judge that has started already."""
    monkeypatch.setattr(judge, "close", lambda: None)
    monkeypatch.setattr(
        batch, "Judge", lambda secret, isolation: judge if secret == SECRET else Judge(secret, isolation)
    )
    shutil.copytree(graded[0], tmp_path / "in")
    shutil.copytree(graded[1], tmp_path / "out")
    return tmp_path / "in", tmp_path / "out"


def again(folder, out, **options):
    return batch.grade_folder(folder, out, secret=SECRET, **options)


def test_the_rows_have_what_the_design_promises(graded):
    rows = [json.loads(line) for line in (graded[1] / "results.jsonl").read_text().splitlines()]
    assert len(rows) == 25
    promised = "student notebook exercise points max_points status message seed sha256 isolation seconds versions"
    for row in rows:
        assert set(promised.split()) <= row.keys() and row["isolation"] == "strong"
    status = {(row["student"], row["exercise"]): row["status"] for row in rows}
    assert status["ann", "01.5"] == "ok" and status["cyd", "01.5"] == "crash" and status["cyd", "01.4"] == "ok"
    assert status["bob", "01.2"] == "wrong" and status["dee", "01.1"] == "error" and status["eve", "01.1"] == "missing"


def test_grades_are_a_line_per_student_with_partial_credit(graded):
    assert (graded[1] / "grades.csv").read_text().splitlines() == [
        "student,01.1,01.2,01.3,01.4,01.5,total,max,days_late",
        "ann,4,5,7,7,9,32,32,0",
        "bob,4,3,7,7,9,30,32,0",
        "cyd,4,5,7,7,0,23,32,0",
        "dee,0,0,0,0,0,0,32,0",
        "eve,0,0,0,0,0,0,32,0",
    ]
    assert "stray.txt lies beside" in graded[2].stderr and "need a look" in graded[2].stderr


def test_the_same_seed_file_gives_the_same_grades_byte_for_byte_with_more_jobs_too(graded, tmp_path):
    again(graded[0], tmp_path / "out", jobs=2)
    assert (tmp_path / "out" / "grades.csv").read_bytes() == (graded[1] / "grades.csv").read_bytes()


def test_pages_work_offline_and_are_accessible(graded):
    for path in [graded[1] / "index.html", *(graded[1] / "students").glob("*.html")]:
        text = path.read_text()
        assert '<html lang="en">' in text and "<h1>" in text and "<caption>" in text and 'scope="col"' in text
        assert "http://" not in text and "https://" not in text and "<script" not in text
        assert text.count("<img") == text.count('alt="') and 'alt=""' not in text
    index = (graded[1] / "index.html").read_text()
    assert "Histogram of totals" in index and "Share of students who passed" in index and "students/ann.html" in index
    assert "✓ passed" in (graded[1] / "students" / "ann.html").read_text()


def test_resume_grades_only_what_changed(copied):
    folder, out = copied
    hand_in(folder, {"dee": CLASS["ann"], "fay": CLASS["bob"]})
    seen = []
    rows = again(folder, out, resume=True, on_progress=lambda done, total: seen.append((done, total)))
    assert seen == [(0, 2), (1, 2), (2, 2)]
    assert {row["student"]: row["points"] for row in rows if row["exercise"] == "01.2"} == {
        **{"ann": 5, "bob": 3, "cyd": 5, "dee": 5, "eve": 0, "fay": 3}
    }
    again(folder, out, resume=True, on_progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (0, 0)


def test_resume_under_another_seed_grades_all_again(copied):
    seen = []
    batch.grade_folder(
        *copied, secret=b"another secret of a class", resume=True, on_progress=lambda d, t: seen.append(t)
    )
    assert seen[-1] == 4


def test_one_student_or_one_exercise_is_graded_again(copied):
    folder, out = copied
    hand_in(folder, {"ann": submission(), "bob": submission()})
    rows = again(folder, out, students=["ann"], exercises=["01.1"])
    points = {(row["student"], row["exercise"]): row["points"] for row in rows}
    assert points["ann", "01.1"] == 0 and points["ann", "01.3"] == 7 and points["bob", "01.1"] == 4 and len(rows) == 25
    rows = again(folder, out, students=["bob"])
    assert sum(row["points"] for row in rows if row["student"] == "bob") == 0 and len(rows) == 25
    with pytest.raises(ValueError, match="student 'zoe'"):
        again(folder, out, students=["zoe"])
    with pytest.raises(ValueError, match=r"exercise '09\.9'"):
        again(folder, out, exercises=["09.9"])


def test_an_override_stays_with_its_reason(copied):
    folder, out = copied
    command = ["override", str(out), "cyd", "01.5", "6.5", "--reason", "Shown in the lab"]
    assert CliRunner().invoke(app, command).exit_code == 0
    rows = again(folder, out, resume=True)
    (row,) = [row for row in rows if (row["student"], row["exercise"]) == ("cyd", "01.5")]
    assert (row["points"], row["judged"], row["override"]) == (6.5, 0, "Shown in the lab")
    assert "cyd,4,5,7,7,6.5,29.5,32,0" in (out / "grades.csv").read_text()
    assert "Shown in the lab" in (out / "students" / "cyd.html").read_text()
    for student, exercise, points, reason in [
        ("zoe", "01.1", 1, "x"),
        ("ann", "01.1", 5, "x"),
        ("ann", "01.1", 1, " "),
    ]:
        with pytest.raises(ValueError, match="student|points|reason"):
            results.add_override(out, student, exercise, points, reason)


def test_late_work_costs_its_share_by_started_day(copied):
    folder, out = copied
    os.utime(folder / "ann" / f"{NAME}.ipynb", (1_800_000_000, 1_800_000_000))  # 2027-01-15 08:00 UTC
    (folder / "bob" / "timestamp.txt").write_text("2027-01-13 07:00:00.000000 UTC")
    policy = results.Policy(due="2027-01-14T07:00+00:00", late_per_day=0.25)
    rows = again(folder, out, policy=policy)
    assert {row["student"]: row["days_late"] for row in rows} == {"ann": 2, "bob": 0, "cyd": 0, "dee": 0, "eve": 0}
    assert "ann,2,2.5,3.5,3.5,4.5,16,32,2" in (out / "grades.csv").read_text()
    assert "2 days late: 4 points before" in (out / "students" / "ann.html").read_text()
    again(folder, out, resume=True)
    assert "ann,2,2.5,3.5,3.5,4.5,16,32,2" in (out / "grades.csv").read_text()  # the policy is kept
    for wrong in ({"due": "tomorrow"}, {"late_per_day": 2}):
        with pytest.raises(ValueError, match="want"):
            results.Policy(**wrong)


def test_a_notebook_of_another_edition_is_graded_and_said(strong, tmp_path):
    notebook = nbformat.reads(submission(solved=True).decode(), as_version=4)
    next(cell for cell in notebook.cells if cell.id == "check-transfer-gain").metadata["tlcourse_version"] = "0" * 12
    with Judge(SECRET) as judge:
        rows = judge.grade(nbformat.writes(notebook).encode(), NAME)
    assert [row["version"] for row in rows] == ["other", *["released"] * 4]
    assert rows[0]["points"] == 4 and "another version of the exercise" in rows[0]["message"]


def test_an_interruption_leaves_valid_results_and_resume_goes_on(tmp_path):
    folder, out = hand_in(tmp_path / "in", {f"s{n:02}": CLASS["ann"] for n in range(10)}), tmp_path / "out"
    command = [sys.executable, "-m", "tlcourse.cli", "grade", str(folder), "--out", str(out)]
    process = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a job in the background inherits "ignore"
    )
    file = out / "results.jsonl"
    deadline = time.monotonic() + 120
    while not (file.exists() and file.read_text().count("\n") >= 15):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1 and "--resume goes on" in " ".join(said.split())
    before = [json.loads(line) for line in file.read_text().splitlines()]
    finished = {row["student"] for row in before if row["status"] == "ok"}
    assert 3 <= len(finished) < 10 and (out / "grades.csv").exists()
    with open(file, "a") as torn:
        torn.write('{"student": "s09", "po')  # as a power failure leaves it
    seen = []
    secret = batch.read_secret(out)
    rows = batch.grade_folder(folder, out, secret=secret, resume=True, on_progress=lambda d, t: seen.append(t))
    assert seen[-1] == 10 - len(finished) and sum(row["points"] for row in rows) == 10 * 32


def test_seeds_are_made_once_kept_private_and_long_enough(tmp_path):
    secret = batch.read_secret(tmp_path)
    assert len(secret) == 64 and batch.read_secret(tmp_path) == secret
    assert (tmp_path / "seed.txt").stat().st_mode & 0o077 == 0
    (tmp_path / "short").write_text("1234")
    with pytest.raises(ValueError, match="at least 16"):
        batch.read_secret(tmp_path, tmp_path / "short")
    with pytest.raises(OSError):
        batch.read_secret(tmp_path, tmp_path / "absent")


def test_exports_have_the_names_that_other_systems_want(graded, tmp_path):
    out = str(graded[1])
    run = CliRunner().invoke
    columns = ["--column", "Email address=student", "--column", "Quiz=percent", "--column", 'Assignment="Lesson 01"']
    assert run(app, ["export", out, str(tmp_path / "moodle.csv"), *columns]).exit_code == 0
    lines = (tmp_path / "moodle.csv").read_text().splitlines()
    assert lines[:3] == ["Email address,Quiz,Assignment", "ann,100.0,Lesson 01", "bob,93.75,Lesson 01"]

    roster = tmp_path / "canvas.csv"
    roster.write_text("Student,SIS Login ID,Lesson 01 (1)\n    Points Possible,,32\nAnn A,ann,\nZoe Z,zoe,-1\n")
    wanted = ["--column", "Lesson 01 (1)=total", "--roster", str(roster), "--match", "SIS Login ID"]
    result = run(app, ["export", out, str(tmp_path / "filled.csv"), *wanted])
    assert "not in" in result.output and "bob" in result.output
    with open(tmp_path / "filled.csv", newline="") as file:
        assert list(csv.reader(file))[1:] == [
            ["    Points Possible", "", "32"],
            ["Ann A", "ann", "32"],
            ["Zoe Z", "zoe", "-1"],
        ]

    assert run(app, ["export", out, str(tmp_path / "gs"), "--gradescope"]).exit_code == 0
    result = json.loads((tmp_path / "gs" / "bob.json").read_text())
    assert result["score"] == 30 and [test["score"] for test in result["tests"]] == [4, 3, 7, 7, 9]
    assert result["tests"][1]["status"] == "failed" and "wrong" not in result["tests"][0]["output"]
    assert run(app, ["export", out, str(tmp_path / "x.csv"), "--column", "A=nothing"]).exit_code == 2
    assert run(app, ["export", str(tmp_path / "none"), str(tmp_path / "x.csv")]).exit_code == 2
    with pytest.raises(ValueError, match="match"):
        exports.write_columns(results.read_final(graded[1]), tmp_path / "y.csv", {"a": "total"}, roster, "Email")


def test_results_survive_lines_that_are_no_rows(copied):
    with open(copied[1] / "results.jsonl", "a") as file:
        file.write('{}\n5\n[]\nnull\n{"file": 1\n')
    assert len(again(*copied, resume=True)) == 25


def test_a_spreadsheet_finds_no_formula(tmp_path):
    names = ["=1", " =1", "a;=1", "+a", "@a", "-a", "a\t=1", "a-b", "-1.5", "1"]
    reports.write_csv(tmp_path / "x.csv", ["student"], [[name] for name in names])
    with open(tmp_path / "x.csv", newline="") as file:
        written = [line[0] for line in csv.reader(file)][1:]
    assert written == ["'=1", " '=1", "a;'=1", "'+a", "'@a", "'-a", "a\t'=1", "a-b", "-1.5", "1"]


def test_names_of_pages_are_safe_and_distinct():
    names = [
        "A",
        "Ann_Lee",
        reports.page_name("Ann_Lee").removesuffix(".html"),
        "a",
        "../a",
        "a/b",
        "a b",
        "a_b",
        "..",
        "",
        "é",
        "x" * 300,
        "A.b-c",
    ]
    pages = [reports.page_name(name) for name in names]
    assert len({page.lower() for page in pages}) == len(names) and all(
        Path(page).name == page and len(page) < 100 for page in pages
    )
    assert not any(page.startswith(".") for page in pages)


OWN = """
from tlcourse.checks import Case, Exercise

def cases(rng):
    return [Case((int(rng.integers(1000)),), {})]

def verify(case, output):
    return None if output == 2 * case.inputs[0] else "Not twice the number."

EXERCISES = [Exercise("90.1", "Twice", 3, "twice", 2, cases, verify)]
"""


def test_an_instructor_adds_exercises(strong, tmp_path, monkeypatch):
    own = tmp_path / "own"
    own.mkdir()
    (own / "90_own.py").write_text(OWN)
    cells = [
        nbformat.v4.new_code_cell("def twice(n):\n    raise NotImplementedError"),
        nbformat.v4.new_code_cell('check("90.1", twice)'),
    ]
    cells[0].id, cells[1].id = "twice", "check-twice"
    notebook = nbformat.v4.new_notebook(cells=cells)
    nbformat.write(notebook, own / "90_own.ipynb")
    notebook.cells[0].source = "def twice(n):\n    return n + n"
    people = {"ann": nbformat.writes(notebook).encode(), "bob": (own / "90_own.ipynb").read_bytes()}
    for student, content in people.items():
        (tmp_path / "in" / student).mkdir(parents=True)
        (tmp_path / "in" / student / "90_own.ipynb").write_bytes(content)
    monkeypatch.setenv("TLCOURSE_CHECKS", "")  # restored after the command sets it
    result = CliRunner().invoke(
        app, ["grade", str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--checks", str(own)]
    )
    assert result.exit_code == 0, result.output
    assert (tmp_path / "out" / "grades.csv").read_text().splitlines()[1:] == ["ann,3,3,3,0", "bob,0,0,3,0"]


def test_without_bubblewrap_it_refuses_with_an_explanation_and_loses_nothing(graded, monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(IsolationError, match="apt install bubblewrap"):
        Sandbox()
    before = (graded[1] / "results.jsonl").read_bytes()
    result = CliRunner().invoke(app, ["grade", str(graded[0]), "--out", str(graded[1])])
    assert result.exit_code == 1 and "--isolation=weak" in " ".join(result.output.split())
    assert (graded[1] / "results.jsonl").read_bytes() == before


def test_where_namespaces_are_forbidden_it_refuses_with_the_reason(monkeypatch, tmp_path):
    fake = tmp_path / "bwrap"
    fake.write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setattr("shutil.which", lambda name: str(fake))
    with pytest.raises(IsolationError, match=r"No permissions to create new namespace.*docs/grading\.md"):
        Sandbox()


def test_a_hole_in_the_wall_is_found_before_anything_is_graded(monkeypatch, tmp_path):
    sandbox = sys.modules["tlcourse.grading.sandbox"]
    real = sandbox._bubblewrap
    monkeypatch.setattr(sandbox.tempfile, "tempdir", str(tmp_path))  # where the probe's secret lies
    monkeypatch.setattr(
        sandbox, "_bubblewrap", lambda env: [real(env)[0], "--ro-bind", str(tmp_path), str(tmp_path), *real(env)[1:]]
    )
    with pytest.raises(IsolationError, match="hole: a child reads a file of the judge"):
        Sandbox()


def test_weak_isolation_grades_and_is_recorded(graded):
    with Judge(SECRET, "weak") as judge:
        rows = judge.grade(CLASS["cyd"], NAME)
        assert [row["points"] for row in rows] == [4, 5, 7, 7, 0] and rows[0]["isolation"] == "weak"
        assert not Path(judge._sandbox._folder, "work").exists()


def test_strong_isolation_works_for_an_ordinary_user(strong, tmp_path):
    """In a user namespace without capabilities, which is what the kernel sees of an ordinary user."""
    folder = hand_in(tmp_path / "in", {"ann": CLASS["ann"]})
    plain = ["bwrap", "--dev-bind", "/", "/", "--unshare-user", "--uid", "1000", "--gid", "1000", "--cap-drop", "ALL"]
    command = [*plain, sys.executable, "-m", "tlcourse.cli", "grade", str(folder), "--out", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "ann,4,5,7,7,9,32,32,0" in (tmp_path / "out" / "grades.csv").read_text()


def test_wrong_use_exits_with_2_and_a_message(tmp_path):
    run = CliRunner().invoke
    for arguments in (
        [str(tmp_path / "absent"), "--out", str(tmp_path / "o")],
        [str(tmp_path), "--out", str(tmp_path / "o"), "--isolation", "none"],
        [str(tmp_path), "--out", str(tmp_path / "o"), "--checks", str(tmp_path / "absent")],
        [str(tmp_path), "--out", str(tmp_path / "o"), "--due", "tomorrow"],
        [str(tmp_path), "--out", str(tmp_path / "o"), "--seed-file", str(tmp_path / "absent")],
    ):
        result = run(app, ["grade", *arguments])
        assert result.exit_code == 2 and "error:" in result.output, arguments


def test_a_fault_of_the_grader_is_a_row_that_says_so(graded, tmp_path, monkeypatch):
    monkeypatch.setattr(Judge, "_match", lambda *a: 1 / 0)
    rows = again(hand_in(tmp_path / "in", {"ann": CLASS["ann"]}), tmp_path / "out")
    assert {row["status"] for row in rows} == {"error"} and "the grader failed, not the student" in rows[0]["message"]
    assert "the grader failed" in (tmp_path / "out" / "index.html").read_text()


def test_dask_gives_the_results_of_a_local_run_though_a_worker_dies(graded, tmp_path):
    from distributed import LocalCluster

    people = {f"{name}{n}": content for n in range(2) for name, content in CLASS.items()}
    folder = hand_in(tmp_path / "in", people)
    killed = []
    # Dask sets OMP_NUM_THREADS=1 in this very process and leaves it: every notebook run after it would have one thread.
    with (
        mock.patch.dict(os.environ),
        LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster,
    ):

        def kill_one(done, total):
            if done == 4 and not killed:
                killed.append(next(iter(cluster.workers.values())).pid)
                os.kill(killed[0], signal.SIGKILL)

        far = again(folder, tmp_path / "far", dask=cluster.scheduler_address, on_progress=kill_one)
    again(folder, tmp_path / "near", jobs=2)
    near = results.read_final(tmp_path / "near")
    assert killed and [{**row, "seconds": 0} for row in far] == [{**row, "seconds": 0} for row in near]
    assert (tmp_path / "far" / "grades.csv").read_bytes() == (tmp_path / "near" / "grades.csv").read_bytes()
