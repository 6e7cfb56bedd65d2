"""The table of adaptation: its worlds, its methods, and a shipped file that comes out again."""

import statistics

import pytest
import torch

from tlcourse import data, teach
from tlcourse.lessons.domain_adaptation import experiment

TABLE = teach.load_results("domain_adaptation")
PRINTED, RANDOMISED = "printed → handwritten", "randomised → handwritten"
WITH_LABELS = ("3 target labels a class", "target labels")


@pytest.mark.parametrize("task", experiment.TASKS)
def test_a_task_keeps_its_four_sets_apart_and_of_one_size(task):
    sets = experiment.adaptation_sets(task, "closed", 3)
    assert all(images.x.shape[1:] == (3, 16, 16) and len(images) >= 200 for images in sets)
    rows = torch.cat([images.x.flatten(1) for images in sets])
    assert len(rows.unique(dim=0)) > 0.999 * len(rows)
    again = experiment.adaptation_sets(task, "closed", 3)
    assert all(torch.equal(a.x, b.x) for a, b in zip(sets, again, strict=True))


def test_targets_have_the_shares_that_they_are_named_for():
    source, _, *skewed = experiment.adaptation_sets("printed → handwritten", "skewed", 0)
    assert torch.bincount(source.y).min() == 600
    for images in skewed:
        counts = torch.bincount(images.y, minlength=10)
        assert counts[0] / counts[9] == pytest.approx(10, rel=0.2)
    partial = experiment.adaptation_sets("printed → handwritten", "partial", 0)
    assert all(images.y.max() == 4 for images in partial[2:]) and partial[0].y.max() == 9
    with pytest.raises(ValueError, match="task='cats'"):
        experiment.adaptation_sets("cats", "closed", 0)


def test_the_table_measures_the_floor_the_ceiling_and_the_validators(monkeypatch):
    monkeypatch.setattr(experiment, "STEPS", 60)
    found = experiment.measure_adaptations(
        "printed → handwritten", "partial", 1, only=["source alone", "AdaBN", "target labels"]
    )
    assert list(found) == ["source alone", "AdaBN", "target labels"]
    assert found["target labels"]["accuracy"] > found["source alone"]["accuracy"] + 0.1
    for row in found.values():
        assert set(row) == {"accuracy", "source risk", "importance-weighted", "information"}
    assert found["source alone"]["source risk"] > found["target labels"]["source risk"]


def test_few_labels_are_three_of_each_class_that_the_target_has(monkeypatch):
    monkeypatch.setattr(experiment, "MORE_STEPS", 2)
    source, _, unlabelled, _ = experiment.adaptation_sets("printed → handwritten", "partial", 0)
    seen = []
    monkeypatch.setattr(experiment.F, "cross_entropy", lambda logits, y: seen.append(y) or logits.sum() * 0)
    plain = experiment.models.tiny_resnet(10, seed=0)
    experiment.METHODS["3 target labels a class"](experiment._Start(source, unlabelled, plain, 0))
    assert any(torch.equal(y.cpu(), torch.arange(5).repeat_interleave(3)) for y in seen)
    assert isinstance(unlabelled, data.Images)


def test_the_shipped_table_is_whole():
    cells = {(row["task"], row["target"], row["method"]) for row in TABLE["rows"]}
    assert len(cells) == len(TABLE["rows"]) == 4 * 3 * 16
    assert {task for task, _, _ in cells} == set(experiment.TASKS)
    assert {target for _, target, _ in cells} == set(experiment.TARGETS)
    assert {method for _, _, method in cells} == set(experiment.METHODS)
    assert len(TABLE["seeds"]) == 5 and TABLE["made_by"] == "python -m tlcourse.lessons.domain_adaptation.experiment"
    for row in TABLE["rows"]:
        for column in ("accuracy", "source risk", "importance-weighted", "information"):
            assert len(row[column]) == 5
        assert all(0 <= value <= 1 for value in row["accuracy"])


def test_two_rows_of_the_table_come_out_again(one_cpu_thread):
    found = experiment.measure_adaptations(RANDOMISED, "closed", TABLE["seeds"][3], only=["source alone", "AdaBN"])
    for row in TABLE["rows"]:
        if (row["task"], row["target"]) == (RANDOMISED, "closed") and row["method"] in found:
            assert found[row["method"]]["accuracy"] == pytest.approx(row["accuracy"][3], abs=0.03)
            assert found[row["method"]]["information"] == pytest.approx(row["information"][3], abs=0.05)


def by_method(task, target):
    return {row["method"]: row for row in TABLE["rows"] if (row["task"], row["target"]) == (task, target)}


def test_what_lesson_06_says_of_the_table_follows_from_it():
    rows = by_method(PRINTED, "closed")
    mean = {method: statistics.mean(row["accuracy"]) for method, row in rows.items()}
    gap = mean["target labels"] - mean["source alone"]
    closes = [
        method
        for method, (gain, low, _) in experiment.gains_over_source(TABLE, PRINTED, "closed").items()
        if method not in WITH_LABELS and gain >= 0.3 * gap and low > 0
    ]
    assert len(closes) >= 3

    partial = {method: statistics.mean(row["accuracy"]) for method, row in by_method(PRINTED, "partial").items()}
    assert sum(partial[method] < partial["source alone"] for method in ("Deep CORAL", "DAN", "DANN")) >= 2
    assert partial["CORAL with class weights"] > partial["source alone"]

    rows = [row for method, row in by_method(RANDOMISED, "closed").items() if method not in WITH_LABELS]
    chosen = [max(rows, key=lambda row: row["information"][seed])["accuracy"][seed] for seed in range(5)]
    assert statistics.mean(chosen) >= 0.85


def test_gains_are_paired_by_seed():
    rows = [("source alone", [0.5, 0.6, 0.7]), ("noisy", [0.9, 0.5, 0.7])]
    table = {"rows": [{"task": PRINTED, "target": "closed", "method": name, "accuracy": a} for name, a in rows]}
    mean, low, high = experiment.gains_over_source(table, PRINTED, "closed")["noisy"]
    assert mean == pytest.approx(0.1) and low < 0 < high and mean - low == pytest.approx(high - mean)
    # Student's t with two degrees of freedom: 4.303 standard errors
    assert high - mean == pytest.approx(4.3027 * statistics.stdev([0.4, -0.1, 0]) / 3**0.5, rel=1e-4)
    with pytest.raises(ValueError, match="task='cats', target='closed'"):
        experiment.gains_over_source(table, "cats", "closed")


def test_the_experiment_makes_the_shipped_file(remakes):
    def look_up(_, cell, seed):
        rows = by_method(cell["task"], cell["target"])
        columns = ("accuracy", "source risk", "importance-weighted", "information")
        return {method: {column: row[column][seed] for column in columns} for method, row in rows.items()}

    assert remakes(experiment, look_up)
