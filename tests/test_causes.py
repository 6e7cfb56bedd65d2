"""Lesson 04's paired runs: fair on both sides, and what the shipped file says is what they measure."""

import math
import statistics

import matplotlib.pyplot as plt
import pytest
import torch

from tlcourse import data, models, teach
from tlcourse.measure import causes


def test_the_joint_source_turns_swaps_and_mislabels_as_it_says():
    plain = causes.joint_source("printed digits", seed=3)
    assert plain.x.shape == (4000, 3, 16, 16)
    turned = causes.joint_source("digits turned by 90°", seed=3)
    torch.testing.assert_close(turned.x, plain.x.rot90(1, dims=(2, 3)), atol=1e-4, rtol=0)
    torch.testing.assert_close(causes.joint_source("inverted digits", seed=3).x, 1 - plain.x, atol=1e-6, rtol=0)
    wrong = causes.joint_source("printed digits", 0.25, seed=3)
    assert torch.equal(wrong.x, plain.x) and (wrong.y != plain.y).sum() == 1000
    letters = causes.joint_source("letters A to K", seed=3)
    assert letters.classes == list("ABCDEFGHJK") and len(letters.y.unique()) == 10
    with pytest.raises(ValueError, match="name='greek'"):
        causes.joint_source("greek")


def test_right_labels_read_more_than_no_source_and_wrong_ones_less():
    clean, wrong = (causes.read_jointly("printed digits", wrong=wrong, per_class=2, seed=5) for wrong in (0, 1))
    assert clean > causes.read_jointly(None, per_class=2, seed=5) > wrong


def test_joint_training_starts_both_sides_alike_and_leaves_a_given_start_alone():
    few = data.halve(data.few_shot(data.digits("train"), 1, seed=0))
    start = models.tiny_resnet(10, seed=8)
    before = {name: value.clone() for name, value in start.state_dict().items()}
    alone = causes.train_jointly(few, seed=8)
    given = causes.train_jointly(few, seed=8, start=start)
    torch.testing.assert_close(alone.state_dict(), given.state_dict())
    torch.testing.assert_close(start.state_dict(), before)
    weightless = causes.train_jointly(few, causes.joint_source("printed digits"), seed=8, weight=0)
    torch.testing.assert_close(alone.fc.weight, weightless.fc.weight, atol=1e-3, rtol=1e-2)


def test_weighed_classes_occur_in_proportion():
    source = causes.joint_source("printed digits")
    weights = torch.tensor([1.0] * 5 + [0.2] * 5)
    counts = torch.bincount(causes.weighed_classes(source, weights, seed=0).y, minlength=10)
    assert counts.min() >= 79 and counts.max() <= 400 and abs(counts[0] / counts[9] - 5) < 0.1


def test_a_fresh_copy_takes_the_named_parts_only():
    source = models.load("letters")
    fresh = causes.fresh_copy(source, ("conv1", "layer1"), seed=4)
    assert torch.equal(fresh.conv1.weight, source.conv1.weight)
    assert torch.equal(fresh.layer3[0].conv1.weight, models.tiny_resnet(10, seed=4).layer3[0].conv1.weight)


def test_an_unknown_cause_is_refused():
    with pytest.raises(ValueError, match="cause='bad luck'"):
        causes.measure_remedies("bad luck", 0)


TABLE = teach.load_results("negative_transfer")


def test_the_shipped_file_is_whole():
    assert tuple(TABLE["remedies"]) == causes.CAUSES and len(TABLE["seeds"]) == 20
    for rows in TABLE["remedies"].values():
        assert tuple(rows) == causes.REMEDIES
        assert all(gaps is None or len(gaps) == 10 for gaps in rows.values())
    points = {(cell["source"], cell["wrong"], cell["labels"]) for cell in TABLE["surface"]}
    assert len(points) == len(TABLE["surface"]) == math.prod(len({point[i] for point in points}) for i in range(3))
    assert all(len(cell["with"]) == len(TABLE["surface_seeds"]) for cell in TABLE["surface"])
    assert {str(labels) for _, _, labels in points} == set(TABLE["without"])
    for cause, gaps in TABLE["harm"].items():
        assert len(gaps) == 20 and gaps[:10] == TABLE["remedies"][cause]["nothing"]


def test_a_point_of_the_surface_comes_out_again(one_cpu_thread):
    cell = next(
        c for c in TABLE["surface"] if (c["source"], c["wrong"], c["labels"]) == ("digits turned by 90°", 0.0, 2)
    )
    again = causes.read_jointly("digits turned by 90°", per_class=2, seed=TABLE["surface_seeds"][1])
    assert again == pytest.approx(cell["with"][1], abs=0.05)


@pytest.mark.parametrize("cause", causes.CAUSES)
def test_a_run_of_each_cause_comes_out_again(one_cpu_thread, cause):
    seed = TABLE["seeds"][2]
    again = causes.measure_remedies(cause, seed, only=["nothing"])["nothing"]
    assert again == pytest.approx(TABLE["harm"][cause][2], abs=5)


def test_a_remedy_that_has_nothing_to_work_on_is_none():
    assert causes.measure_remedies("unrelated features", 0, only=["class weights"]) == {"class weights": None}


@pytest.mark.parametrize("wrong, labels", [(0.0, 2), (1.0, 2)])
def test_the_lab_draws_the_point_that_is_asked_for(wrong, labels):
    figure, alt = teach.draw_gap(TABLE, "printed digits", wrong, labels)
    plt.close(figure)
    cell = next(
        c for c in TABLE["surface"] if (c["source"], c["wrong"], c["labels"]) == ("printed digits", wrong, labels)
    )
    gap = 100 * (statistics.mean(TABLE["without"]["2"]) - statistics.mean(cell["with"]))
    assert f"gap {gap:+.1f} points" in alt and len(figure.axes) == 2
    assert ("the source harms" in alt) == (gap > 0)


def test_the_lab_names_a_point_that_it_does_not_have():
    with pytest.raises(ValueError, match="labels=3: the surface has"):
        teach.draw_gap(TABLE, "printed digits", 0.0, 3)
