import argparse
import json
import os
import sys
from pathlib import Path

import pytest
import torch

from tlcourse.authoring import table


def read(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["experiment.py", *arguments])
    return table.read_options("a.module", "What it makes.", seeds=3)


def test_options_give_seeds_and_the_command(monkeypatch):
    options = read(monkeypatch)
    assert (options.seeds, options.jobs, options.json) == ([0, 1, 2], os.cpu_count(), Path("results.json"))
    assert options.made_by == "python -m a.module"
    options = read(monkeypatch, "--seeds", "2", "--first", "7", "--json", "a table.json")
    assert options.seeds == [7, 8]
    assert options.made_by == "python -m a.module --seeds 2 --first 7 --json 'a table.json'"


@pytest.mark.parametrize("arguments", [("--seeds", "0"), ("--jobs", "0"), ("--json", "nowhere/results.json")])
def test_what_an_option_cannot_be_is_said_before_the_work(monkeypatch, capsys, arguments):
    with pytest.raises(SystemExit) as stopped:
        read(monkeypatch, *arguments)
    assert stopped.value.code == 2 and arguments[0] in capsys.readouterr().err


def test_cells_are_measured_in_order_over_the_seeds():
    found = table.measure_cells(dict, [{"task": "a"}, {"task": "b"}], [3, 1], jobs=2)
    assert found == [[{"task": task, "seed": seed} for seed in (3, 1)] for task in "ab"]


def test_runs_become_rounded_columns():
    runs = [{"a": 0.12345, "b": None}, {"a": 1, "b": None}]
    assert table.as_columns(runs) == {"a": [0.1235, 1], "b": [None, None]}
    assert table.as_columns(runs, digits=2)["a"] == [0.12, 1]


def test_a_table_has_a_row_on_each_line(tmp_path, capsys):
    options = argparse.Namespace(made_by="a command", json=tmp_path / "results.json")
    rows = [{"task": "a → b", "x": [1, None]}, {"task": "b", "x": [2, 3]}]
    table.write_table(options, {"seeds": [0, 1], "rows": rows})
    head, _, *lines, _ = options.json.read_text(encoding="utf-8").splitlines()
    assert head == f'{{"made_by": "a command", "torch": "{torch.__version__}", "seeds": [0, 1],'
    assert lines == ['  {"task": "a → b", "x": [1, null]},', '  {"task": "b", "x": [2, 3]}']
    found = {"made_by": "a command", "torch": torch.__version__, "seeds": [0, 1], "rows": rows}
    assert json.loads(options.json.read_text(encoding="utf-8")) == found
    assert "2 rows" in capsys.readouterr().out
