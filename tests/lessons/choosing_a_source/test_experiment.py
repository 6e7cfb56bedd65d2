"""The leaderboard: candidates, targets, and a shipped file that comes out again."""

import pytest
import torch

from tlcourse import measure, models, teach, training
from tlcourse.lessons.choosing_a_source import experiment

TABLE = teach.load_results("choosing_a_source")


def test_every_candidate_but_random_is_in_the_zoo():
    assert set(experiment.CANDIDATES) - {"random"} <= {card.name for card in models.zoo()}
    assert len(experiment.CANDIDATES) >= 9
    assert experiment.load_candidate("random", 1).fc.out_features == 10


@pytest.mark.parametrize("target", experiment.TARGETS)
def test_a_target_gives_a_hundred_balanced_labels_and_keeps_its_blocks_apart(target):
    few, val, test = experiment.target_sets(target, seed=1)
    counts = torch.bincount(few.y)
    assert len(few) == 100 and counts.min() == counts.max() and few.classes == val.classes == test.classes
    assert len(val) == 200 and len(test) >= 690
    seen = {image.numpy().tobytes() for image in few.x}
    assert not any(image.numpy().tobytes() in seen for image in test.x)


def test_an_unknown_target_is_refused():
    with pytest.raises(ValueError, match="name='cats'"):
        experiment.target_sets("cats", 0)


def test_scores_are_those_of_the_measures_and_every_one_is_timed():
    few, _, _ = experiment.target_sets("digits", 0)
    network = models.load("letters")
    scores, seconds = experiment.score_source(network, few)
    features = training.extract_features(network, few)
    assert scores["LogME"] == measure.logme(features, few.y)
    with torch.inference_mode():
        assert scores["NCE"] == measure.nce(network(few.x).argmax(dim=1), few.y)
        assert scores["LEEP"] == pytest.approx(measure.leep(network(few.x).softmax(dim=1), few.y), abs=1e-5)
    assert set(seconds) == {"the pass", *scores} and all(value >= 0 for value in seconds.values())


def test_the_shipped_leaderboard_is_whole():
    cells = {(row["target"], row["source"]) for row in TABLE["rows"]}
    assert cells == {(target, source) for target in experiment.TARGETS for source in experiment.CANDIDATES}
    assert len(cells) == len(TABLE["rows"])
    for row in TABLE["rows"]:
        for values in (row["frozen"], row["fine-tuned"], *row["scores"].values()):
            assert len(values) == len(TABLE["seeds"])


@pytest.mark.parametrize("target, source", [("digits", "fashion"), ("symbols", "letters-five")])
def test_scores_and_probes_of_the_leaderboard_come_out_again(one_cpu_thread, target, source):
    row = next(row for row in TABLE["rows"] if (row["target"], row["source"]) == (target, source))
    few, _, test = experiment.target_sets(target, TABLE["seeds"][1])
    network = experiment.load_candidate(source, TABLE["seeds"][1])
    scores, _ = experiment.score_source(network, few)
    for name, value in scores.items():
        # one image of a hundred, where another processor rounds a neighbour away
        assert value == pytest.approx(row["scores"][name][1], rel=0.01, abs=0.011), name
    assert experiment.probe_test(network, few, test) == pytest.approx(row["frozen"][1], abs=0.01)


def test_the_experiment_makes_the_shipped_file(remakes):
    rows = {(row["target"], row["source"]): row for row in TABLE["rows"]}

    def look_up(_, cell, seed):
        row = rows[cell["target"], cell["source"]]
        scores = {name: values[seed] for name, values in row["scores"].items()}
        return {name: row[name][seed] for name in ("frozen", "fine-tuned")} | {
            "scores": scores,
            "seconds": row["seconds"],
        }

    assert remakes(experiment, look_up)
