import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

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
    for source, target, message in (
        (draw(1, 3), draw(4, 3), "source: want"),
        (draw(4, 3), draw(4, 2), "target: want"),
        (draw(4, 3)[0], draw(4, 3), "source: want"),
        (draw(4, 3), draw(4, 3).to("meta"), "source is on cpu and target on meta"),
    ):
        with pytest.raises(ValueError, match=message):
            loss(source, target)


def small_world():
    source, target = data.glyphs(60, "digits", seed=3), data.digits("train")[:60]
    return models.load("digits-rendered"), source, target


def test_train_adapted_lowers_the_loss_between_the_domains_and_reads_no_target_label():
    model, source, target = small_world()
    history = training_run(model, source, target, method=adapt.deep_coral, weight=100.0)
    assert history[-1]["method_loss"] < history[0]["method_loss"] / 2
    assert not model.training
    again = models.load("digits-rendered")
    wrong = data.mislabel(target, 1.0)
    assert training_run(again, source, wrong, method=adapt.deep_coral, weight=100.0) == history


def training_run(model, source, target, **options):
    return adapt.train_adapted(model, source, target, steps=15, lr=1e-3, batch_size=16, **options)


@pytest.mark.parametrize("batch_size, steps", [(8, 15), (45, 4)])  # a batch may be smaller or larger than the target
def test_each_image_of_the_target_is_seen_as_often_as_any_other(batch_size, steps):
    model, source, target = small_world()
    seen = []

    def watch(batch):
        seen.extend(batch.target_index.tolist())
        return batch.target_logits.sum() * 0

    adapt.train_adapted(
        model, source, target[torch.arange(30)], method=watch, steps=steps, lr=1e-3, batch_size=batch_size
    )
    passes = [sorted(seen[start : start + 30]) for start in range(0, len(seen), 30)]
    assert passes == [list(range(30))] * (batch_size * steps // 30)
    assert seen[:30] != seen[30:60]


@pytest.mark.parametrize("apart, sizes", [(False, [32]), (True, [16, 16])])
def test_domains_pass_batchnorm_together_or_apart(apart, sizes):
    model, source, target = small_world()
    seen = []
    model.bn1.register_forward_hook(
        lambda module, inputs, output: seen.append((len(output), output.detach().clone().cpu()))
    )
    adapt.train_adapted(model, source, target, apart=apart, steps=1, lr=1e-3, batch_size=16)
    assert [size for size, _ in seen] == sizes
    # each pass is normalised by its own statistics: every channel has its bias as its mean
    for _, output in seen:
        assert torch.allclose(output.mean(dim=(0, 2, 3)), models.load("digits-rendered").bn1.bias, atol=1e-4)


def test_without_batchnorm_it_makes_no_difference_whether_domains_pass_apart():
    _, source, target = small_world()
    histories = []
    for apart in (False, True):
        model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 8), nn.ReLU())
        model.fc = nn.Linear(8, 10)
        with torch.no_grad():
            for i, parameter in enumerate(model.parameters()):
                parameter.copy_(draw(parameter.numel(), 1, i).view_as(parameter) / 30)
        histories.append(training_run(model, source, target, method=adapt.deep_coral, weight=3.0, apart=apart))
    for together, alone in zip(*histories):
        assert together == pytest.approx(alone, abs=1e-4)


def test_train_adapted_without_a_method_equals_weight_zero():
    plain, source, target = small_world()
    training_run(plain, source, target)
    weightless = models.load("digits-rendered")
    training_run(weightless, source, target, method=adapt.dan, weight=0.0)
    for a, b in zip(plain.state_dict().values(), weightless.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_train_adapted_names_the_bad_argument():
    model, source, target = small_world()
    with pytest.raises(ValueError, match="target: there are no images"):
        adapt.train_adapted(model, source, target[:0], steps=1, lr=1e-3)
    with pytest.raises(ValueError, match="steps=0"):
        adapt.train_adapted(model, source, target, steps=0, lr=1e-3)
    with pytest.raises(FloatingPointError, match="step 0"):
        adapt.train_adapted(
            model, source, target, method=lambda batch: batch.source_features.sum() * math.inf, steps=1, lr=1e-3
        )


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


def test_importance_weights_are_the_density_ratio_of_two_gaussians():
    generator = torch.Generator().manual_seed(0)
    source, target = torch.randn(20_000, 1, generator=generator), 0.5 + torch.randn(5_000, 1, generator=generator)
    weights = adapt.importance_weights(source, target)
    truth = torch.exp(0.5 * source[:, 0] - 0.125)  # N(0.5, 1) over N(0, 1)
    inside = source[:, 0].abs() < 1.5
    assert (weights / truth)[inside].log().abs().max() < 0.15
    assert (weights == weights.max()).sum() == 200  # the largest hundredth is cut to one value


def test_class_weights_are_mean_predictions_over_their_largest():
    class Fixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.unused = nn.Parameter(torch.zeros(1))

        def forward(self, x):
            return torch.tensor([0.5, 0.4, 0.1]).log().repeat(len(x), 1)

    images = data.Images(torch.zeros(7, 3, 16, 16), torch.zeros(7, dtype=torch.int64), ["a", "b", "c"])
    torch.testing.assert_close(adapt.class_weights(Fixed(), images), torch.tensor([1, 0.8, 0.2]))


def test_adapted_statistics_are_those_of_the_images_and_weights_stay():
    network = models.tiny_resnet(10, seed=1).eval()
    x = data.digits("val").x
    adapted = adapt.adapt_batchnorm(network, data.digits("val"))
    torch.testing.assert_close(dict(adapted.named_parameters()), dict(network.named_parameters()))
    with torch.no_grad():
        mean = network.conv1(x).mean(dim=(0, 2, 3))
    torch.testing.assert_close(adapted.bn1.running_mean, mean, atol=1e-4, rtol=1e-3)
    assert torch.equal(network.bn1.running_mean, torch.zeros(32)) and not adapted.training
    assert adapted.bn1.momentum == network.bn1.momentum
    with pytest.raises(ValueError, match="images: 1 are too few"):
        adapt.adapt_batchnorm(network, data.digits("val")[torch.arange(1)])
    with pytest.raises(ValueError, match="no BatchNorm"):
        adapt.adapt_batchnorm(nn.Linear(2, 2), data.digits("val"))


def batch_of(source_features, target_features, target_logits=None, model=None, progress=0.0, index=None):
    logits = draw(len(target_features), 3, 9) if target_logits is None else target_logits
    index = torch.arange(len(target_features)) if index is None else index
    source_logits = draw(len(source_features), 3, 8)
    labels = source_logits.argmax(dim=1)
    return adapt.Batch(model, source_features, source_logits, labels, target_features, logits, index, progress)


@given(strength=st.floats(0, 10), seed=st.integers(0, 100))
@settings(max_examples=20, deadline=None)
def test_grad_reverse_changes_the_gradient_and_nothing_else(strength, seed):
    x = draw(4, 3, seed).requires_grad_()
    out = adapt.grad_reverse(x, strength)
    assert torch.equal(out, x)
    weights = draw(4, 3, seed + 1)
    (out * weights).sum().backward()
    torch.testing.assert_close(x.grad, -strength * weights)


def test_grad_reverse_and_its_schedule_refuse_what_makes_no_sense():
    with pytest.raises(ValueError, match="strength=-1"):
        adapt.grad_reverse(draw(2, 2), -1)
    assert adapt.reversal_strength(0) == 0 and adapt.reversal_strength(1) == pytest.approx(math.tanh(5))
    with pytest.raises(ValueError, match="progress=2"):
        adapt.reversal_strength(2)


def test_dann_teaches_the_discriminator_and_turns_its_gradient_around_for_the_features():
    source, target = (draw(20, 4, seed).float() + seed for seed in (0, 1))
    method = adapt.DANN(4, seed=3)
    plain = adapt.DomainDiscriminator(4, seed=3)
    for features in (source, target):
        features.requires_grad_()
    loss = method(batch_of(source, target, progress=0.5))
    domain = torch.cat([torch.ones(20), torch.zeros(20)])
    expected = F.binary_cross_entropy_with_logits(plain(torch.cat([source, target])), domain)
    assert loss.item() == pytest.approx(expected.item())
    loss.backward()
    reversed_gradient = source.grad.clone()
    source.grad = None
    expected.backward()
    torch.testing.assert_close(reversed_gradient, -adapt.reversal_strength(0.5) * source.grad)
    for ours, theirs in zip(method.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad)
    assert len(method.accuracies) == 1 and 0 <= method.accuracies[0] <= 1


def test_train_adapted_trains_a_method_that_has_parameters():
    model, source, target = small_world()
    method = adapt.DANN(128)
    before = [p.clone() for p in method.parameters()]
    training_run(model, source, target, method=method)
    assert all(not torch.equal(a, b) for a, b in zip(before, method.parameters(), strict=True))
    assert len(method.accuracies) == 15


def test_entropies_are_those_of_the_softmax():
    logits = draw(6, 4)
    probabilities = logits.softmax(dim=1).numpy()
    each = -(probabilities * np.log(probabilities)).sum(axis=1)
    assert adapt.entropy(logits).numpy() == pytest.approx(each)
    shares = probabilities.mean(axis=0)
    batch = batch_of(draw(2, 2), draw(6, 2), logits)
    assert adapt.entropy_minimisation(batch).item() == pytest.approx(each.mean())
    assert adapt.information_maximisation(batch).item() == pytest.approx(each.mean() + (shares * np.log(shares)).sum())
    certain = batch_of(draw(2, 2), draw(4, 2), 1000 * torch.eye(4, dtype=torch.float64))
    assert adapt.information_maximisation(certain).item() == pytest.approx(-math.log(4))


def test_dan_and_deep_coral_read_the_features_and_dan_the_logits_too():
    batch = batch_of(draw(8, 3), draw(7, 3, 1))
    assert adapt.deep_coral(batch) == adapt.coral_loss(batch.source_features, batch.target_features)
    expected = adapt.mmd_loss(batch.source_features, batch.target_features)
    assert adapt.dan(batch) == expected + adapt.mmd_loss(batch.source_logits, batch.target_logits)


def test_naive_self_training_is_cross_entropy_to_ones_own_answer():
    logits = draw(5, 3).requires_grad_()
    loss = adapt.naive_self_training(batch_of(draw(2, 2), draw(5, 2), logits))
    assert loss.item() == pytest.approx(-logits.log_softmax(dim=1).max(dim=1).values.mean().item())


def test_confident_labels_keep_the_surest_of_every_predicted_class():
    model, _, target = small_world()
    labels, kept = adapt.confident_labels(model.train(), target, 0.3)
    assert model.training
    model.eval()
    with torch.inference_mode():
        confidence, answers = model(target.x).softmax(dim=1).max(dim=1)
    assert torch.equal(labels, answers)
    for label in labels.unique():
        members = labels == label
        assert (members & kept).sum() == max(1, round(0.3 * members.sum().item()))
        if (members & ~kept).any():
            assert confidence[members & kept].min() >= confidence[members & ~kept].max()


def test_balanced_self_training_labels_anew_at_each_round_and_leaves_out_what_is_unsure():
    model, _, target = small_world()
    method = adapt.balanced_self_training(target, shares=(0.5, 1.0))
    index = torch.arange(len(target))
    logits = draw(len(target), 10).requires_grad_()
    first = method(batch_of(draw(2, 2), draw(len(target), 2), logits, model, 0.0, index))
    labels, kept = adapt.confident_labels(model, target, 0.5)
    expected = (F.cross_entropy(logits, labels, reduction="none") * kept).mean()
    assert first.item() == pytest.approx(expected.item())
    second = method(batch_of(draw(2, 2), draw(len(target), 2), logits, model, 0.5, index))
    assert second.item() == pytest.approx(F.cross_entropy(logits, labels).item())
    with pytest.raises(ValueError, match="shares="):
        adapt.balanced_self_training(target, shares=(0.5, 0.2))


def test_prototype_labels_are_the_nearest_class_mean():
    """Against a slow version in loops."""
    model, _, target = small_world()
    features = F.pad(training.extract_features(model, target), (0, 1), value=1.0).double()
    with torch.inference_mode():
        weights = model(target.x).softmax(dim=1).double()
    for _ in range(2):
        prototypes = [sum(w[c] * f / f.norm() for w, f in zip(weights, features)) for c in range(10)]
        labels = [
            max(
                (c for c in range(10) if weights[:, c].sum() > 0),
                key=lambda c: float(f @ prototypes[c] / (f.norm() * prototypes[c].norm())),
            )
            for f in features
        ]
        weights = F.one_hot(torch.tensor(labels), 10).double()
    assert adapt.prototype_labels(model, target).tolist() == labels


def test_source_free_training_leaves_a_frozen_head_alone_and_reads_no_source():
    model, _, target = small_world()
    model.fc.requires_grad_(False)
    head, body = model.fc.weight.clone(), model.conv1.weight.clone()
    history = training_run(model, None, target, method=adapt.shot(target, rounds=3))
    assert torch.equal(model.fc.weight, head) and not torch.equal(model.conv1.weight, body)
    assert history[0]["source_loss"] == 0 and history[0]["source_accuracy"] is None
    with pytest.raises(ValueError, match="pseudo=-1"):
        adapt.shot(target, pseudo=-1)
    with pytest.raises(ValueError, match="source, method"):
        training_run(model, None, target)


def test_only_batchnorm_trains_scales_and_shifts():
    model, _, target = small_world()
    before = {name: value.clone() for name, value in model.named_parameters()}
    adapt.only_batchnorm(model)
    training_run(model, None, target, method=adapt.entropy_minimisation)
    for name, value in model.named_parameters():
        is_norm = "bn" in name or "downsample.1" in name
        assert value.requires_grad == is_norm
        assert torch.equal(value, before[name]) != is_norm, name


def test_source_weights_set_what_is_drawn():
    model, source, target = small_world()
    one = torch.zeros(len(source))
    one[7] = 1.0
    seen = []
    training_run(
        model,
        source,
        target,
        source_weights=one,
        method=lambda b: seen.append(b.source_labels) or b.source_logits.sum() * 0,
    )
    assert torch.cat(seen).unique().tolist() == [source.y[7].item()]
    with pytest.raises(ValueError, match="source_weights"):
        training_run(model, source, target, source_weights=torch.ones(3))


def test_the_history_describes_the_step_and_the_callback_counts():
    model, source, target = small_world()
    steps = []
    history = training_run(model, source, target, after_step=steps.append, schedule="one-cycle")
    assert steps == list(range(1, 16)) and len(history) == 15
    for row in history:
        assert 0 <= row["source_accuracy"] <= 1 and 0.1 <= row["confidence"] <= 1
        assert 0 <= row["entropy"] <= math.log(10) + 1e-6 and 0 <= row["balance"] <= 1 + 1e-6


def test_validators_are_the_formulas():
    model, _, target = small_world()
    source = data.glyphs(50, "digits", seed=4)
    found = adapt.validate_unlabelled(model, source, target)
    with torch.inference_mode():
        losses, probabilities = F.cross_entropy(model(source.x), source.y, reduction="none"), model(target.x).softmax(1)
    assert found["source risk"] == pytest.approx(-losses.mean().item(), rel=1e-3, abs=1e-6)
    weights = adapt.importance_weights(*(training.extract_features(model, images) for images in (source, target)))
    assert found["importance-weighted"] == pytest.approx(
        -(weights * losses).sum().item() / weights.sum().item(), rel=1e-3
    )
    p = probabilities.double().numpy()
    marginal = p.mean(axis=0)
    information = (p * np.log(p.clip(1e-12))).sum(1).mean() - (marginal * np.log(marginal)).sum()
    assert found["information"] == pytest.approx(information, abs=1e-4)


def test_augmentations_change_the_share_and_the_style_that_they_name():
    source, target = data.glyphs(200, "digits", seed=6), data.digits("val")
    thick = adapt.vary_strokes(source, share=0.3, seed=1)
    changed = (thick.x != source.x).flatten(1).any(dim=1)
    assert 0.2 < changed.float().mean() < 0.4 and (thick.x >= source.x).all()
    assert torch.equal(thick.y, source.y)
    styled = adapt.match_style(source, target)
    gap = abs(styled.x.mean() - target.x.mean())
    assert gap < abs(source.x.mean() - target.x.mean()) / 2 or gap < 0.02
    with pytest.raises(ValueError, match="share=2"):
        adapt.vary_strokes(source, share=2)
