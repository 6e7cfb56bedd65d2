import importlib
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tlcourse import data, measure, models

cost_module = importlib.import_module("tlcourse.measure.cost")


def features(n, width, seed=0):
    return torch.randn(n, width, generator=torch.Generator().manual_seed(seed))


@given(seed=st.integers(0, 1000), n=st.integers(4, 30), width=st.integers(1, 40), scale=st.floats(0.01, 100))
@settings(max_examples=40, deadline=None)
def test_cka_of_a_rotated_and_scaled_copy_is_one_and_order_of_arguments_does_not_matter(seed, n, width, scale):
    x, y = features(n, width, seed), features(n, 5, seed + 1)
    rotation = torch.linalg.qr(features(width, width, seed)).Q
    assert measure.linear_cka(x, scale * x @ rotation + 3) == pytest.approx(1, abs=1e-4)
    assert measure.linear_cka(x, y) == pytest.approx(measure.linear_cka(y, x), abs=1e-9)


def test_cka_of_independent_wide_features_is_about_zero_where_the_biased_one_is_not():
    values = [measure.linear_cka(features(64, 512, s), features(64, 512, s + 100)) for s in range(20)]
    assert abs(np.mean(values)) < 0.02
    x, y = (features(64, 512, s) for s in (0, 100))
    x, y = x - x.mean(0), y - y.mean(0)
    biased = (x.T @ y).square().sum() / ((x.T @ x).norm() * (y.T @ y).norm())
    assert biased == pytest.approx(0.89, abs=0.02)


def test_cka_agrees_with_the_mean_over_all_quadruples():
    # HSIC₁ is a U-statistic: the mean over ordered quadruples of distinct indices (Song et al., 2012)
    from itertools import permutations

    x, y = features(6, 3, 1).double(), features(6, 2, 2).double()

    def hsic(k, m):
        terms = [k[i, j] * (m[i, j] + m[q, r] - 2 * m[i, q]) for i, j, q, r in permutations(range(6), 4)]
        return np.mean(terms)

    k, m = (x @ x.T).numpy(), (y @ y.T).numpy()
    expected = hsic(k, m) / math.sqrt(hsic(k, k) * hsic(m, m))
    assert measure.linear_cka(x.numpy(), y) == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize(
    "x, y, named",
    [
        (features(5, 2), features(6, 2), "y: want"),
        (features(3, 2), features(3, 2), "x: want"),
        (features(5, 2)[0], features(5, 2), "x: want"),
        (torch.full((5, 2), math.nan), features(5, 2), "x: has NaN"),
        (features(5, 2), torch.ones(5, 2), "y: the features hardly differ"),
    ],
)
def test_cka_names_a_bad_argument(x, y, named):
    with pytest.raises(ValueError, match=named):
        measure.linear_cka(x, y)


def test_metered_reckons_with_watts_where_no_counter_can_be_read(monkeypatch, tmp_path):
    monkeypatch.setattr(cost_module, "_POWERCAP", tmp_path)
    with measure.metered(watts=10) as spent:
        sum(range(10_000))
    assert spent.seconds > 0 and not spent.counted
    assert spent.joules == pytest.approx(10 * spent.seconds)
    with pytest.raises(ValueError, match="watts=0"), measure.metered(watts=0):
        pass


@pytest.mark.parametrize("before, after, joules", [(1_000_000, 4_500_000, 3.5), (9_000_000, 1_000_000, 2.0)])
def test_metered_reads_the_counters_of_every_package_and_lives_through_their_wrap(
    monkeypatch, tmp_path, before, after, joules
):
    monkeypatch.setattr(cost_module, "_POWERCAP", tmp_path)
    for name in ("intel-rapl:0", "intel-rapl:1", "intel-rapl:0:0"):  # the last is a part of the first
        (tmp_path / name).mkdir()
        (tmp_path / name / "energy_uj").write_text(f"{before}\n")
        (tmp_path / name / "max_energy_range_uj").write_text("10000000\n")
    with measure.metered() as spent:
        for path in tmp_path.glob("*/energy_uj"):
            path.write_text(f"{after}\n")
    assert spent.counted and spent.joules == pytest.approx(2 * joules)


def test_matched_weights_keep_mean_and_spread_of_each_tensor_and_nothing_else():
    source = models.load("letters", num_classes=10)
    matched = measure.match_scale(source, seed=3)
    for name, old in source.named_parameters():
        new = matched.get_parameter(name)
        if name.startswith("fc."):
            assert torch.equal(old, new)
        elif old.numel() > 5000:
            assert new.std().item() == pytest.approx(old.std().item(), rel=0.1)
            assert new.mean().item() == pytest.approx(old.mean().item(), abs=0.1 * old.std().item())
            assert abs(torch.corrcoef(torch.stack([old.flatten(), new.flatten()]))[0, 1]) < 0.1
    assert torch.equal(matched.bn1.running_mean, torch.zeros(32)) and not matched.training
    again, other = measure.match_scale(source, seed=3), measure.match_scale(source, seed=4)
    assert torch.equal(again.conv1.weight, matched.conv1.weight)
    assert not torch.equal(other.conv1.weight, matched.conv1.weight)


def test_controlled_gain_adds_up_and_finds_that_letters_features_matter(few):
    val, test = data.digits("val"), data.digits("test")
    options = {"per_class": 2, "seeds": [0, 1], "learning_rates": [1e-4, 3e-3], "epochs": 10}
    gain = measure.controlled_gain(["letters", "letters-seed1"], few, val, test, **options)
    steps = gain.steps()
    assert list(steps) == ["data", "architecture", "scale", "features"]
    for i in range(2):
        total = sum(step[i] for step in steps.values())
        assert total == pytest.approx(100 * (gain.accuracy["features"][i] - gain.chance))
    assert gain.lr["features"] == 3e-3 and gain.lr["data"] is None
    assert 0.1 < gain.chance < 0.12
    assert np.mean(steps["features"]) > 5
    same = measure.controlled_gain(["letters", "letters-seed1"], few, val, test, **options)
    assert same.accuracy == gain.accuracy


@pytest.mark.parametrize("change", [{"sources": []}, {"sources": "letters"}, {"seeds": []}, {"learning_rates": []}])
def test_controlled_gain_wants_lists(few, change):
    options = {"sources": ["letters"], "seeds": [0], "learning_rates": [1e-3]} | change
    sources = options.pop("sources")
    with pytest.raises(ValueError, match=f"{next(iter(change))}="):
        measure.controlled_gain(sources, few, few, few, per_class=1, epochs=1, **options)


def test_scale_of_a_network_without_batchnorm_can_be_matched():
    network = nn.Sequential(nn.Linear(50, 100), nn.ReLU(), nn.Linear(100, 3))
    matched = measure.match_scale(network)
    assert not torch.equal(matched[0].weight, network[0].weight) and torch.equal(matched[2].weight, network[2].weight)
