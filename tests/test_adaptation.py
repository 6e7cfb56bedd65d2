import pytest
import torch

from tlcourse import data
from tlcourse.measure import adaptation


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
    assert any(torch.equal(y, torch.arange(5).repeat_interleave(3)) for y in seen)
    assert isinstance(unlabelled, data.Images)
