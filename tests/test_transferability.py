import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.stats import multivariate_normal

from tlcourse import measure

SCORES_OF_FEATURES = [measure.logme, measure.h_score, measure.transrate, measure.knn_accuracy, measure.probe_accuracy]


def make(n, width, classes, seed=0, spread=1.0):
    """Features with class means, and labels that all occur."""
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(classes), rng.integers(classes, size=n - classes)])
    return rng.normal(size=(n, width)) + spread * rng.normal(size=(classes, width))[labels], labels


def direct_logme(features, labels):
    """Maximise the marginal likelihood of each class over α and β by a general optimiser."""
    n = len(labels)
    gram, evidence = features @ features.T, []
    for label in np.unique(labels):
        y = (labels == label).astype(float)

        def cost(log_alpha_beta, y=y):
            alpha, beta = np.exp(np.minimum(log_alpha_beta, 700))  # a simplex may step out of the range of doubles
            return -multivariate_normal.logpdf(y, np.zeros(n), np.eye(n) / beta + gram / alpha)

        starts = [(a, b) for a in (-2, 2, 6) for b in (0, 3)]
        found = [
            minimize(cost, start, method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-11, "maxiter": 4000})
            for start in starts
        ]
        evidence.append(-min(result.fun for result in found) / n)
    return np.mean(evidence)


@pytest.mark.parametrize(
    "n, width, classes, spread", [(60, 8, 3, 1.0), (40, 70, 3, 0.5), (50, 6, 2, 0.3), (30, 30, 4, 2.0)]
)
def test_logme_is_the_maximum_of_the_marginal_likelihood(n, width, classes, spread):
    features, labels = make(n, width, classes, seed=n, spread=spread)
    assert measure.logme(features, labels) == pytest.approx(direct_logme(features, labels), rel=1e-6)


def test_logme_leaves_out_an_absent_class():
    features, labels = make(60, 8, 3)
    gapped = np.where(labels == 2, 5, labels)  # classes 2, 3 and 4 do not occur
    assert measure.logme(features, gapped) == pytest.approx(direct_logme(features, labels), rel=1e-6)


def test_logme_does_not_care_about_scale_rotation_or_repeated_features():
    features, labels = make(80, 10, 3)
    score = measure.logme(features, labels)
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(10, 10))).Q
    assert measure.logme(1000 * features @ rotation, labels) == pytest.approx(score, rel=1e-8)
    # a feature given twice is that feature with another scale: a rank-deficient Gram matrix must not break anything
    twice = np.concatenate([features, features], axis=1)
    assert measure.logme(twice, labels) == pytest.approx(score, rel=1e-8)
    assert measure.logme(features.astype(np.float32), labels) == pytest.approx(score, rel=1e-5)


def test_logme_of_features_that_are_the_labels_is_infinite_and_of_noise_is_low():
    labels = np.arange(40) % 4
    assert measure.logme(np.eye(4)[labels], labels) == math.inf
    noise = np.random.default_rng(0).normal(size=(40, 3))
    assert measure.logme(noise, labels) < measure.logme(noise + 3 * np.eye(4)[labels][:, :3], labels)


@given(seed=st.integers(0, 1000), n=st.integers(12, 60), classes=st.integers(2, 5), sources=st.integers(1, 8))
@settings(max_examples=50, deadline=None)
def test_leep_of_certain_predictions_is_nce(seed, n, classes, sources):
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(classes), rng.integers(classes, size=n - classes)])
    source = rng.integers(sources, size=n)
    assert measure.leep(np.eye(sources + 2)[source], labels) == pytest.approx(measure.nce(source, labels), abs=1e-12)


def test_leep_by_the_formula_of_the_paper():
    rng = np.random.default_rng(3)
    probs = rng.dirichlet(np.ones(4), size=30)
    labels = np.arange(30) % 3
    joint = np.array([[probs[labels == y, z].sum() / 30 for z in range(4)] for y in range(3)])
    given_z = joint / joint.sum(axis=0)
    expected = np.mean([math.log(sum(given_z[y, z] * p[z] for z in range(4))) for p, y in zip(probs, labels)])
    assert measure.leep(torch.tensor(probs), torch.tensor(labels)) == pytest.approx(expected, abs=1e-12)


def test_nce_is_zero_where_the_source_tells_all_and_minus_the_entropy_where_it_tells_nothing():
    labels = np.arange(12) % 3
    assert measure.nce(labels + 4, labels) == 0
    assert measure.nce(np.zeros(12, int), labels) == pytest.approx(-math.log(3), abs=1e-12)


@given(seed=st.integers(0, 1000), offset=st.sampled_from([0.0, 1e4]), shrinkage=st.sampled_from([0.0, 0.3]))
@settings(max_examples=30, deadline=None)
def test_h_score_is_its_definition_whatever_is_added_to_the_features(seed, offset, shrinkage):
    features, labels = make(80, 6, 4, seed)
    covariance = np.cov(features.T, bias=True)
    means = np.stack([features[labels == y].mean(axis=0) for y in labels])
    between = np.cov(means.T, bias=True)
    shrunk = (1 - shrinkage) * covariance + shrinkage * np.trace(covariance) / 6 * np.eye(6)
    expected = (1 - shrinkage) * np.trace(np.linalg.inv(shrunk) @ between)
    assert measure.h_score(features + offset, labels, shrinkage) == pytest.approx(expected, rel=1e-9)


def test_h_score_saturates_when_there_are_more_features_than_examples_and_shrinkage_cures_it():
    noise, labels = np.random.default_rng(0).normal(size=(40, 100)), np.arange(40) % 4
    assert measure.h_score(noise, labels) == pytest.approx(3, abs=1e-6)
    assert measure.h_score(noise, labels, shrinkage=0.9) < 1
    assert measure.h_score(np.arange(40)[:, None] % 7, labels) > 0  # whole numbers are not truncated


def test_transrate_by_the_formula_of_the_paper():
    features, labels = make(60, 5, 3)

    def rate(z, eps=1e-2):
        return np.linalg.slogdet(np.eye(z.shape[1]) + z.T @ z / (len(z) * eps))[1] / 2

    z = features - features.mean(axis=0)
    expected = rate(z) - np.mean([rate(z[labels == y]) for y in range(3)])
    assert measure.transrate(features, labels, eps=1e-2) == pytest.approx(expected, rel=1e-9)
    few, few_labels = make(12, 40, 3)  # fewer examples in a class than features
    z = few - few.mean(axis=0)
    expected = rate(z) - np.mean([rate(z[few_labels == y]) for y in range(3)])
    assert measure.transrate(few, few_labels, eps=1e-2) == pytest.approx(expected, rel=1e-9)


def test_knn_leaves_each_example_out_of_its_own_vote():
    points = np.array([[0.0], [0.1], [0.2], [5.0], [5.1], [5.2]])
    assert measure.knn_accuracy(points, np.array([0, 0, 0, 1, 1, 1]), k=2) == 1
    # alternating labels: the nearest other point always has the other label
    assert measure.knn_accuracy(np.arange(6.0)[:, None] ** 1.1, np.array([0, 1, 0, 1, 0, 1]), k=1) == 0


def test_probe_accuracy_tells_features_with_classes_from_noise():
    features, labels = make(100, 8, 2, spread=3)
    assert measure.probe_accuracy(features, labels) > 0.95
    assert measure.probe_accuracy(np.random.default_rng(0).normal(size=(100, 8)), labels) < 0.7
    with pytest.raises(ValueError, match="folds=5: want 2 to"):
        measure.probe_accuracy(features[:6], np.array([0, 0, 0, 1, 1, 1]))


@pytest.mark.parametrize("score", SCORES_OF_FEATURES)
def test_scores_rank_features_that_tell_the_classes_above_those_that_do_not(score):
    told, labels = make(300, 16, 3, seed=5, spread=2)
    hidden = np.random.default_rng(6).normal(size=told.shape) * told.std(axis=0)
    assert score(told, labels) > score(hidden, labels)
    assert isinstance(score(torch.tensor(told), torch.tensor(labels)), float)


@pytest.mark.parametrize("score", [*SCORES_OF_FEATURES, measure.leep])
def test_scores_name_the_bad_argument(score):
    features, labels = make(20, 4, 2)
    for bad in (features[:10], features[:, 0], np.full((20, 4), math.nan), features.astype(str)):
        with pytest.raises(ValueError, match=r"(features|source_probs): (want|has)"):
            score(bad, labels)
    for bad in (labels.astype(float), labels - 1, np.zeros(20, int), labels[:, None], 10**6 * labels):
        with pytest.raises(ValueError, match="labels: want"):
            score(features, bad)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda x, y: measure.leep(x, y), "no probability distribution"),
        (lambda x, y: measure.nce(y[:5], y), "source_labels: want one for each"),
        (lambda x, y: measure.nce(x, y), "source_labels: want"),
        (lambda x, y: measure.h_score(x, y, shrinkage=2), "shrinkage=2"),
        (lambda x, y: measure.h_score(0 * x + 1, y), "the same for every example"),
        (lambda x, y: measure.logme(0 * x, y), "all are zero"),
        (lambda x, y: measure.transrate(x, y, eps=0), "eps=0"),
        (lambda x, y: measure.knn_accuracy(x, y, k=20), "k=20"),
    ],
)
def test_errors_say_the_remedy(call, message):
    features, labels = make(20, 4, 2)
    with pytest.raises(ValueError, match=message):
        call(features, labels)


def test_gap_is_the_difference_of_the_risks_and_pairs_cancel_what_is_common():
    rng = np.random.default_rng(0)
    common = rng.normal(size=400) * 10
    without, harmed = common, common + 0.5 + 0.1 * rng.normal(size=400)
    found = measure.negative_transfer_gap(harmed, without)
    assert found.gap == pytest.approx((harmed - without).mean())
    assert found.low < found.gap < found.high and found.high - found.low < 0.1
    assert found.verdict == "harm"
    mirrored = measure.negative_transfer_gap(without, harmed)
    assert mirrored.gap == pytest.approx(-found.gap) and mirrored.verdict == "help"
    shuffled = measure.negative_transfer_gap(rng.permutation(harmed), without)
    assert shuffled.verdict == "undecided" and shuffled.high - shuffled.low > 1


def test_gap_interval_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(1)
    covered = 0
    for trial in range(200):
        with_source, without = rng.random(100) < 0.3, rng.random(100) < 0.2  # errors: the true gap is 0.1
        found = measure.negative_transfer_gap(with_source, without, level=0.9, resamples=400, seed=trial)
        covered += found.low <= 0.1 <= found.high
    assert 0.83 < covered / 200 < 0.96


@pytest.mark.parametrize(
    "arguments, message",
    [
        (([1, 0], [1, 0, 1]), "without_source: want one for each of the 2"),
        (([1], [0]), "with_source: want"),
        (([1, math.nan], [0, 0]), "with_source: has NaN"),
        (([1, 0], [[0], [0]]), "without_source: want"),
    ],
)
def test_gap_names_the_bad_argument(arguments, message):
    with pytest.raises(ValueError, match=message):
        measure.negative_transfer_gap(*arguments)
    with pytest.raises(ValueError, match="level=95"):
        measure.negative_transfer_gap([1, 0], [0, 1], level=95)
    with pytest.raises(ValueError, match="resamples=1"):
        measure.negative_transfer_gap([1, 0], [0, 1], resamples=1)
