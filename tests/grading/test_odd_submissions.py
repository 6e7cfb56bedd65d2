"""Damaged and odd submissions: each gets a row with a true status, and none stops the batch."""

import json
import os

import nbformat
import pytest
from handed_in import NAME, as_bytes, notebook_of, submission

from tlcourse.grading import reports
from tlcourse.grading.batch import grade_folder
from tlcourse.grading.submissions import as_text, find_submissions, strangers

FULL = [4, 5, 7, 7, 9]
NONE = [0, 0, 0, 0, 0]


def solved():
    return nbformat.reads(submission(solved=True).decode(), as_version=4)


def edited(edit):
    notebook = solved()
    edit(notebook)
    return as_bytes(notebook)


def raw(edit):
    notebook = json.loads(submission(solved=True))
    edit(notebook)
    return json.dumps(notebook).encode()


def cell(notebook, id):
    return next(cell for cell in notebook["cells"] if cell["id"] == id)


def version_2():
    cells = [
        {"cell_type": "code", "input": c.source, "language": "python", "outputs": [], "collapsed": False}
        for c in solved().cells
        if c.cell_type == "code" and "check(" not in c.source
    ]
    worksheets = [{"cells": cells}]
    return json.dumps({"metadata": {"name": ""}, "nbformat": 2, "worksheets": worksheets}).encode()


def without_ids(notebook):
    notebook["nbformat_minor"] = 4
    for c in notebook["cells"]:
        del c["id"]


def only_metadata_ids(notebook):
    """As Colab writes: format 4.0, the ids in the metadata."""
    notebook["nbformat_minor"] = 0
    for c in notebook["cells"]:
        c["metadata"] = {"id": c.pop("id")}


def shuffled(notebook):
    notebook.cells = notebook.cells[::-1]


def huge_outputs(notebook):
    text = nbformat.v4.new_output("stream", name="stdout", text="x" * (50 << 20))
    cell(notebook, "transfer-gain").outputs = [text]


def other_kernel(notebook):
    notebook.metadata.kernelspec = {"name": "ir", "display_name": "R", "language": "R"}
    notebook.metadata.language_info = {"name": "R"}


def merged(notebook):
    """Both functions in one cell, the other cell deleted."""
    cell(notebook, "transfer-gain").source += "\n\n" + cell(notebook, "labels-needed").source
    notebook.cells = [c for c in notebook.cells if c.id != "labels-needed"]


def copied_cell(notebook):
    again = nbformat.from_dict(json.loads(json.dumps(cell(notebook, "transfer-gain"))))
    again.source = "def transfer_gain(a, b):\n    return 0"
    notebook.cells.insert(5, again)


def prefixed(id, text):
    def edit(notebook):
        cell(notebook, id)["source"] = text + cell(notebook, id)["source"]

    return edit


def replaced(id, text):
    def edit(notebook):
        cell(notebook, id)["source"] = text

    return edit


def without(*ids):
    def edit(notebook):
        notebook.cells = [c for c in notebook.cells if c.id not in ids]

    return edit


def with_first(text, kind="code"):
    def edit(notebook):
        new = nbformat.v4.new_code_cell(text) if kind == "code" else nbformat.v4.new_markdown_cell(text)
        notebook.cells.insert(0, new)

    return edit


def metadata(id, value):
    def edit(notebook):
        cell(notebook, id)["metadata"] = value

    return edit


def set_all(key, value):
    def edit(notebook):
        for c in notebook["cells"]:
            c[key] = value

    return edit


def version_3():
    notebook = nbformat.convert(solved(), 3)
    return nbformat.writes(notebook, version=3).encode()


NOISY = "import sys, warnings\nprint('noise', file=sys.stderr)\nwarnings.warn('deprecated')\n"
AWAIT = "import asyncio\nawait asyncio.sleep(0)\n"

# name → (bytes of 01_fundamentals.ipynb, points, statuses that differ from "ok", a word of the first message)
ODD = {
    "as released": (submission(), NONE, ["missing"] * 5, "not written yet"),
    "solved": (submission(solved=True), FULL, [], ""),
    "empty file": (b"", NONE, ["error"] * 5, "empty"),
    "blank file": (b"\n \n", NONE, ["error"] * 5, "empty"),
    "not JSON": (b"hello", NONE, ["error"] * 5, "JSON is damaged"),
    "cut off": (submission(solved=True)[:5000], NONE, ["error"] * 5, "JSON is damaged"),
    "a list": (b"[1, 2]", NONE, ["error"] * 5, "other JSON"),
    "a number": (b"7", NONE, ["error"] * 5, "other JSON"),
    "no cells": (b'{"nbformat": 4}', NONE, ["error"] * 5, "no cells"),
    "cells of no kind": (b'{"cells": {"a": 1}}', NONE, ["error"] * 5, "no cells"),
    "JSON without end": (b"[" * 100_000, NONE, ["error"] * 5, "nested too deep"),
    "an empty notebook": (as_bytes(nbformat.v4.new_notebook()), NONE, ["missing"] * 5, "not in the notebook"),
    "no code": (
        edited(lambda n: setattr(n, "cells", [c for c in n.cells if c.cell_type == "markdown"])),
        NONE,
        ["missing"] * 5,
        "not in the notebook",
    ),
    "version 3": (version_3(), FULL, [], ""),
    "version 2": (version_2(), FULL, [], ""),
    "without cell ids": (raw(without_ids), FULL, [], ""),
    "as Colab writes it": (raw(only_metadata_ids), FULL, [], ""),
    "shuffled cells": (edited(shuffled), FULL, [], ""),
    "outputs of 50 MB": (edited(huge_outputs), FULL, [], ""),
    "another kernel": (edited(other_kernel), FULL, [], ""),
    "functions merged into one cell": (edited(merged), FULL, [], ""),
    "a cell twice": (edited(copied_cell), [0, *FULL[1:]], ["wrong"], "2 times; the last one counts"),
    "an answer deleted": (edited(without("transfer-gain")), [0, *FULL[1:]], ["missing"], "not in the notebook"),
    "all checks deleted": (edited(without(*(c.id for c in solved().cells if "check" in c.id))), FULL, [], ""),
    "setup and imports deleted": (edited(without("setup", "imports")), FULL, [], ""),
    "magics": (edited(prefixed("transfer-gain", "%matplotlib inline\n%load_ext autoreload\n")), FULL, [], ""),
    "a timed cell": (edited(prefixed("transfer-gain", "%%time\n")), FULL, [], ""),
    "shell lines": (edited(prefixed("transfer-gain", "!pip install torch\nfiles = !ls\n")), FULL, [], ""),
    "a shell cell": (edited(with_first("%%bash\nrm -rf /")), FULL, [], ""),
    "await at the top": (edited(prefixed("transfer-gain", AWAIT)), FULL, [], ""),
    "a syntax error": (
        edited(replaced("transfer-gain", "def transfer_gain(:")),
        [0, *FULL[1:]],
        ["error"],
        "SyntaxError",
    ),
    "an error in a cell": (edited(replaced("transfer-gain", "1 / 0")), [0, *FULL[1:]], ["error"], "ZeroDivisionError"),
    "another name": (
        edited(replaced("transfer-gain", "def gain(): pass")),
        [0, *FULL[1:]],
        ["error"],
        "no function named",
    ),
    "right but noisy": (edited(prefixed("transfer-gain", NOISY)), FULL, [], ""),
    "an experiment that fails": (edited(with_first("plt.plot(undefined)")), FULL, [], ""),
    "an experiment that exits": (edited(with_first("raise SystemExit")), FULL, [], ""),
    "metadata is null": (raw(set_all("metadata", None)), FULL, [], ""),
    "metadata is a list": (raw(set_all("metadata", [1])), FULL, [], ""),
    "nbgrader's is text": (raw(metadata("transfer-gain", {"nbgrader": "x"})), FULL, [], ""),
    "grade_id is a list": (raw(metadata("transfer-gain", {"nbgrader": {"grade_id": [1]}})), FULL, [], ""),
    "an answer marked locked": (
        raw(metadata("transfer-gain", {"nbgrader": {"grade_id": "transfer-gain", "locked": True, "solution": False}})),
        FULL,
        [],
        "",
    ),
    "a cell that is no dict": (raw(lambda n: n["cells"].insert(0, "x")), FULL, [], ""),
    "a source that is null": (raw(replaced("title", None)), FULL, [], ""),
    "a source of numbers": (raw(replaced("imports", [1, None, "x = 1\n"])), FULL, [], ""),
    "an unknown kind of cell": (raw(lambda n: cell(n, "title").update(cell_type="video")), FULL, [], ""),
    "Windows line ends": (submission(solved=True).replace(b"\\n", b"\\r\\n"), FULL, [], ""),
    "a byte order mark": (b"\xef\xbb\xbf" + submission(solved=True), FULL, [], ""),
    "bytes that are no UTF-8": (submission(solved=True).replace(b"Five exercises", b"F\xff\xfeve"), FULL, [], ""),
    "UTF-16": (submission(solved=True).decode().encode("utf-16"), NONE, ["error"] * 5, "JSON is damaged"),
    "null bytes in code": (edited(prefixed("transfer-gain", "x = '\0'\n")), [0, *FULL[1:]], ["error"], "null bytes"),
    "a huge cell": (edited(with_first("x = '" + "y" * (6 << 20) + "'")), NONE, ["error"] * 5, "cannot be sent"),
    "three thousand cells": (
        raw(lambda n: n["cells"].extend([{"cell_type": "code", "source": "1", "metadata": {}}] * 3_000)),
        NONE,
        ["error"] * 5,
        "over 2,000 cells",
    ),
    "cells without end": (b'{"cells":' + b"[" * 2_000_000, NONE, ["error"] * 5, "nested too deep"),
    "a format of a million digits": (
        b'{"nbformat":' + b"1" * 1_000_000 + b', "cells": []}',
        NONE,
        ["error"] * 5,
        "JSON is damaged",
    ),
    "a version that is a dict": (raw(metadata("check-transfer-gain", {"tlcourse_version": {"a": 1}})), FULL, [], ""),
    "a source that is a dict": (raw(replaced("imports", {"a": 1})), FULL, [], ""),
    "emoji and Arabic": (edited(with_first("# 🎓 مرحبا", kind="markdown")), FULL, [], ""),
    "tabs for spaces": (
        edited(replaced("transfer-gain", "def transfer_gain(a, b):\n\tif 1:\n        pass")),
        [0, *FULL[1:]],
        ["error"],
        "TabError",
    ),
}


@pytest.fixture(scope="module")
def graded(strong, tmp_path_factory):
    """The whole table, and what lies about in folders of submissions, in one batch."""
    top = tmp_path_factory.mktemp("odd")
    for name, (content, *_) in ODD.items():
        (top / name).mkdir()
        (top / name / f"{NAME}.ipynb").write_bytes(content)
    other = {
        "renamed": ("homework final (2).ipynb", submission(solved=True)),
        "renamed and damaged": ("homework.ipynb", b"junk"),
        "download copy": (f"{NAME} (1).ipynb", submission(solved=True)),
        "nested/01_fundamentals": (f"{NAME}.ipynb", submission(solved=True)),
        "capital ending": (f"{NAME}.IPYNB", submission(solved=True)),
        "..hidden..": (f"..{NAME}..ipynb", submission(solved=True)),
        "=cmd()": (f"{NAME}.ipynb", submission(solved=True)),
        "<b>bold</b>": (
            f"{NAME}.ipynb",
            submission({"transfer-gain": "def transfer_gain(a, b): raise type('<i>', (Exception,), {})('<script>')"}),
        ),
        "tab\tand\nline": (f"{NAME}.ipynb", submission(solved=True)),
        "another lesson": ("other.ipynb", as_bytes(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1")]))),
        "two files": (f"{NAME}.ipynb", submission(solved=True)),
    }
    for student, (file, content) in other.items():
        (top / student).mkdir(parents=True)
        (top / student / file).write_bytes(content)
    (top / "two files" / "zz old.ipynb").write_bytes(submission())
    for file in (f"{NAME}\x01.ipynb", f"{NAME}\\x01.ipynb"):
        (top / "two names").mkdir(exist_ok=True)
        (top / "two names" / file).write_bytes(submission(solved=True))
    for student in ("merge\x01", "merge\\x01", "Ann Lee", "ann_lee"):
        (top / student).mkdir()
        (top / student / f"{NAME}.ipynb").write_bytes(submission(solved=True))
    (top / reports.page_name("Ann Lee").removesuffix(".html")).mkdir()
    for student, make in {"zero": lambda p: p.symlink_to("/dev/zero"), "fifo": os.mkfifo, "dir": os.mkdir}.items():
        (top / student).mkdir()
        (top / student / f"{NAME}.ipynb").write_bytes(submission(solved=True))
        make(top / student / "timestamp.txt")
    (top / "nothing").mkdir()
    (top / "checkpoints" / ".ipynb_checkpoints").mkdir(parents=True)
    (top / "checkpoints" / ".ipynb_checkpoints" / f"{NAME}-checkpoint.ipynb").write_bytes(submission(solved=True))
    (top / "a folder").mkdir()
    (top / "a folder" / f"{NAME}.ipynb").mkdir()
    (top / "a link").mkdir()
    (top / "a link" / f"{NAME}.ipynb").symlink_to(top / "solved" / f"{NAME}.ipynb")
    (top / "link to a student").symlink_to(top / "solved")
    (top / "a pipe").mkdir()
    os.mkfifo(top / "a pipe" / f"{NAME}.ipynb")
    (top / "startup files").mkdir()
    for name in ("sitecustomize.py", "torch.py", "tlcourse.py", "conftest.py"):
        (top / "startup files" / name).write_text("raise SystemExit('ESCAPED')")
    (top / "startup files" / f"{NAME}.ipynb").write_bytes(submission(solved=True))
    os.mkdir(os.fsencode(str(top)) + b"/n\xe4me")
    with open(os.fsencode(str(top)) + b"/n\xe4me/01_fundamentals.ipynb", "wb") as file:
        file.write(submission(solved=True))
    (top / "loose.ipynb").write_bytes(submission(solved=True))
    out = tmp_path_factory.mktemp("results")
    rows = grade_folder(top, out, secret=b"0123456789abcdef", jobs=2)
    return top, out, rows


def rows_of(graded, student):
    return [row for row in graded[2] if row["student"] == student]


def test_there_are_at_least_twenty_five_odd_submissions():
    assert len(ODD) >= 25


@pytest.mark.parametrize("name", ODD)
def test_an_odd_submission_gets_its_true_rows(graded, name):
    _, points, statuses, word = ODD[name]
    rows = rows_of(graded, name)
    assert [row["points"] for row in rows] == points, [row["message"] for row in rows]
    assert [row["status"] for row in rows if row["status"] != "ok"] == statuses
    assert word in rows[0]["message"]


@pytest.mark.parametrize(
    "student",
    [
        *("renamed", "download copy", "nested", "capital ending", "..hidden..", "=cmd()", "tab\\tand\\nline"),
        *("startup files", "n\\xe4me"),
    ],
)
def test_an_odd_name_or_place_costs_nothing(graded, student):
    assert [row["points"] for row in rows_of(graded, student)] == FULL


@pytest.mark.parametrize("student", ["nothing", "checkpoints", "a folder"])
def test_a_student_without_a_notebook_has_rows_that_say_missing(graded, student):
    rows = rows_of(graded, student)
    assert [row["status"] for row in rows] == ["missing"] * 5 and "No notebook" in rows[0]["message"]


@pytest.mark.parametrize("student, word", [("a link", "links are not followed"), ("a pipe", "no plain file")])
def test_what_is_no_file_is_not_followed(graded, student, word):
    rows = rows_of(graded, student)
    assert [row["status"] for row in rows] == ["error"] * 5 and word in rows[0]["message"]


def test_a_file_of_no_exercise_notebook_is_said_and_the_answers_are_missing(graded):
    for student in ("another lesson", "renamed and damaged"):
        rows = rows_of(graded, student)
        assert [row["exercise"] for row in rows] == ["", "01.1", "01.2", "01.3", "01.4", "01.5"]
        assert [row["status"] for row in rows] == ["error"] + ["missing"] * 5


def test_of_two_files_the_one_with_the_released_name_counts_and_the_other_is_said(graded):
    rows = rows_of(graded, "two files")
    assert [row["points"] for row in rows if row["exercise"]] == FULL
    assert [row["message"] for row in rows if not row["exercise"]] == [
        f"Not counted: two files/{NAME}.ipynb answers the same notebook."
    ]


def test_every_student_has_one_row_per_exercise_and_a_page(graded):
    top, out, _ = graded
    students, _ = find_submissions(top, [NAME])
    assert len(students) > 60 and "link to a student" not in students
    for student in students:
        assert [row["exercise"] for row in rows_of(graded, student) if row["exercise"]] == [
            "01.1",
            "01.2",
            "01.3",
            "01.4",
            "01.5",
        ]
    pages = list((out / "students").iterdir())
    assert len(pages) == len(students)
    assert sorted(path.name for path in out.iterdir()) == ["grades.csv", "index.html", "results.jsonl", "students"]
    assert "loose.ipynb" in strangers(top) and "link to a student" in strangers(top)


def test_no_page_runs_what_a_student_wrote(graded):
    _, out, rows = graded
    for path in [out / "index.html", *(out / "students").iterdir()]:
        text = path.read_text(encoding="utf-8")
        assert "<script" not in text and "<b>bold" not in text and "<i>" not in text
    assert any("<script>" in row["message"] for row in rows)
    assert "\n'=cmd()," in (out / "grades.csv").read_text(encoding="utf-8")


def test_a_name_is_text_that_every_file_takes():
    assert as_text(b"n\xe4me".decode("utf-8", "surrogateescape")) == "n\\xe4me"
    assert as_text("é\x1b[31m\u202e") == "é\\x1b[31m\\u202e"


def test_no_two_names_share_rows_or_a_page(graded):
    for student in ("merge\\x01", "merge\\\\x01", "Ann Lee", "ann_lee"):
        assert [row["points"] for row in rows_of(graded, student)] == FULL
    rows = rows_of(graded, "two names")
    assert sorted(row["exercise"] for row in rows) == ["", "01.1", "01.2", "01.3", "01.4", "01.5"]
    assert "32 of 32" in (graded[1] / "students" / reports.page_name("Ann Lee")).read_text(encoding="utf-8")
    totals = [line.rsplit(",", 3)[1:3] for line in (graded[1] / "grades.csv").read_text().splitlines()[1:]]
    assert all(int(total) <= int(most) for total, most in totals)


@pytest.mark.parametrize("student", ["zero", "fifo", "dir"])
def test_an_odd_timestamp_stops_nothing(graded, student):
    assert [row["points"] for row in rows_of(graded, student)] == FULL


def test_a_folder_that_may_not_be_read_gets_a_row(monkeypatch, tmp_path):
    (tmp_path / "ann" / "inner").mkdir(parents=True)
    real = type(tmp_path).iterdir

    def iterdir(self):
        if self.name == "inner":
            raise PermissionError(13, "Permission denied")
        return real(self)

    monkeypatch.setattr(type(tmp_path), "iterdir", iterdir)
    _, (found,) = find_submissions(tmp_path, [NAME])
    assert found.file == "ann/inner"
    with pytest.raises(ValueError, match="cannot be read"):
        found.read()


def test_the_release_itself_has_no_answers():
    assert "BEGIN SOLUTION" not in as_bytes(notebook_of("exercises")).decode()
