import copy

import pytest
import torch
from torch import nn

from tlcourse import data, models, training


def same_state(a, b):
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


@pytest.fixture
def network():
    return models.load("letters", num_classes=10)


def test_fit_learns_and_records_every_epoch(network, few):
    before = training.evaluate(network, few)
    history = training.fit(network, few, few, epochs=4, lr=3e-3, batch_size=16)
    assert {len(history[key]) for key in ("train_loss", "train_accuracy", "val_loss", "val_accuracy")} == {4}
    assert training.evaluate(network, few) > before + 0.3
    assert not network.training


@pytest.mark.parametrize("schedule", ["one-cycle", "cosine", "constant"])
def test_same_seed_gives_the_same_weights(few, schedule):
    networks = [models.tiny_resnet(10), models.tiny_resnet(10), models.tiny_resnet(10)]
    for network, seed in zip(networks, (1, 1, 2), strict=True):
        training.fit(network, few, epochs=1, lr=1e-3, seed=seed, batch_size=16, schedule=schedule)
    assert same_state(networks[0], networks[1]) and not same_state(networks[0], networks[2])


def test_the_best_epoch_on_validation_is_restored(network, few):
    history = training.fit(network, few, data.digits("val"), epochs=4, lr=0.05, batch_size=16, schedule="constant")
    assert history["best_epoch"] == max(range(4), key=lambda epoch: history["val_accuracy"][epoch])
    assert training.evaluate(network, data.digits("val")) == history["val_accuracy"][history["best_epoch"]]


def test_one_step_in_all_is_enough_for_every_schedule(network, few):
    for schedule in ("one-cycle", "cosine", "constant"):
        assert len(training.fit(network, few, epochs=1, lr=1e-3, schedule=schedule)["train_loss"]) == 1


def test_augmentation_sees_training_batches_only(network, few):
    seen = []

    def watch(x):
        seen.append(len(x))
        return x

    training.fit(network, few, few, epochs=2, lr=1e-3, batch_size=32, augment=watch)
    assert seen == [32, 18, 32, 18]


def test_a_loss_that_is_not_finite_stops_and_gives_the_old_weights_back(network, few):
    before = copy.deepcopy(network)
    with pytest.raises(FloatingPointError, match="lower lr"):
        training.fit(network, few, epochs=3, lr=1e18, batch_size=8, schedule="constant")
    assert same_state(before, network)


def test_fit_leaves_the_global_random_state(network, few):
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    training.fit(network, few, epochs=1, lr=1e-3)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize(
    "change, error, named",
    [
        ({"epochs": 0}, ValueError, "epochs=0"),
        ({"lr": 0}, ValueError, "lr=0"),
        ({"lr": float("nan")}, ValueError, "lr=nan"),
        ({"batch_size": 0}, ValueError, "batch_size=0"),
        ({"schedule": "step"}, ValueError, "schedule='step'"),
        ({"train": "digits"}, TypeError, "train: want Images"),
        ({"train": data.glyphs(37)}, ValueError, "label 36.*10 outputs"),
        ({"val": data.glyphs(37)}, ValueError, "val: has label 36"),
    ],
)
def test_fit_names_a_bad_argument(network, few, change, error, named):
    with pytest.raises(error, match=named):
        training.fit(network, **{"train": few, "epochs": 1, "lr": 1e-3} | change)


def test_fit_refuses_empty_data_and_a_network_without_trainable_parameters(network, few):
    with pytest.raises(ValueError, match="train: there are no images"):
        training.fit(network, few[:0], epochs=1, lr=1e-3)
    with pytest.raises(ValueError, match="every parameter is frozen"):
        training.fit(training.freeze(network, train=()), few, epochs=1, lr=1e-3)


def test_evaluate_counts_right_answers_and_puts_the_mode_back(few):
    class AlwaysThree(nn.Module):
        def __init__(self):
            super().__init__()
            self.bias = nn.Parameter(torch.eye(10)[3])

        def forward(self, x):
            return self.bias.expand(len(x), -1)

    model = AlwaysThree().train()
    assert training.evaluate(model, few) == pytest.approx(0.1)
    assert model.training


def test_evaluate_refuses_nothing(network, few):
    with pytest.raises(ValueError, match="images: there are no images"):
        training.evaluate(network, few[:0])
    with pytest.raises(TypeError, match="want Images"):
        training.evaluate(network, few.x)


def test_features_are_the_input_of_the_head(network, few):
    features = training.extract_features(network, few)
    assert features.shape == (50, 128) and not features.requires_grad
    with torch.no_grad():
        assert torch.allclose(network.fc(features), network(few.x), atol=1e-5)


def test_a_head_can_be_trained_on_features(network, few):
    nn.Linear(128, 10)(training.extract_features(network, few)).sum().backward()


def test_features_do_not_depend_on_mode_and_put_it_back(network, few):
    expected = training.extract_features(network.eval(), few)
    assert torch.equal(training.extract_features(network.train(), few.x), expected) and network.training


@pytest.mark.parametrize("layer, width", [("conv1", 32), ("layer2", 64), ("layer3.0.conv1", 128), ("fc", 10)])
def test_features_of_a_layer(network, few, layer, width):
    assert training.extract_features(network, few, layer).shape == (50, width)


def test_features_of_conv1_are_those_before_the_in_place_relu(network, few):
    assert training.extract_features(network, few, "bn1").min() < 0


def test_views_are_as_many_random_passes_and_stack_image_by_image(network, few):
    def shift(x):
        return x.roll(int(torch.randint(5, (1,))), dims=3)

    torch.manual_seed(1)
    expected = torch.rand(2)
    torch.manual_seed(1)
    views = training.extract_features(network, few, transform=shift, views=3, seed=4)
    assert torch.equal(torch.rand(2), expected), "the global random state moved"
    assert views.shape == (150, 128)
    assert torch.equal(views, training.extract_features(network, few, transform=shift, views=3, seed=4))
    offsets = [int(offset) for offset in torch.randint(5, (3,), generator=torch.Generator().manual_seed(4))]
    for view, offset in zip(views.split(50), offsets, strict=True):
        assert torch.allclose(view, training.extract_features(network, few.x.roll(offset, dims=3)), atol=1e-5)


def test_features_in_small_batches_are_the_same(network, few):
    assert torch.allclose(
        training.extract_features(network, few, batch_size=7), training.extract_features(network, few), atol=1e-5
    )


@pytest.mark.parametrize("change", [{"views": 0}, {"batch_size": 0}, {"views": 2}])
def test_features_name_a_bad_argument(network, few, change):
    with pytest.raises(ValueError, match=f"{next(iter(change))}="):
        training.extract_features(network, few, **change)


def test_an_unknown_layer_is_named(network, few):
    with pytest.raises(ValueError, match=r"layer='layer9'.*layer3"):
        training.extract_features(network, few, "layer9")


def test_a_frozen_body_does_not_move_in_training(network, few):
    before = copy.deepcopy(training.freeze(network))
    training.fit(network, few, epochs=3, lr=0.05, batch_size=16)
    report = training.freeze_audit(before, network)
    assert [layer for layer, moved in report.items() if moved] == ["fc"]
    assert {moved.name for moved in report["fc"]} == {"fc.weight", "fc.bias"}


def test_requires_grad_alone_lets_batchnorm_drift_and_the_audit_shows_it(network, few):
    for name, parameter in network.named_parameters():
        parameter.requires_grad = name.startswith("fc.")
    before = copy.deepcopy(network)
    training.fit(network, few, epochs=1, lr=0.05)
    report = training.freeze_audit(before, network)
    assert {moved.kind for moved in report["layer1"]} == {"buffer"}
    assert "bn1.running_mean" in {moved.name for moved in report["bn1"]}


def test_freeze_holds_only_the_frozen_part_in_eval_mode(network):
    training.freeze(network, train=("layer3", "fc")).train()
    assert not network.bn1.training and not network.layer2[0].bn1.training
    assert network.layer3[0].bn1.training and network.layer3.training
    assert network.layer3[0].conv1.weight.requires_grad and not network.layer2[0].conv1.weight.requires_grad


def test_a_copy_of_a_frozen_network_is_frozen_on_its_own(network):
    twin = copy.deepcopy(training.freeze(network)).train()
    assert not twin.bn1.training
    training.unfreeze(network)
    assert not twin.train().bn1.training, "thawing the original thawed the copy"


def test_freezing_again_replaces_the_first_freeze_and_unfreeze_undoes_it(network):
    training.freeze(network, train=("fc",))
    training.freeze(network, train=("layer3",))
    assert network.train().layer3[0].bn1.training and not network.fc.weight.requires_grad
    training.unfreeze(network)
    assert all(p.requires_grad for p in network.parameters()) and network.train().bn1.training


@pytest.mark.parametrize("train", [("head",), ("fc", "layer4"), ("",)])
def test_freeze_names_a_part_that_is_not_there(network, train):
    with pytest.raises(ValueError, match=r"no part named.*layer3"):
        training.freeze(network, train=train)


def test_freeze_wants_a_tuple(network):
    with pytest.raises(TypeError, match=r"\('fc',\)"):
        training.freeze(network, train="fc")


def test_the_audit_refuses_different_networks(network):
    with pytest.raises(ValueError, match=r"fc\.weight"):
        training.freeze_audit(models.load("letters"), network)
    with pytest.raises(ValueError, match="only one of them has"):
        training.freeze_audit(nn.Linear(2, 2), network)


def test_the_audit_measures_the_largest_change(network):
    before = copy.deepcopy(network)
    with torch.no_grad():
        network.fc.bias[3] += 0.5
    report = training.freeze_audit(before, network)
    assert report["layer1"] == [] and report["fc"] == [("fc.bias", "parameter", pytest.approx(0.5))]
