"""What the benchmarks share. The timings themselves are no tests."""

import json

from benchmarks import _report
from benchmarks.all import NAMES, as_page
from tlcourse.course import course_root


def test_runs_alternate(monkeypatch):
    order = []
    ours, theirs = _report.alternate(lambda: order.append("ours"), lambda: order.append("theirs"), 3)
    assert order == ["ours", "theirs"] * 3 and len(ours) == len(theirs) == 3
    assert all(seconds >= 0 for seconds in ours + theirs)


def test_the_ratio_is_of_the_medians():
    assert _report.ratio_of(_report.row("x", "peer", [1, 2, 90], [5, 6, 7])) == 3


def test_a_report_prints_ours_the_peers_and_the_ratio(capsys):
    rows = [_report.row("work", "peer", [2.0], [5.0]), _report.row("alone", "", [0.25], [], unit="MiB")]
    found = _report.report("demo", rows, ["numpy"], threads=3, notes=["equal results"])
    first, second, note = capsys.readouterr().out.splitlines()[-3:]
    assert note == "equal results" and found["notes"] == [note]
    assert first.split() == ["work,", "s", "2", "5", "2.50", "peer"] and second.split() == ["alone,", "MiB", "0.25"]
    assert found["rows"] == rows and found["threads"] == 3 and {"python", "torch", "numpy"} == found["versions"].keys()


def test_the_page_has_a_row_per_comparison():
    benchmark = {
        "name": "demo",
        "about": "What it is.\n\nMore of\nit.",
        "machine": "a machine",
        "threads": 1,
        "versions": {"torch": "9"},
        "rows": [_report.row("work", "peer", [2.0, 2.0], [5.0, 5.0]), _report.row("alone", "", [1234.5], [], "MiB")],
        "notes": ["Equal results."],
    }
    page = as_page({"made_by": "a command", "benchmarks": [benchmark]})
    assert "| work | peer | 2 s | 5 s | 2.50 | 2 |" in page and "More of it." in page and "1 thread; torch 9" in page
    assert "| alone |  | 1,234 MiB |  |  | 1 |\n\n- Equal results." in page


def test_the_committed_page_shows_the_committed_figures_of_a_whole_run():
    docs = course_root() / "docs"
    found = json.loads((docs / "benchmarks.json").read_text(encoding="utf-8"))
    assert found["made_by"] == "python -m benchmarks all --json docs/benchmarks.json"
    assert [benchmark["name"] for benchmark in found["benchmarks"]] == list(NAMES)
    assert (docs / "benchmarks.md").read_text(encoding="utf-8") == as_page(found)
