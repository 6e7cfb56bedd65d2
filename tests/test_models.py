import copy
import importlib
import json

import pytest
import torch
from torchvision import models as torchvision_models

from tlcourse import data, models

zoo_module = importlib.import_module("tlcourse.models.zoo")  # the function zoo() hides it
BUNDLED = [card.name for card in models.zoo()]


def test_the_zoo_has_every_recipe_and_stays_small():
    assert set(BUNDLED) == set(models.RECIPES)
    sizes = [path.stat().st_size for path in zoo_module.WEIGHTS.glob("*.safetensors")]
    assert max(sizes) < 700_000 and sum(sizes) < 11_000_000


@pytest.mark.parametrize("name", BUNDLED)
def test_bundled_models_load_in_eval_mode_with_a_head_as_on_their_card(name):
    model = models.load(name)
    card = next(card for card in models.zoo() if card.name == name)
    assert not any(module.training for module in model.modules())
    assert model(torch.rand(2, 3, 32, 32)).shape == (2, len(card.classes))
    assert all(p.dtype == torch.float32 and p.requires_grad for p in model.parameters())


@pytest.mark.parametrize("name", [name for name in BUNDLED if name.startswith("letters")])
def test_letters_are_as_good_as_their_card_says_on_new_images(name):
    card = next(card for card in models.zoo() if card.name == name)
    shift = {"letters-blurred": data.Shift(blur=0.7), "letters-inverted": data.Shift(polarity=1)}.get(
        name, data.Shift()
    )
    images = shift(data.glyphs(1000, "".join(card.classes), seed=123_456))
    from tlcourse.training import evaluate

    assert card.accuracy["held-out warps"] >= 0.97
    assert evaluate(models.load(name), images) >= card.accuracy["held-out warps"] - 0.02


def test_fashion_reaches_its_figure():
    for card in models.zoo():
        if card.name.startswith("fashion"):
            assert card.accuracy["test images"] >= 0.89


def test_a_fresh_head_is_drawn_by_its_seed_and_leaves_the_body():
    first, again, other = (models.load("letters", num_classes=10, seed=s) for s in (1, 1, 2))
    assert first.fc.weight.shape == (10, 128)
    assert torch.equal(first.fc.weight, again.fc.weight) and not torch.equal(first.fc.weight, other.fc.weight)
    assert torch.equal(first.layer3[0].conv1.weight, models.load("letters").layer3[0].conv1.weight)


def test_loading_leaves_the_global_random_state():
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    models.load("letters", num_classes=10)
    assert torch.equal(torch.rand(3), expected)


def test_tiny_resnet_has_torchvisions_names_and_size():
    names = {name for name, _ in models.tiny_resnet(10).named_children()}
    assert names <= {name for name, _ in torchvision_models.resnet18(weights=None).named_children()}
    assert 300_000 < sum(p.numel() for p in models.tiny_resnet(37).parameters()) < 320_000


def test_random_needs_no_file():
    assert torch.equal(models.load("random", seed=4).fc.weight, models.tiny_resnet(10, seed=4).fc.weight)


@pytest.mark.parametrize("call", [lambda: models.load("letters", 0), lambda: models.tiny_resnet(-1)])
def test_a_head_without_outputs_is_refused(call):
    with pytest.raises(ValueError, match="num_classes="):
        call()


@pytest.mark.parametrize("name", ["leters", "resnet18.5", "ResNet18_Weights.NONE", "../letters"])
def test_an_unknown_name_lists_the_bundled_ones(name):
    with pytest.raises(ValueError, match=r"unknown model.*letters.*random"):
        models.load(name)


@pytest.fixture
def copied_weights(tmp_path, monkeypatch):
    for suffix in (".json", ".safetensors"):
        (tmp_path / f"letters{suffix}").write_bytes((zoo_module.WEIGHTS / f"letters{suffix}").read_bytes())
    monkeypatch.setattr(zoo_module, "WEIGHTS", tmp_path)
    return tmp_path


def test_a_damaged_file_is_refused_by_name(copied_weights):
    path = copied_weights / "letters.safetensors"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match="'letters'.*damaged.*tlcourse pretrain letters"):
        models.load("letters")


def test_a_missing_file_is_named(copied_weights):
    (copied_weights / "letters.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match="'letters' are missing.*tlcourse pretrain letters"):
        models.load("letters")


def test_torchvision_weights_come_from_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    weights = torchvision_models.ResNet18_Weights.DEFAULT
    stand_in = torchvision_models.resnet18(weights=None)
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    # torch.hub checks the hash in the file name only when it downloads
    torch.save(stand_in.state_dict(), tmp_path / "hub" / "checkpoints" / weights.url.rsplit("/", 1)[1])
    # A name and its DEFAULT weights can differ in version; both must find the file.
    for name in ("resnet18", f"ResNet18_Weights.{weights.name}"):
        monkeypatch.setattr("torchvision.models._api.WeightsEnum.get_state_dict", _unhashed)
        model = models.load(name, num_classes=5)
        assert torch.equal(model.conv1.weight, stand_in.conv1.weight)
        assert model(torch.rand(1, 3, 64, 64)).shape == (1, 5) and not model.training


def _unhashed(weights, *args, **kwargs):
    return torch.hub.load_state_dict_from_url(weights.url, *args, **{**kwargs, "check_hash": False})


def test_torchvision_without_network_or_cache_names_the_bundled_models(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))

    def no_network(*args, **kwargs):
        raise OSError("no network")

    monkeypatch.setattr("torch.hub.urlopen", no_network)
    with pytest.raises(ConnectionError, match="'resnet18'.*bundled.*letters"):
        models.load("resnet18")


def test_timm_without_timm_names_the_extra(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "timm", None)
    with pytest.raises(ImportError, match=r"tlcourse\[timm\]"):
        models.load("timm/resnet10t")


def test_head_name_finds_the_last_linear_layer():
    assert models.head_name(models.tiny_resnet(3)) == "fc"
    assert models.head_name(torchvision_models.vgg11(weights=None)) == "classifier.6"
    with pytest.raises(ValueError, match="Conv2d has no"):
        models.head_name(torch.nn.Conv2d(1, 1, 1))


def test_pretrain_follows_a_recipe_and_writes_what_load_reads(tmp_path, monkeypatch):
    from dataclasses import replace

    def small(seed, root):
        return data.glyphs(300, "AB", seed=seed), {"held-out warps": data.glyphs(100, "AB", seed=seed + 1)}

    recipe = replace(models.RECIPES["letters"], sets=small, epochs=20)
    monkeypatch.setitem(models.RECIPES, "letters", recipe)
    card = models.pretrain("letters", tmp_path)
    monkeypatch.setattr(zoo_module, "WEIGHTS", tmp_path)
    from tlcourse.training import evaluate

    measured = evaluate(models.load("letters"), data.glyphs(100, "AB", seed=1))
    assert card.accuracy["held-out warps"] == pytest.approx(measured, abs=1e-4) and measured > 0.8
    assert json.loads((tmp_path / "letters.json").read_text())["sha256"] == card.sha256


def test_every_glyph_recipe_gives_disjoint_training_and_held_out_images():
    for name in ("letters", "rotation", "shuffled", "digits-rendered"):
        train, held_out = models.RECIPES[name].sets(0, None)
        images = held_out["held-out warps"]
        seen = {hash(x.numpy().tobytes()) for x in train.x[:2000]}
        assert not seen & {hash(x.numpy().tobytes()) for x in images.x[:500]}
        assert len(train.classes) > int(images.y.max())


def test_pretrain_errors_come_before_the_training(tmp_path):
    with pytest.raises(ValueError, match="name='words'"):
        models.pretrain("words", tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="out="):
        models.pretrain("letters", tmp_path / "file" / "weights")


def test_images_on_another_device_get_a_clear_error():
    network = models.tiny_resnet(10).eval()
    elsewhere = torch.zeros(2, 3, 32, 32, device="meta")  # a device that every machine has
    with pytest.raises(ValueError, match=r"x is on meta and the network on cpu; move one of them: x.to\('cpu'\)"):
        network(x=elsewhere)
    assert copy.deepcopy(network).to("meta")(elsewhere).shape == (2, 10)
    network.fc = torch.nn.Identity()  # the body alone, as features are read
    assert network(torch.zeros(2, 3, 32, 32)).shape == (2, 128)
