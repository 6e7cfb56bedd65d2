"""Load a pre-trained network by name: the bundled ones without a network, torchvision's and timm's with one."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load as parse_safetensors
from torch import nn
from torchvision import models as torchvision_models

from tlcourse.models.groups import find_head, head_name
from tlcourse.models.tiny_resnet import tiny_resnet

WEIGHTS = Path(__file__).parent / "weights"


@dataclass(frozen=True)
class ModelCard:
    """What one weights file holds and how it was made.

    Attributes:
        name: the name that load() takes.
        source: the data it learned from, in words.
        task: what it was trained to tell.
        classes: the outputs of its head, in order.
        seed, epochs, lr, images: the recipe.
        accuracy: measured accuracy in [0, 1] by data set, on the stored (half precision) weights.
        parameters: how many numbers the network has.
        sha256: of the weights file.
        command: what remakes it.
        versions: of the libraries that made it.
    """

    name: str
    source: str
    task: str
    classes: list[str]
    seed: int
    epochs: int
    lr: float
    images: int
    accuracy: dict[str, float]
    parameters: int
    sha256: str
    command: str
    versions: dict[str, str]


def zoo() -> list[ModelCard]:
    """List the cards of the bundled models, sorted by name."""
    return [_read_card(path) for path in sorted(WEIGHTS.glob("*.json"))]


def load(name: str, num_classes: int | None = None, seed: int = 0) -> nn.Module:
    """Load a network with pre-trained weights, in evaluation mode.

    Args:
        name: a bundled model ("letters", "fashion", … see zoo()), which needs no network; "random", the same
            architecture with random weights; a torchvision model ("resnet18") or one of its weights
            ("ResNet18_Weights.IMAGENET1K_V1"); or "timm/NAME" with the timm extra. The images that a torchvision model
            wants are made by its weights' transforms(): torchvision.models.get_model_weights(name).DEFAULT.transforms().
        num_classes: puts a fresh, random head of that width on the network. By default the head it was trained with.
        seed: draws the fresh head, and all weights of "random".

    Returns:
        nn.Module in eval mode. Bundled networks take (n, 3, 32, 32) float32 in [0, 1].

    Raises:
        ValueError: unknown name, num_classes < 1, a damaged weights file.
        FileNotFoundError: a bundled weights file is missing.
        ConnectionError: weights that are neither bundled nor cached, and no network.
        ImportError: a timm name without timm.
    """
    if num_classes is not None and num_classes < 1:
        raise ValueError(f"num_classes={num_classes}: a head needs at least 1 output")
    if name == "random":
        return tiny_resnet(num_classes or 10, seed=seed).eval()
    if (WEIGHTS / f"{name}.json").is_file():
        model = _load_bundled(name)
    elif name.startswith("timm/"):
        model = _load_timm(name.removeprefix("timm/"))
    else:
        model = _load_torchvision(name)
    if num_classes is not None:
        _replace_head(model, num_classes, seed)
    return model.eval()


def _replace_head(model, num_classes, seed):
    width = find_head(model).in_features
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model.set_submodule(head_name(model), nn.Linear(width, num_classes))


def _load_bundled(name):
    card = _read_card(WEIGHTS / f"{name}.json")
    path = WEIGHTS / f"{name}.safetensors"
    if not path.is_file():
        raise FileNotFoundError(
            f"the weights of {name!r} are missing at {path}; reinstall tlcourse, or run: {card.command}"
        )
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != card.sha256:
        raise ValueError(
            f"the weights of {name!r} at {path} are damaged: their sha256 is not the one on the model card; "
            f"reinstall tlcourse, or run: {card.command}"
        )
    model = tiny_resnet(len(card.classes))
    # The file is half precision to be small; copying into the network's float32 parameters widens it.
    model.load_state_dict(parse_safetensors(content))
    return model


def _read_card(path):
    return ModelCard(**json.loads(path.read_text(encoding="utf-8")))


def _load_torchvision(name):
    known = torchvision_models.list_models(module=torchvision_models)
    architecture, weights = (name, "DEFAULT") if name in known else _by_weights(name, known)
    try:
        return torchvision_models.get_model(architecture, weights=weights)
    except OSError as error:  # urllib's URLError is one
        raise _offline(name, error) from error


def _by_weights(name, known):
    """The architecture and the weights behind a name such as "ResNet18_Weights.IMAGENET1K_V1"."""
    try:
        weights = torchvision_models.get_weight(name)
        return next(a for a in known if torchvision_models.get_model_weights(a) is type(weights)), weights
    except (ValueError, TypeError, KeyError, StopIteration):  # what get_weight raises for what is no weight
        raise ValueError(
            f"name={name!r}: unknown model. Bundled: {_bundled()}. With a network, also torchvision's "
            "(torchvision.models.list_models()) and, with the timm extra, timm/NAME."
        ) from None


def _load_timm(name):
    try:
        import timm
    except ImportError as error:
        raise ImportError(f"'timm/{name}' needs timm; install it with: pip install 'tlcourse[timm]'") from error
    if not timm.is_model(name):
        raise ValueError(f"name='timm/{name}': timm knows no such model; see timm.list_models()")
    try:
        return timm.create_model(name, pretrained=True)
    except Exception as error:  # the hub's client raises many types when it finds neither file nor network
        raise _offline(f"timm/{name}", error) from error


def _offline(name, error):
    return ConnectionError(
        f"{name!r} is not in the cache and could not be downloaded ({error}). Connect to a network once, or use a "
        f"bundled model, which needs none: {_bundled()}."
    )


def _bundled():
    return ", ".join([*(path.stem for path in sorted(WEIGHTS.glob("*.json"))), "random"])
