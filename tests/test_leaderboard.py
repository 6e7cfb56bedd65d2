"""Lesson 07's leaderboard: candidates, targets, and a shipped file that comes out again."""

import statistics

import matplotlib.pyplot as plt
import pytest
import torch
from scipy.stats import weightedtau

from tlcourse import data, measure, models, teach, training
from tlcourse.authoring.pretrain import turn_quarters
from tlcourse.measure import leaderboard

TABLE = teach.load_results("leaderboard")


def test_every_candidate_but_random_is_in_the_zoo():
    assert set(leaderboard.CANDIDATES) - {"random"} <= {card.name for card in models.zoo()}
    assert len(leaderboard.CANDIDATES) >= 9
    assert leaderboard.load_candidate("random", 1).fc.out_features == 10


@pytest.mark.parametrize("target", leaderboard.TARGETS)
def test_a_target_gives_a_hundred_balanced_labels_and_keeps_its_blocks_apart(target):
    few, val, test = leaderboard.target_sets(target, seed=1)
    counts = torch.bincount(few.y)
    assert len(few) == 100 and counts.min() == counts.max() and few.classes == val.classes == test.classes
    assert len(val) == 200 and len(test) >= 690
    seen = {image.numpy().tobytes() for image in few.x}
    assert not any(image.numpy().tobytes() in seen for image in test.x)


def test_an_unknown_target_is_refused():
    with pytest.raises(ValueError, match="name='cats'"):
        leaderboard.target_sets("cats", 0)


def test_turned_images_carry_their_turn_as_a_label():
    images = data.digits("val")
    turned = turn_quarters(images, seed=2)
    for i in range(20):
        assert torch.equal(turned.x[i].rot90(-int(turned.y[i]), dims=(1, 2)), images.x[i])
    assert len(turned.y.unique()) == 4


def test_scores_are_those_of_the_measures_and_every_one_is_timed():
    few, _, _ = leaderboard.target_sets("digits", 0)
    network = models.load("letters")
    scores, seconds = leaderboard.score_source(network, few)
    features = training.extract_features(network, few)
    assert scores["LogME"] == measure.logme(features, few.y)
    with torch.inference_mode():
        assert scores["NCE"] == measure.nce(network(few.x).argmax(dim=1), few.y)
        assert scores["LEEP"] == pytest.approx(measure.leep(network(few.x).softmax(dim=1), few.y), abs=1e-5)
    assert set(seconds) == {"the pass", *scores} and all(value >= 0 for value in seconds.values())


def test_the_shipped_leaderboard_is_whole():
    cells = {(row["target"], row["source"]) for row in TABLE["rows"]}
    assert cells == {(target, source) for target in leaderboard.TARGETS for source in leaderboard.CANDIDATES}
    assert len(cells) == len(TABLE["rows"])
    for row in TABLE["rows"]:
        for values in (row["frozen"], row["fine-tuned"], *row["scores"].values()):
            assert len(values) == len(TABLE["seeds"])


@pytest.mark.parametrize("target, source", [("digits", "fashion"), ("symbols", "letters-five")])
def test_scores_and_probes_of_the_leaderboard_come_out_again(one_cpu_thread, target, source):
    row = next(row for row in TABLE["rows"] if (row["target"], row["source"]) == (target, source))
    few, _, test = leaderboard.target_sets(target, TABLE["seeds"][1])
    network = leaderboard.load_candidate(source, TABLE["seeds"][1])
    scores, _ = leaderboard.score_source(network, few)
    for name, value in scores.items():
        # one image of a hundred, where another processor rounds a neighbour away
        assert value == pytest.approx(row["scores"][name][1], rel=0.01, abs=0.011), name
    assert leaderboard.probe_test(network, few, test) == pytest.approx(row["frozen"][1], abs=0.01)


@pytest.mark.parametrize("outcome", ["frozen", "fine-tuned"])
def test_the_leaderboard_is_drawn_with_its_weighted_tau(outcome):
    figure, alt = teach.draw_leaderboard(TABLE, "digits", "LogME", outcome)
    plt.close(figure)
    rows = [row for row in TABLE["rows"] if row["target"] == "digits"]
    pairs = [(statistics.mean(row["scores"]["LogME"]), statistics.mean(row[outcome])) for row in rows]
    assert f"Weighted Kendall tau {weightedtau(*zip(*pairs)).statistic:.2f}" in alt
    best = max(rows, key=lambda row: statistics.mean(row[outcome]))
    assert f"Best by accuracy: {best['source']}" in alt


def test_what_the_leaderboard_does_not_have_is_named():
    with pytest.raises(ValueError, match="score='luck'"):
        teach.draw_leaderboard(TABLE, "digits", "luck", "frozen")
