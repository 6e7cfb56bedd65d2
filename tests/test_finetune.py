import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torchvision import models as torchvision_models

from tlcourse import data, models, training
from tlcourse.training import regularizers
from tlcourse.training.finetune import gradual_unfreezing, head_only, last_block, lora
from tlcourse.training.lora import LowRank

BUDGET = training.Budget(steps=24, learning_rates=(1e-3, 1e-2), batch_size=25, seed=3)


@pytest.fixture
def network():
    return models.load("letters", num_classes=10)


@pytest.fixture(scope="module")
def val():
    return data.digits("val")


def moved_layers(before, after):
    return [layer for layer, moved in training.freeze_audit(before, after).items() if moved]


@pytest.mark.parametrize("name", training.STRATEGIES)
def test_every_strategy_learns_chooses_on_val_and_leaves_the_network_it_was_given(network, few, val, name):
    before = copy.deepcopy(network)
    found = training.STRATEGIES[name](network, few, val, BUDGET)
    assert moved_layers(before, network) == []
    assert set(found.trials) == {1e-3, 1e-2} and found.trials[found.lr] == found.val_accuracy == max(
        found.trials.values()
    )
    assert training.evaluate(found.model, val) == pytest.approx(found.val_accuracy, abs=0.006)
    assert found.val_accuracy > training.evaluate(network, val) + 0.2
    assert not found.model.training and found.seconds > 0
    assert found.model.state_dict().keys() == before.state_dict().keys()


@pytest.mark.parametrize(
    "strategy, layers",
    [(head_only, ["fc"]), (last_block, ["layer3", "fc"]), (lora, ["conv1", "layer1", "layer2", "layer3", "fc"])],
)
def test_what_is_frozen_stays_buffers_included(network, few, val, strategy, layers):
    found = strategy(network, few, val, BUDGET)
    assert moved_layers(network, found.model) == layers
    report = training.freeze_audit(network, found.model)
    if strategy is not last_block:  # the last block's own BatchNorm may follow the target
        assert {moved.kind for entries in report.values() for moved in entries} == {"parameter"}


def test_trained_parameters_are_counted(network, few, val):
    head = 128 * 10 + 10
    assert head_only(network, few, val, BUDGET).trained_parameters == head
    correction = lora(network, few, val, BUDGET).trained_parameters - head
    expected = sum(
        4 * (layer.weight[0].numel() + layer.out_channels)
        for layer in network.modules()
        if isinstance(layer, nn.Conv2d)
    )
    assert correction == expected


def test_gradual_unfreezing_goes_from_the_head_to_the_input(network, few, val, monkeypatch):
    opened = []
    real = training.finetune.freeze
    monkeypatch.setattr(training.finetune, "freeze", lambda net, train: opened.append(train) or real(net, train))
    gradual_unfreezing(network, few, val, training.Budget(steps=12, learning_rates=(1e-3,), batch_size=25))
    assert opened[0] == ("fc",) and opened[1] == ("layer3", "fc")
    assert opened[-1] == ("conv1", "bn1", "layer1", "layer2", "layer3", "fc")


def test_layer_decay_slows_parts_down_toward_the_input(network):
    scale = training.layer_decay(network, 0.5)
    assert [scale(name) for name in ("fc.weight", "layer3.0.conv1.weight", "conv1.weight")] == [1, 0.5, 0.5**5]
    with pytest.raises(ValueError, match="decay=0"):
        training.layer_decay(network, 0)


def test_a_learning_rate_factor_of_zero_freezes_and_a_smaller_one_moves_less(network, few):
    before = copy.deepcopy(network)
    factors = {"fc": 1.0, "layer3": 0.01}
    training.fit(network, few, epochs=2, lr=1e-2, lr_scale=lambda name: factors.get(name.split(".")[0], 0.0))
    report = training.freeze_audit(before, network)
    change = {
        layer: max([moved.change for moved in entries if moved.kind == "parameter"], default=0)
        for layer, entries in report.items()
    }
    assert change["conv1"] == change["layer2"] == 0 < change["layer3"] < change["fc"]
    with pytest.raises(ValueError, match="lr_scale: gave -1"):
        training.fit(network, few, epochs=1, lr=1e-3, lr_scale=lambda name: -1)


def test_early_stopping_stops_and_keeps_the_best_epoch(network, few, val):
    history = training.fit(network, few, val, epochs=30, lr=0.03, batch_size=25, schedule="constant", patience=2)
    ran = len(history["val_accuracy"])
    assert ran < 30 and ran == history["best_epoch"] + 3
    assert training.evaluate(network, val) == max(history["val_accuracy"])
    with pytest.raises(ValueError, match="patience=2"):
        training.fit(network, few, epochs=1, lr=1e-3, patience=2)


# Penalties


def test_l2_sp_pulls_to_the_source_and_the_head_to_zero():
    network = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    penalty = training.l2_sp(network, strength=0.5, head_strength=2.0)
    own = sum(p.square().sum() for p in network[1].parameters())
    assert penalty(network).item() == pytest.approx(own.item(), rel=1e-6)
    with torch.no_grad():
        network[0].weight += 1  # the reference is a copy and stays
    assert penalty(network).item() == pytest.approx((own + 0.25 * 12).item(), rel=1e-5)
    with pytest.raises(ValueError, match="strength=-1"):
        training.l2_sp(network, -1)


def test_strong_l2_sp_keeps_the_body_near_the_source(network, few):
    def distance(strength):
        tuned = copy.deepcopy(network)
        training.fit(
            tuned, few, epochs=4, lr=3e-3, batch_size=25, weight_decay=0.0, penalty=training.l2_sp(network, strength)
        )
        return sum((a - b).square().sum() for a, b in zip(tuned.layer3.parameters(), network.layer3.parameters()))

    assert distance(10.0) < distance(0.0) / 4


def test_fisher_squares_the_gradient_of_each_image(few):
    network = models.load("letters", num_classes=10).train()
    fisher = training.fisher_diagonal(network, few[:3], seed=1)
    assert network.training
    network.eval()
    labels = torch.multinomial(network(few.x[:3]).softmax(1), 1, generator=torch.Generator().manual_seed(1)).squeeze(1)
    expected = torch.zeros_like(network.layer2[0].conv1.weight)
    for x, y in zip(few.x[:3], labels):
        network.zero_grad()
        F.cross_entropy(network(x.unsqueeze(0)), y.unsqueeze(0)).backward()
        expected += network.layer2[0].conv1.weight.grad.square() / 3
    assert torch.allclose(fisher["layer2.0.conv1.weight"], expected, rtol=1e-3, atol=1e-9)
    assert fisher.keys() == dict(network.named_parameters()).keys()


def test_ewc_is_half_lambda_times_fisher_times_the_squared_move_and_leaves_a_new_head_free():
    network = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2))
    fisher = {"0.weight": torch.full((3, 2), 2.0), "0.bias": torch.zeros(3), "1.weight": torch.ones(7, 3)}
    penalty = regularizers.ewc(network, fisher, strength=5.0)
    assert penalty(network).item() == 0
    with torch.no_grad():
        network[0].weight += 0.5
        network[0].bias += 9
        network[1].weight += 9
    assert penalty(network).item() == pytest.approx(5 / 2 * 2 * 6 * 0.25)


# LoRA


def random_correction(network):
    for layer in network.modules():
        if isinstance(layer, LowRank):
            nn.init.normal_(layer.up.weight, std=0.05)
    return network


@pytest.mark.parametrize(
    "layer, shape",
    [
        (nn.Linear(7, 5), (4, 7)),
        (nn.Linear(7, 5, bias=False), (4, 3, 7)),
        (nn.Conv2d(3, 6, 3, stride=2, padding=1), (2, 3, 9, 9)),
        (nn.Conv2d(3, 6, (1, 5), dilation=2, padding="same", padding_mode="reflect", bias=False), (2, 3, 12, 12)),
    ],
)
def test_lora_begins_as_nothing_and_merges_exactly(layer, shape):
    x, plain = torch.randn(shape), copy.deepcopy(layer)
    adapted = LowRank(layer, rank=2, alpha=6)
    assert torch.equal(adapted(x), plain(x))
    random_correction(adapted)
    changed = adapted(x)
    assert not torch.allclose(changed, plain(x))
    merged = adapted.merged()
    assert type(merged) is type(plain) and (merged(x) - changed).abs().max() < 1e-5


def test_lora_trains_its_correction_and_the_head_only(network, few):
    training.add_lora(training.freeze(network), rank=2)
    trainable = {name.split(".")[-2] for name, p in network.named_parameters() if p.requires_grad}
    assert trainable == {"up", "down", "fc"}
    before = copy.deepcopy(network)
    training.fit(network, few, epochs=1, lr=1e-2, batch_size=25)
    for name, value in network.named_parameters():
        assert torch.equal(value, before.get_parameter(name)) is not value.requires_grad, name


@pytest.mark.parametrize(
    "options, named",
    [({"rank": 0}, "rank=0"), ({"alpha": 0}, "alpha=0"), ({"targets": ["bn1"]}, "'bn1'"), ({"targets": ["x"]}, "'x'")],
)
def test_lora_names_a_bad_argument(network, options, named):
    with pytest.raises(ValueError, match=named):
        training.add_lora(network, **options)


def test_lora_without_anything_frozen_says_so(network):
    with pytest.raises(ValueError, match="freeze the network first"):
        training.add_lora(network)


# The same code on larger networks


@pytest.fixture(scope="module", params=["resnet18", "vit_b_16"])
def large(request):
    """A network of torchvision's with random weights and an input for it; the transformer reads small images."""
    torch.manual_seed(0)
    if request.param == "resnet18":
        return torchvision_models.resnet18(num_classes=4), torch.rand(2, 3, 64, 64)
    return torchvision_models.vit_b_16(image_size=32, num_classes=4), torch.rand(2, 3, 32, 32)


def one_step(network, x):
    network.train()
    optimizer = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=0.5)
    F.cross_entropy(network(x), torch.tensor([1, 3])).backward()
    optimizer.step()
    return network


def test_freeze_audit_and_lora_work_unchanged_on_torchvisions_networks(large):
    network, x = copy.deepcopy(large[0]).eval(), large[1]
    head = models.head_name(network)
    training.freeze(network, train=(head,))
    before = copy.deepcopy(network)
    one_step(network, x)
    names = [moved.name for entries in training.freeze_audit(before, network).values() for moved in entries]
    assert sorted(names) == [f"{head}.bias", f"{head}.weight"]

    before = copy.deepcopy(network)
    training.add_lora(network, rank=2)
    assert sum(isinstance(layer, LowRank) for layer in network.modules()) >= 5
    one_step(network, x)
    network.eval()
    with torch.no_grad():
        adapted = network(x)
        training.merge_lora(network)
        assert (network(x) - adapted).abs().max() < 1e-4 * adapted.abs().max()
    assert network.state_dict().keys() == before.state_dict().keys()


def test_parts_and_layer_decay_cover_torchvisions_networks(large):
    network = large[0]
    parts = training.list_parts(network)
    assert models.head_name(network).startswith(parts[-1])
    scale = training.layer_decay(network, 0.5)
    factors = {name: scale(name) for name, _ in network.named_parameters()}
    assert factors[f"{models.head_name(network)}.weight"] == 1
    assert min(factors.values()) == 0.5 ** (len(parts) - 1) == factors[next(iter(factors))]


# What a run is planned and measured with


def test_the_plan_tells_gradients_membership_and_drift_apart(network):
    optimizer = torch.optim.SGD([network.conv1.weight, *network.fc.parameters()], lr=0.1)
    for parameter in network.parameters():
        parameter.requires_grad = False
    network.fc.weight.requires_grad = True
    plan = training.freeze_plan(network, optimizer)
    assert list(plan) == ["conv1", "bn1", "layer1", "layer2", "layer3", "fc"]
    assert plan["fc"] == (1290, 1280, 1290, [])
    assert plan["conv1"] == (864, 0, 864, [])
    assert plan["bn1"] == (64, 0, 0, ["bn1"]) and "layer2.0.bn1" in plan["layer2"].drifting
    assert not network.training
    frozen = training.freeze_plan(training.freeze(network), optimizer)
    assert not any(layer.drifting for layer in frozen.values())
    assert (
        "layer3.0.bn1" in training.freeze_plan(training.freeze(network, ("layer3", "fc")), optimizer)["layer3"].drifting
    )


def test_rehearsal_is_the_sources_own_loss_and_holds_its_accuracy(few):
    source = models.load("letters")
    letters = data.glyphs(74, "letters", seed=5)
    network = models.load("letters", num_classes=10)
    expected = F.cross_entropy(source(letters.x), letters.y).item()
    penalty = training.rehearsal(source, letters, strength=2.0, batch_size=2000)
    assert penalty(network).item() == pytest.approx(2 * expected, rel=0.2)  # drawn with replacement
    assert not network.fc._forward_pre_hooks

    def kept(strength):
        tuned = copy.deepcopy(network)
        training.fit(
            tuned, few, epochs=10, lr=3e-3, batch_size=25, penalty=training.rehearsal(source, letters, strength)
        )
        tuned.fc = source.fc
        return training.evaluate(tuned, data.glyphs(370, "letters", seed=6))

    assert kept(1.0) > kept(0.0) + 0.05
    with pytest.raises(ValueError, match="strength=-1"):
        training.rehearsal(source, letters, strength=-1)


def test_training_memory_counts_weights_gradients_moments_and_what_autograd_keeps():
    network = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 2))
    x = torch.rand(1000, 8)[:10]
    weights = 4 * (8 * 16 + 16 + 16 * 2 + 2)
    activations = 4 * (10 * 8 + 10 * 16)  # the input, and the output of the ReLU
    assert training.training_memory(network, x) == 4 * weights + activations
    network[0].requires_grad_(False)
    head = 4 * (16 * 2 + 2)
    assert training.training_memory(network, x) == weights + 3 * head + 4 * 10 * 16


def test_a_frozen_body_needs_less_memory_and_counting_leaves_the_network_alone(network, few):
    before = copy.deepcopy(network)
    everything = training.training_memory(network, few.x[:8])
    assert moved_layers(before, network) == [] and not network.training
    assert training.training_memory(training.freeze(network), few.x[:8]) < everything / 4


def test_the_range_test_finds_a_rate_that_trains_and_leaves_the_network_alone(network, few):
    before = copy.deepcopy(network)
    found = training.lr_range_test(network, few, steps=40, seed=2)
    assert moved_layers(before, network) == []
    assert found.lrs[0] == 1e-5 and len(found.lrs) == len(found.losses) <= 40
    assert found.lrs[1] / found.lrs[0] == pytest.approx(1e5 ** (1 / 39))
    assert 1e-4 < found.suggested < 0.1
    assert found == training.lr_range_test(network, few, steps=40, seed=2)


@pytest.mark.parametrize(
    "options, named", [({"lowest": 0}, "lowest=0"), ({"highest": 1e-6}, "highest=1e-06"), ({"steps": 3}, "steps=3")]
)
def test_the_range_test_names_a_bad_argument(network, few, options, named):
    with pytest.raises(ValueError, match=named):
        training.lr_range_test(network, few, **options)
    with pytest.raises(ValueError, match="every parameter is frozen"):
        training.lr_range_test(training.freeze(network, train=()), few)


@pytest.mark.parametrize("name", training.STRATEGIES)
@pytest.mark.parametrize("steps", [8, 20])
def test_no_strategy_takes_more_steps_than_the_budget(network, few, val, name, steps, monkeypatch):
    taken = []
    real = torch.optim.AdamW.step
    monkeypatch.setattr(torch.optim.AdamW, "step", lambda *a, **k: taken.append(1) or real(*a, **k))
    training.STRATEGIES[name](network, few, val, training.Budget(steps, (1e-3,), 25))
    assert len(taken) == steps


def test_lp_ft_needs_two_epochs(network, few, val):
    with pytest.raises(ValueError, match="LP-FT needs two or more"):
        training.STRATEGIES["LP-FT"](network, few, val, training.Budget(2, (1e-3,), 25))
