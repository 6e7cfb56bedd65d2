import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tlcourse import adapt, data, models, training


def draw(n, width, seed=0):
    return torch.randn(n, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@given(seed=st.integers(0, 1000), n=st.integers(2, 20), m=st.integers(2, 20), width=st.integers(1, 6))
@settings(max_examples=30, deadline=None)
def test_coral_loss_is_the_formula_of_the_paper(seed, n, m, width):
    source, target = draw(n, width, seed), draw(m, width, seed + 1)
    difference = np.atleast_2d(np.cov(source.numpy().T) - np.cov(target.numpy().T))
    assert adapt.coral_loss(source, target).item() == pytest.approx((difference**2).sum() / (4 * width**2), abs=1e-12)
    assert adapt.coral_loss(source, source + 5).item() == pytest.approx(0, abs=1e-12)  # covariances do not see the mean


def test_mmd_loss_is_the_mean_over_pairs():
    source, target = draw(5, 3), draw(4, 3, 1) + 1
    points = torch.cat([source, target])
    distances = [((a - b) ** 2).sum().item() for i, a in enumerate(points) for b in points[:i]]
    median = sorted(distances)[(len(distances) - 1) // 2]

    def kernel(a, b):
        return np.mean([math.exp(-((a - b) ** 2).sum().item() / (s * median)) for s in (0.25, 0.5, 1, 2, 4)])

    def within(x):
        return np.mean([kernel(a, b) for i, a in enumerate(x) for j, b in enumerate(x) if i != j])

    expected = within(source) + within(target) - 2 * np.mean([kernel(a, b) for a in source for b in target])
    assert adapt.mmd_loss(source, target).item() == pytest.approx(expected, abs=1e-12)


def test_mmd_loss_is_zero_on_average_for_one_distribution_and_not_for_two():
    same = [adapt.mmd_loss(draw(20, 4, s), draw(20, 4, s + 500)).item() for s in range(100)]
    assert abs(np.mean(same)) < 0.005 and min(same) < 0
    assert adapt.mmd_loss(draw(50, 4), draw(50, 4, 1) + 1) > 0.1
    points = draw(6, 2).requires_grad_()
    adapt.mmd_loss(points, torch.cat([points.detach()[:3], draw(3, 2, 1)])).backward()
    assert torch.isfinite(points.grad).all()  # points that coincide have a gradient too


@pytest.mark.parametrize("loss", [adapt.coral_loss, adapt.mmd_loss])
def test_losses_name_the_bad_argument(loss):
    for source, target, name in (
        (draw(1, 3), draw(4, 3), "source"),
        (draw(4, 3), draw(4, 2), "target"),
        (draw(4, 3)[0], draw(4, 3), "source"),
    ):
        with pytest.raises(ValueError, match=f"{name}: want"):
            loss(source, target)


def small_world():
    source, target = data.glyphs(60, "digits", seed=3), data.digits("train")[:60]
    return models.load("digits-rendered"), source, target


def test_train_adapted_lowers_the_loss_between_the_domains_and_reads_no_target_label():
    model, source, target = small_world()
    history = training_run(model, source, target, method=adapt.coral_loss, weight=100.0)
    assert history[-1]["method_loss"] < history[0]["method_loss"] / 2
    assert not model.training
    again = models.load("digits-rendered")
    wrong = data.mislabel(target, 1.0)
    assert training_run(again, source, wrong, method=adapt.coral_loss, weight=100.0) == history


def training_run(model, source, target, **options):
    return adapt.train_adapted(model, source, target, steps=15, lr=1e-3, batch_size=16, **options)


def test_train_adapted_without_a_method_equals_weight_zero():
    plain, source, target = small_world()
    training_run(plain, source, target)
    weightless = models.load("digits-rendered")
    training_run(weightless, source, target, method=adapt.mmd_loss, weight=0.0)
    for a, b in zip(plain.state_dict().values(), weightless.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_train_adapted_names_the_bad_argument():
    model, source, target = small_world()
    with pytest.raises(ValueError, match="target: there are no images"):
        adapt.train_adapted(model, source, target[:0], steps=1, lr=1e-3)
    with pytest.raises(ValueError, match="steps=0"):
        adapt.train_adapted(model, source, target, steps=0, lr=1e-3)
    with pytest.raises(FloatingPointError, match="step 0"):
        adapt.train_adapted(model, source, target, method=lambda s, t: s.sum() * math.inf, steps=1, lr=1e-3)


def test_joint_loss_is_the_mean_loss_on_source_images_and_leaves_running_statistics_alone():
    model = models.load("digits-rendered").train()
    source = data.glyphs(8, "digits", seed=5)[:1]
    before = {name: value.clone() for name, value in model.named_buffers() if "running" in name}
    loss = training.joint_loss(source, weight=3.0, batch_size=6)(model)
    expected = torch.nn.functional.cross_entropy(model(source.x.repeat(6, 1, 1, 1)), source.y.repeat(6))
    assert loss.item() == pytest.approx(3 * expected.item(), rel=1e-3)
    loss.backward()
    assert model.fc.weight.grad is not None
    model = models.load("digits-rendered").train()
    training.joint_loss(source, batch_size=6)(model)
    after = dict(model.named_buffers())
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert all(m.momentum == 0.1 for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d))


def test_joint_loss_draws_by_image_weight():
    model = models.load("digits-rendered").train()
    source = data.glyphs(10, "digits", seed=5)
    one = torch.zeros(10)
    one[4] = 2
    chosen = training.joint_loss(source, image_weights=one, batch_size=4)(model)
    alone = training.joint_loss(source[4:5], batch_size=4)(model)
    assert chosen.item() == pytest.approx(alone.item(), rel=1e-4)
    for bad in (torch.ones(9), -torch.ones(10), torch.zeros(10), torch.full((10,), math.nan)):
        with pytest.raises(ValueError, match="image_weights: want 10"):
            training.joint_loss(source, image_weights=bad)
    with pytest.raises(ValueError, match="weight=-1"):
        training.joint_loss(source, weight=-1)


def test_bss_is_the_smallest_singular_values_of_the_features_of_the_training_pass():
    model, source, _ = small_world()
    penalty = training.bss(model, strength=2.0, smallest=3)
    model.train()
    features = []
    with model.fc.register_forward_pre_hook(lambda module, inputs: features.append(inputs[0])):
        model(source.x[:12])
        model.eval()
        model(source.x[12:40])  # an evaluation in between is not what the penalty is about
    expected = 2 * np.linalg.svd(features[0].detach().numpy(), compute_uv=False)[-3:] ** 2
    value = penalty(model)
    assert value.item() == pytest.approx(expected.sum(), rel=1e-3)
    value.backward()
    with pytest.raises(ValueError, match="smallest=13"):
        other = training.bss(model, smallest=13)
        model.train()(source.x[:12])
        other(model)
    with pytest.raises(ValueError, match="smallest=0"):
        training.bss(model, smallest=0)


def test_bss_trains_with_fit():
    model, _, target = small_world()
    history = training.fit(model, target, epochs=2, lr=1e-3, penalty=training.bss(model, strength=0.1))
    assert all(math.isfinite(loss) for loss in history["train_loss"])


@given(share=st.floats(0, 1), seed=st.integers(0, 100))
@settings(max_examples=40, deadline=None)
def test_mislabel_makes_its_share_wrong_and_larger_shares_nest(share, seed):
    images = data.digits("val")
    noisy, noisier = data.mislabel(images, share, seed), data.mislabel(images, min(1, share + 0.1), seed)
    wrong = noisy.y != images.y
    assert wrong.sum() == round(share * len(images))
    assert torch.equal(noisy.y[wrong], noisier.y[wrong]) and torch.equal(noisy.x, images.x)


def test_mislabel_draws_evenly_and_names_the_bad_argument():
    images = data.glyphs(4000, "digits", seed=1)
    noisy = data.mislabel(images, 1.0)
    counts = torch.bincount((noisy.y - images.y) % 10, minlength=10)
    assert counts[0] == 0 and counts[1:].min() > 350
    with pytest.raises(ValueError, match="share=2"):
        data.mislabel(images, 2)
