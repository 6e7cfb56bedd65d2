"""The paired runs: fair on both sides, and what the shipped file says is what they measure."""

import math

import pytest
import torch

from tlcourse import data, models, teach
from tlcourse.lessons.negative_transfer import experiment


def test_the_joint_source_turns_swaps_and_mislabels_as_it_says():
    plain = experiment.joint_source("printed digits", seed=3)
    assert plain.x.shape == (4000, 3, 16, 16)
    turned = experiment.joint_source("digits turned by 90°", seed=3)
    torch.testing.assert_close(turned.x, plain.x.rot90(1, dims=(2, 3)), atol=1e-4, rtol=0)
    torch.testing.assert_close(experiment.joint_source("inverted digits", seed=3).x, 1 - plain.x, atol=1e-6, rtol=0)
    wrong = experiment.joint_source("printed digits", 0.25, seed=3)
    assert torch.equal(wrong.x, plain.x) and (wrong.y != plain.y).sum() == 1000
    letters = experiment.joint_source("letters A to K", seed=3)
    assert letters.classes == list("ABCDEFGHJK") and len(letters.y.unique()) == 10
    with pytest.raises(ValueError, match="name='greek'"):
        experiment.joint_source("greek")


def test_right_labels_read_more_than_no_source_and_wrong_ones_less():
    clean, wrong = (experiment.read_jointly("printed digits", wrong=wrong, per_class=2, seed=5) for wrong in (0, 1))
    assert clean > experiment.read_jointly(None, per_class=2, seed=5) > wrong


def test_joint_training_starts_both_sides_alike_and_leaves_a_given_start_alone():
    few = data.halve(data.few_shot(data.digits("train"), 1, seed=0))
    start = models.tiny_resnet(10, seed=8)
    before = {name: value.clone() for name, value in start.state_dict().items()}
    alone = experiment.train_jointly(few, seed=8)
    given = experiment.train_jointly(few, seed=8, start=start)
    torch.testing.assert_close(alone.state_dict(), given.state_dict())
    torch.testing.assert_close(start.state_dict(), before)
    weightless = experiment.train_jointly(few, experiment.joint_source("printed digits"), seed=8, weight=0)
    torch.testing.assert_close(alone.fc.weight, weightless.fc.weight, atol=1e-3, rtol=1e-2)


def test_weighed_classes_occur_in_proportion():
    source = experiment.joint_source("printed digits")
    weights = torch.tensor([1.0] * 5 + [0.2] * 5)
    counts = torch.bincount(experiment.weighed_classes(source, weights, seed=0).y, minlength=10)
    assert counts.min() >= 79 and counts.max() <= 400 and abs(counts[0] / counts[9] - 5) < 0.1


def test_a_fresh_copy_takes_the_named_parts_only():
    source = models.load("letters")
    fresh = experiment.fresh_copy(source, ("conv1", "layer1"), seed=4)
    assert torch.equal(fresh.conv1.weight, source.conv1.weight)
    assert torch.equal(fresh.layer3[0].conv1.weight, models.tiny_resnet(10, seed=4).layer3[0].conv1.weight)


def test_an_unknown_cause_is_refused():
    with pytest.raises(ValueError, match="cause='bad luck'"):
        experiment.measure_remedies("bad luck", 0)


TABLE = teach.load_results("negative_transfer")


def test_the_shipped_file_is_whole():
    assert tuple(TABLE["remedies"]) == experiment.CAUSES and len(TABLE["seeds"]) == 20
    for rows in TABLE["remedies"].values():
        assert len(rows) == 12 and list(rows) == list(TABLE["remedies"]["conflicting labels"])
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
    again = experiment.read_jointly("digits turned by 90°", per_class=2, seed=TABLE["surface_seeds"][1])
    assert again == pytest.approx(cell["with"][1], abs=0.05)


@pytest.mark.parametrize("cause", experiment.CAUSES)
def test_a_run_of_each_cause_comes_out_again(one_cpu_thread, cause):
    seed = TABLE["seeds"][2]
    again = experiment.measure_remedies(cause, seed, only=["nothing"])["nothing"]
    assert again == pytest.approx(TABLE["harm"][cause][2], abs=5)


def test_a_remedy_that_has_nothing_to_work_on_is_left_out():
    assert experiment.measure_remedies("unrelated features", 0, only=["class weights"]) == {}


def test_the_experiment_makes_the_shipped_file(remakes):
    points = {(cell["source"], cell["wrong"], cell["labels"]): cell["with"] for cell in TABLE["surface"]}
    points |= {(None, 0.0, int(labels)): accuracies for labels, accuracies in TABLE["without"].items()}

    def look_up(measure, cell, seed):
        if measure is experiment.read_jointly:
            return points[cell["source"], cell["wrong"], cell["per_class"]][seed]
        if measure is experiment.measure_alignment:
            return {name: gaps[seed] for name, gaps in TABLE["alignment"].items()}
        if "only" in cell:
            return {"nothing": TABLE["harm"][cell["cause"]][seed]}
        return {name: gaps[seed] for name, gaps in TABLE["remedies"][cell["cause"]].items() if gaps}

    assert remakes(experiment, look_up)
