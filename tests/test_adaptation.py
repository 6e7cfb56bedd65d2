"""Lesson 06's table: its worlds, its methods, and a shipped file that comes out again."""

import statistics

import matplotlib.pyplot as plt
import pytest
import torch

from tlcourse import data, teach
from tlcourse.measure import adaptation

TABLE = teach.load_results("adaptation")
PRINTED, RANDOMISED = "printed → handwritten", "randomised → handwritten"
WITH_LABELS = ("3 target labels a class", "target labels")


@pytest.mark.parametrize("task", adaptation.TASKS)
def test_a_task_keeps_its_four_sets_apart_and_of_one_size(task):
    sets = adaptation.adaptation_sets(task, "closed", 3)
    assert all(images.x.shape[1:] == (3, 16, 16) and len(images) >= 200 for images in sets)
    rows = torch.cat([images.x.flatten(1) for images in sets])
    assert len(rows.unique(dim=0)) > 0.999 * len(rows)
    again = adaptation.adaptation_sets(task, "closed", 3)
    assert all(torch.equal(a.x, b.x) for a, b in zip(sets, again, strict=True))


def test_targets_have_the_shares_that_they_are_named_for():
    source, _, *skewed = adaptation.adaptation_sets("printed → handwritten", "skewed", 0)
    assert torch.bincount(source.y).min() == 600
    for images in skewed:
        counts = torch.bincount(images.y, minlength=10)
        assert counts[0] / counts[9] == pytest.approx(10, rel=0.2)
    partial = adaptation.adaptation_sets("printed → handwritten", "partial", 0)
    assert all(images.y.max() == 4 for images in partial[2:]) and partial[0].y.max() == 9
    with pytest.raises(ValueError, match="task='cats'"):
        adaptation.adaptation_sets("cats", "closed", 0)


def test_the_table_measures_the_floor_the_ceiling_and_the_validators(monkeypatch):
    monkeypatch.setattr(adaptation, "STEPS", 60)
    found = adaptation.measure_adaptations(
        "printed → handwritten", "partial", 1, only=["source alone", "AdaBN", "target labels"]
    )
    assert list(found) == ["source alone", "AdaBN", "target labels"]
    assert found["target labels"]["accuracy"] > found["source alone"]["accuracy"] + 0.1
    for row in found.values():
        assert set(row) == {"accuracy", "source risk", "importance-weighted", "information"}
    assert found["source alone"]["source risk"] > found["target labels"]["source risk"]


def test_few_labels_are_three_of_each_class_that_the_target_has(monkeypatch):
    monkeypatch.setattr(adaptation, "MORE_STEPS", 2)
    source, _, unlabelled, _ = adaptation.adaptation_sets("printed → handwritten", "partial", 0)
    seen = []
    monkeypatch.setattr(adaptation.F, "cross_entropy", lambda logits, y: seen.append(y) or logits.sum() * 0)
    plain = adaptation.models.tiny_resnet(10, seed=0)
    adaptation.METHODS["3 target labels a class"](adaptation._Draw(source, unlabelled, plain, 0))
    assert any(torch.equal(y.cpu(), torch.arange(5).repeat_interleave(3)) for y in seen)
    assert isinstance(unlabelled, data.Images)


def test_the_shipped_table_is_whole():
    cells = {(row["task"], row["target"], row["method"]) for row in TABLE["rows"]}
    assert len(cells) == len(TABLE["rows"]) == 4 * 3 * 16
    assert {task for task, _, _ in cells} == set(adaptation.TASKS)
    assert {target for _, target, _ in cells} == set(adaptation.TARGETS)
    assert {method for _, _, method in cells} == set(adaptation.METHODS)
    assert len(TABLE["seeds"]) == 5 and TABLE["made_by"].startswith("python -m benchmarks adaptation_table")
    for row in TABLE["rows"]:
        for column in ("accuracy", "source risk", "importance-weighted", "information"):
            assert len(row[column]) == 5
        assert all(0 <= value <= 1 for value in row["accuracy"])


def test_two_rows_of_the_table_come_out_again(one_cpu_thread):
    found = adaptation.measure_adaptations(RANDOMISED, "closed", TABLE["seeds"][3], only=["source alone", "AdaBN"])
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
        for method, (gain, low, _) in adaptation.gains_over_source(TABLE, PRINTED, "closed").items()
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
    mean, low, high = adaptation.gains_over_source(table, PRINTED, "closed")["noisy"]
    assert mean == pytest.approx(0.1) and low < 0 < high and mean - low == pytest.approx(high - mean)
    # Student's t with two degrees of freedom: 4.303 standard errors
    assert high - mean == pytest.approx(4.3027 * statistics.stdev([0.4, -0.1, 0]) / 3**0.5, rel=1e-4)
    with pytest.raises(ValueError, match="task='cats', target='closed'"):
        adaptation.gains_over_source(table, "cats", "closed")


@pytest.mark.parametrize("target", adaptation.TARGETS)
def test_the_table_is_drawn_best_first_between_floor_and_ceiling(target):
    figure, alt = teach.draw_adaptation(TABLE, PRINTED, target)
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    plt.close(figure)
    mean = {method: statistics.mean(row["accuracy"]) for method, row in by_method(PRINTED, target).items()}
    assert len(names) == 14 and "source alone" not in names and "target labels" not in names
    assert [mean[name] for name in names] == sorted((mean[name] for name in names), reverse=True)
    gains = adaptation.gains_over_source(TABLE, PRINTED, target)
    for name in names:
        verdict = "helps" if gains[name][1] > 0 else "harms" if gains[name][2] < 0 else "undecided"
        assert f"{name} {mean[name]:.2f} {verdict}" in alt
    assert f"Source alone {mean['source alone']:.2f}, target labels {mean['target labels']:.2f}" in alt
