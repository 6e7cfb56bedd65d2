import math
from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import sqrtm
from scipy.special import softmax

from tlcourse import adapt, measure


def draw(n, width, seed=0, mean=0.0):
    return np.random.default_rng(seed).normal(mean, 1, (n, width))


DISTANCES = (
    measure.mmd,
    measure.coral_distance,
    measure.frechet_distance,
    measure.proxy_a_distance,
    measure.sliced_wasserstein,
)


@given(seed=st.integers(0, 1000), n=st.integers(10, 30), m=st.integers(10, 30), width=st.integers(1, 8))
@settings(max_examples=30, deadline=None)
def test_frechet_distance_is_the_formula_with_scipy_s_square_root(seed, n, m, width):
    x, y = draw(n, width, seed), draw(m, width, seed + 1, 0.5)
    a, b = (np.atleast_2d(np.cov(points.T)) for points in (x, y))
    expected = ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(a + b - 2 * sqrtm(a @ b).real)
    assert measure.frechet_distance(x, y) == pytest.approx(expected, rel=1e-4, abs=1e-4)  # sqrtm is the less exact one


def test_frechet_distance_of_known_gaussians_and_of_equal_sets():
    x = draw(50, 3)
    assert measure.frechet_distance(x, x) == pytest.approx(0, abs=1e-9)
    assert measure.frechet_distance(x, x + np.array([1, 2, 2])) == pytest.approx(9)
    centred = x - x.mean(axis=0)
    assert measure.frechet_distance(centred, 3 * centred) == pytest.approx(4 * np.trace(np.cov(x.T)))


def test_the_measures_of_the_losses_are_the_losses_in_double_precision():
    x, y = draw(20, 4), draw(15, 4, 1, 1)
    for distance, loss in ((measure.mmd, adapt.mmd_loss), (measure.coral_distance, adapt.coral_loss)):
        assert distance(x.astype(np.float32), torch.as_tensor(y).float()) == pytest.approx(
            loss(torch.as_tensor(x), torch.as_tensor(y)).item(), rel=1e-5
        )


def test_mmd_test_is_uniform_for_one_distribution_and_small_for_two():
    p_values = [measure.mmd_test(draw(25, 3, s), draw(20, 3, s + 500), permutations=99)[1] for s in range(100)]
    assert 0.3 < np.mean(p_values) < 0.7
    assert np.mean(np.array(p_values) <= 0.1) <= 0.2
    value, p = measure.mmd_test(draw(25, 3), draw(20, 3, 1, 1), permutations=199)
    assert value == pytest.approx(measure.mmd(draw(25, 3), draw(20, 3, 1, 1))) and p == 1 / 200
    with pytest.raises(ValueError, match="permutations=5"):
        measure.mmd_test(draw(5, 2), draw(5, 2), permutations=5)


def test_mmd_test_s_statistic_is_that_of_the_dealt_points():
    """The quadratic form against mmd's own estimate on every split of six points."""
    points = draw(6, 2)
    values = [
        measure.mmd(points[list(first)], np.delete(points, list(first), axis=0)) for first in combinations(range(6), 3)
    ]
    share = np.mean([value >= values[0] - 1e-12 for value in values])
    _, p = measure.mmd_test(points[:3], points[3:], permutations=4000)
    assert p == pytest.approx(share, abs=0.04)


def test_proxy_a_distance_is_about_zero_at_chance_and_two_when_told_apart():
    same = [measure.proxy_a_distance(draw(200, 5, s), draw(300, 5, s + 500)) for s in range(20)]
    assert np.mean(same) < 0.15 and min(same) >= 0
    assert measure.proxy_a_distance(draw(100, 5), draw(50, 5, 1, 10)) == 2
    # More points on one side are no reason to call everything that side.
    assert measure.proxy_a_distance(draw(1000, 2), draw(50, 2, 1, 2)) > 1


def test_sliced_wasserstein_in_one_dimension_is_the_shift():
    x = draw(40, 1)
    assert measure.sliced_wasserstein(x, x + 3) == pytest.approx(3)
    one_direction = measure.sliced_wasserstein(draw(40, 6), draw(40, 6) + 5 * np.eye(6)[0], projections=400)
    assert one_direction == pytest.approx(5 * mean_coordinate(6), rel=0.15)


def mean_coordinate(width):
    """Mean size of one coordinate of a random unit vector."""
    return math.gamma(width / 2) / (math.sqrt(math.pi) * math.gamma((width + 1) / 2))


@pytest.mark.parametrize("distance", DISTANCES)
def test_distances_are_symmetric_grow_with_the_shift_and_name_the_bad_argument(distance):
    x, y = draw(60, 4), draw(60, 4, 1)
    assert distance(x, y + 2) == pytest.approx(distance(y + 2, x), rel=0.2)
    if distance is not measure.coral_distance:
        assert distance(x, y + 2) > distance(x, y + 0.5)
    for bad, name in (((x, y[:, :3]), "y"), ((x[0], y), "x"), ((x, y[:1]), "y")):
        with pytest.raises(ValueError, match=f"{name}: want"):
            distance(*bad)
    with pytest.raises(ValueError, match="y: has NaN"):
        distance(x, np.where(y > 1, np.nan, y))


@given(seed=st.integers(0, 1000), bins=st.integers(1, 20))
@settings(max_examples=40, deadline=None)
def test_calibration_error_is_the_weighted_gap_of_its_bins(seed, bins):
    rng = np.random.default_rng(seed)
    probabilities, labels = softmax(2 * rng.normal(size=(50, 4)), axis=1), rng.integers(4, size=50)
    confidence, right = probabilities.max(1), probabilities.argmax(1) == labels
    expected = 0
    for low in range(bins):
        inside = (confidence > low / bins) & (confidence <= (low + 1) / bins)
        if inside.any():
            expected += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    assert measure.expected_calibration_error(probabilities, labels, bins=bins) == pytest.approx(expected)


def test_temperature_recovers_what_logits_were_multiplied_with():
    rng = np.random.default_rng(0)
    logits = 2 * rng.normal(size=(5000, 3))
    labels = np.array([rng.choice(3, p=p) for p in softmax(logits, axis=1)])
    assert measure.fit_temperature(logits, labels) == pytest.approx(1, abs=0.1)
    assert measure.fit_temperature(4 * logits, labels) == pytest.approx(4, abs=0.4)
    with pytest.raises(ValueError, match="labels: want one for each row"):
        measure.fit_temperature(logits, labels[:3])
    with pytest.raises(ValueError, match="labels: run from 1 to 3, but 3 columns"):
        measure.fit_temperature(logits, labels + 1)


def test_thresholded_confidence_gives_the_source_its_own_accuracy():
    rng = np.random.default_rng(0)
    probabilities, labels = softmax(rng.normal(size=(200, 4)), axis=1), rng.integers(4, size=200)
    accuracy = (probabilities.argmax(1) == labels).mean()
    assert measure.average_thresholded_confidence(probabilities, labels, probabilities) == pytest.approx(accuracy)
    right = probabilities.argmax(1)
    assert measure.average_thresholded_confidence(probabilities, right, probabilities[:5]) == 1
    with pytest.raises(ValueError, match="target_probabilities: want"):
        measure.average_thresholded_confidence(probabilities, labels, np.log(probabilities))
    with pytest.raises(ValueError, match="source_labels: run from 1 to 4, but 4 columns"):
        measure.average_thresholded_confidence(probabilities, labels + 1, probabilities)


def test_bbse_is_exact_when_only_the_class_shares_change():
    rng = np.random.default_rng(1)
    confusion = 0.7 * np.eye(4) + 0.3 * rng.dirichlet(np.ones(4), size=4)
    target_shares = np.array([0.55, 0.05, 0.3, 0.1])
    labels = rng.integers(4, size=40_000)
    predictions = predict(labels, confusion, rng)
    target_predictions = predict(rng.choice(4, p=target_shares, size=40_000), confusion, rng)
    weights = measure.bbse_weights(predictions, labels, target_predictions, classes=4)
    assert weights * np.bincount(labels) / len(labels) == pytest.approx(target_shares, abs=0.02)
    assert weights @ np.bincount(labels) / len(labels) == pytest.approx(1)


def predict(labels, confusion, rng):
    return (rng.random(len(labels))[:, None] > confusion[labels].cumsum(axis=1)).sum(axis=1)


def test_bbse_clips_and_refuses_what_it_cannot_tell_apart():
    labels = np.repeat([0, 1], 50)
    predictions = np.where(np.arange(100) % 10 == 0, 1 - labels, labels)
    only_one = measure.bbse_weights(predictions, labels, np.zeros(20, dtype=int), classes=2)
    assert only_one.tolist() == pytest.approx([2, 0])
    with pytest.raises(ValueError, match="condition number"):
        measure.bbse_weights(np.zeros(100, dtype=int), labels, labels, classes=2)
    with pytest.raises(ValueError, match="class 2 does not occur"):
        measure.bbse_weights(predictions, labels, predictions, classes=3)
    with pytest.raises(ValueError, match="target_predictions: want"):
        measure.bbse_weights(predictions, labels, [5], classes=2)


def test_mlls_finds_the_shares_that_make_the_target_most_likely():
    rng = np.random.default_rng(0)
    source_shares, target_shares = np.array([0.5, 0.3, 0.2]), np.array([0.1, 0.2, 0.7])
    means = np.array([-1.5, 0.0, 1.5])
    x = rng.normal(means[rng.choice(3, p=target_shares, size=20_000)], 1)
    likelihood = np.exp(-0.5 * (x[:, None] - means) ** 2)
    probabilities = likelihood * source_shares
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    weights = measure.mlls_weights(probabilities, source_shares)
    assert weights * source_shares == pytest.approx(target_shares, abs=0.02)
    best = np.log(likelihood @ (weights * source_shares)).sum()
    for nearby in (target_shares, [0.12, 0.19, 0.69], [0.08, 0.22, 0.7]):
        assert np.log(likelihood @ np.array(nearby)).sum() <= best + 1e-6
    with pytest.raises(ValueError, match="source_shares: want 3"):
        measure.mlls_weights(probabilities, [0.5, 0.5])
    with pytest.raises(ValueError, match="add up to 1"):
        measure.mlls_weights(likelihood, source_shares)


def test_reweigh_is_bayes_rule_and_leaves_what_it_cannot_weigh():
    assert measure.reweigh([[0.5, 0.5], [1.0, 0.0]], [0.0, 2.0]).tolist() == [[0, 1], [1, 0]]
    with pytest.raises(ValueError, match="weights: want one"):
        measure.reweigh([[0.5, 0.5]], [1, -1])


def test_a_watch_rarely_alarms_without_drift_and_soon_with_it():
    alarms = [measure.watch_stream(draw(80, 3, s), draw(80, 3, s + 500), level=0.2).alarm for s in range(40)]
    assert sum(alarm is not None for alarm in alarms) <= 12  # Ville: at most 0.2 of them, so 8 on average
    stream = np.concatenate([draw(60, 3, 1), draw(60, 3, 2, 2)])
    watch = measure.watch_stream(draw(120, 3, 3), stream)
    assert 60 <= watch.alarm < 110 and watch.wealth.shape == (120,)
    assert watch.wealth[watch.alarm] >= 20 > watch.wealth[: watch.alarm].max()


def test_a_watch_bets_before_it_sees():
    """What comes after a point changes nothing in the wealth up to it."""
    reference, stream = draw(60, 2), draw(60, 2, 1, 1)
    later = np.concatenate([stream[:35], draw(25, 2, 2, 9)])
    first, second = (measure.watch_stream(reference, s).wealth for s in (stream, later))
    assert first[:35].tolist() == second[:35].tolist() and first[50] != second[50]


def test_a_watch_names_the_bad_argument():
    with pytest.raises(ValueError, match="each is used once"):
        measure.watch_stream(draw(5, 2), draw(6, 2))
    with pytest.raises(ValueError, match="stream: want"):
        measure.watch_stream(draw(5, 2), draw(5, 3))
    with pytest.raises(ValueError, match="level=1"):
        measure.watch_stream(draw(5, 2), draw(5, 2), level=1)
