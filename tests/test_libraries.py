"""Ours beside the libraries: layer-wise rates (timm), LoRA (peft), losses of adaptation (skada), the loop (torchvision)."""

import copy
import os
from importlib.util import find_spec
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tlcourse import adapt, models, training
from tlcourse.models.groups import find_part
from tlcourse.training.lora import LowRank


def need(package):
    """Skip without an extra; where REQUIRE_LIBRARIES=1 says that it is installed, its absence is a failure."""
    if find_spec(package) is None:
        if os.environ.get("REQUIRE_LIBRARIES") == "1":
            pytest.fail(f"REQUIRE_LIBRARIES=1, but the {package} extra is not installed")
        pytest.skip(f"the {package} extra is not installed")


def timm_factors(network, decay):
    from timm.optim import param_groups_layer_decay

    groups = param_groups_layer_decay(network, layer_decay=decay)
    by_id = {id(parameter): group["lr_scale"] for group in groups for parameter in group["params"]}
    return {name: by_id[id(parameter)] for name, parameter in network.named_parameters()}


def test_layer_decay_is_timms_on_the_same_parts():
    need("timm")
    network = models.load("letters", num_classes=10)
    parts, scale = training.list_parts(network), training.layer_decay(network, 0.6)
    network.group_matcher = lambda coarse: lambda name: find_part(parts, name)  # timm asks the network for its layers
    assert timm_factors(network, 0.6) == pytest.approx({name: scale(name) for name, _ in network.named_parameters()})


def test_layer_decay_goes_through_the_blocks_of_timms_transformer_like_timm():
    need("timm")
    import timm

    network = timm.create_model("vit_tiny_patch16_224", pretrained=False, num_classes=4)
    scale, theirs = training.layer_decay(network, 0.5), timm_factors(network, 0.5)
    # Ours counts the last norm as a part of its own, timm's as a part of the last block: one step more for all before it.
    for name, factor in theirs.items():
        assert scale(name) == pytest.approx(factor if name.startswith(("head", "norm")) else 0.5 * factor), name


def peft_twin(network, targets):
    """The network with peft's LoRA, whose corrections are those of our LowRank layers; and its network inside."""
    from peft import LoraConfig, get_peft_model

    plain = copy.deepcopy(network)
    ours = training.add_lora(network, rank=3, alpha=6, targets=targets)
    theirs = get_peft_model(plain, LoraConfig(r=3, lora_alpha=6, target_modules=targets))
    with torch.no_grad():
        for layer in ours.modules():
            if isinstance(layer, LowRank):
                nn.init.normal_(layer.up.weight, std=0.05)
        for name in targets:
            twin, own = theirs.base_model.model.get_submodule(name), ours.get_submodule(name)
            twin.lora_A["default"].weight.copy_(own.down.weight)
            twin.lora_B["default"].weight.copy_(own.up.weight)
    return ours.eval(), theirs.eval()


def test_lora_computes_learns_and_merges_as_pefts(few):
    need("peft")
    network = training.freeze(models.load("letters", num_classes=10))
    targets = [name for name, layer in network.named_modules() if isinstance(layer, nn.Conv2d)]
    ours, theirs = peft_twin(network, targets)
    x, y = few.x[:12], few.y[:12]
    assert (ours(x) - theirs(x)).abs().max() < 1e-5
    F.cross_entropy(ours(x), y).backward()
    F.cross_entropy(theirs(x), y).backward()
    for name in targets:
        twin, own = theirs.base_model.model.get_submodule(name), ours.get_submodule(name)
        assert torch.allclose(twin.lora_A["default"].weight.grad, own.down.weight.grad, atol=1e-6)
        assert torch.allclose(twin.lora_B["default"].weight.grad, own.up.weight.grad, atol=1e-6)
        assert own.base.weight.grad is None and twin.base_layer.weight.grad is None
    training.merge_lora(ours)
    merged = theirs.merge_and_unload()
    for name in targets:
        assert (ours.get_submodule(name).weight - merged.get_submodule(name).weight).abs().max() < 1e-6


def test_fit_takes_the_steps_of_torchvisions_reference_loop(few):
    ours, theirs = models.load("letters", num_classes=10), models.load("letters", num_classes=10)
    options = {"epochs": 1, "lr": 1e-3, "batch_size": 25, "schedule": "constant", "weight_decay": 0.05, "seed": 4}
    training.fit(ours, few, **options)

    # references/classification/train.py with --opt adamw, without warm-up: train_one_epoch
    torch.manual_seed(4)
    optimizer = torch.optim.AdamW(theirs.parameters(), lr=1e-3, weight_decay=0.05)
    criterion = nn.CrossEntropyLoss()
    theirs.train().to(memory_format=torch.channels_last)  # as fit() does: sums in another order would round differently
    for index in torch.randperm(len(few)).split(25):
        loss = criterion(theirs(few.x[index].to(memory_format=torch.channels_last)), few.y[index])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    for name, value in theirs.state_dict().items():
        assert torch.allclose(ours.state_dict()[name].float(), value.float(), atol=1e-6), name


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(5)
    source, target = (torch.randn(n, 12, generator=generator) * scale for n, scale in ((40, 1.0), (40, 1.7)))
    return SimpleNamespace(source_features=source, target_features=target + 0.4, progress=1.0)


def test_deep_coral_is_skadas(batch):
    need("skada")
    from skada.deep.losses import deepcoral_loss

    theirs = deepcoral_loss(batch.source_features, batch.target_features)
    assert adapt.deep_coral(batch).item() == pytest.approx(theirs.item(), abs=1e-6)


def test_dann_is_half_of_skadas_and_sends_back_half_of_its_gradient(batch):
    need("skada")
    from skada.deep._adversarial import DANNLoss
    from skada.deep.modules import GradientReversalLayer

    method = adapt.DANN(12, seed=1)
    strength = adapt.reversal_strength(1.0)
    gradients, losses = [], []
    for theirs in (False, True):
        batch.source_features = batch.source_features.detach().requires_grad_()
        batch.target_features = batch.target_features.detach().requires_grad_()
        pair = (batch.source_features, batch.target_features)
        if theirs:  # skada's label 1 is the target, ours the source
            said = [
                1 - method.discriminator(GradientReversalLayer.apply(features, strength)).sigmoid() for features in pair
            ]
            losses.append(DANNLoss()(*said) / 2)
        else:
            losses.append(method(batch))
        losses[-1].backward()
        gradients.append(torch.cat([features.grad for features in pair]))
    assert losses[0].item() == pytest.approx(losses[1].item(), abs=1e-6)
    assert torch.allclose(gradients[0], gradients[1], atol=1e-6)


@pytest.mark.filterwarnings("ignore:Implicit dimension")
def test_skadas_own_domain_classifier_is_constant_as_lesson_06_says(batch):
    need("skada")
    from skada.deep.modules import DomainClassifier

    features = batch.source_features.requires_grad_()
    said = DomainClassifier(12)(features)
    assert (said == 1).all()
    said.sum().backward()
    assert not features.grad.any()
