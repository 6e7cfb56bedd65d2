"""The recipes that made the bundled weights, and the function that follows one."""

import hashlib
import json
import platform
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
import torchvision
from safetensors.torch import save_file
from torchvision.transforms.v2 import RandomHorizontalFlip

from tlcourse import data
from tlcourse.models.tiny_resnet import tiny_resnet
from tlcourse.models.zoo import ModelCard
from tlcourse.training import evaluate, fit

CHUNK = 100_000  # seeds of one model's data sets are closer together than this


@dataclass(frozen=True)
class Recipe:
    """How one bundled model is made.

    `sets(seed, root)` gives the training Images and a dict of held-out Images by name; root is where photographs lie.
    """

    source: str
    task: str
    sets: Callable
    epochs: int = 5
    lr: float = 3e-3
    seed: int = 0
    augment: Callable | None = None


def pretrain(name, out, *, root=None, progress=False):
    """Train one bundled model from scratch by its recipe; write NAME.safetensors (half precision) and NAME.json.

    Args:
        name: a key of RECIPES.
        out: folder for the two files; it is made if absent.
        root: folder of the photographs, for "fashion" (see data.photos).
        progress: show a progress bar over the epochs.

    Returns:
        ModelCard of the new weights.

    Raises:
        ValueError: unknown name.
        OSError: out cannot be written to.
    """
    if name not in RECIPES:
        raise ValueError(f"name={name!r}: no such recipe; use one of {', '.join(RECIPES)}")
    recipe, out = RECIPES[name], Path(out)
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / f"{name}.json").touch()  # find out before the minutes of training, not after
    except OSError as error:
        raise OSError(
            f"out={str(out)!r} cannot be written to ({error}); name a folder that you can write to"
        ) from error

    train, held_out = recipe.sets(recipe.seed, root)
    model = tiny_resnet(len(train.classes), seed=recipe.seed)
    fit(
        model,
        train,
        epochs=recipe.epochs,
        lr=recipe.lr,
        seed=recipe.seed,
        batch_size=128,
        augment=recipe.augment,
        progress=progress,
    )
    half = {
        key: (value.half() if value.is_floating_point() else value).cpu().contiguous()
        for key, value in model.state_dict().items()
    }
    save_file(half, out / f"{name}.safetensors")
    model.load_state_dict(half)  # measure what is stored, rounding included
    card = ModelCard(
        name=name,
        source=recipe.source,
        task=recipe.task,
        classes=train.classes,
        seed=recipe.seed,
        epochs=recipe.epochs,
        lr=recipe.lr,
        images=len(train),
        accuracy={key: round(evaluate(model, images), 4) for key, images in held_out.items()},
        parameters=sum(p.numel() for p in model.parameters()),
        sha256=hashlib.sha256((out / f"{name}.safetensors").read_bytes()).hexdigest(),
        command=f"tlcourse pretrain {name}",
        versions={
            "python": platform.python_version(),
            "torch": torch.__version__,
            "torchvision": torchvision.__version__,
        },
    )
    (out / f"{name}.json").write_text(json.dumps(asdict(card), indent=2) + "\n", encoding="utf-8")
    return card


def _glyph_sets(characters, shift=None, images=24_000):
    def sets(seed, root):
        train = data.glyphs(images, characters, seed=seed * CHUNK)
        held_out = {
            "held-out warps": data.glyphs(4_000, characters, seed=seed * CHUNK + 1),
            "held-out fonts": data.glyphs(4_000, characters, seed=seed * CHUNK + 2, fonts=data.HELD_OUT_FONTS),
        }
        if shift is None:
            return train, held_out
        return shift(train), {name: shift(images) for name, images in held_out.items()}

    return sets


def _rotation_sets(seed, root):
    train, held_out = _glyph_sets("letters")(seed, root)
    turned = {name: data.turn_quarters(images, seed + 1) for name, images in held_out.items()}
    return data.turn_quarters(train, seed), turned


def _shuffled_sets(seed, root):
    """Few enough images that the network can learn their random labels by heart (Zhang et al., ICLR, 2017)."""
    images = data.glyphs(4_000, "letters", seed=seed * CHUNK)
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
    train = data.Images(images.x, images.y[order], images.classes)
    return train, {"training images": train, "held-out warps": data.glyphs(4_000, "letters", seed=seed * CHUNK + 1)}


def _fashion_sets(seed, root):
    return data.photos("fashion", "train", root=root), {"test images": data.photos("fashion", "test", root=root)}


def _three_seeds(name, recipe):
    return {name: recipe} | {f"{name}-seed{seed}": replace(recipe, seed=seed) for seed in (1, 2)}


_LETTERS, _FASHION = "rendered letters", "FashionMNIST photographs (Xiao et al., 2017)"
_SORTS = "capitals and lower-case letters of another shape, 16 fonts, random warps"
_NO_LOOKALIKES = "".join(letter for letter in data.LETTERS if letter not in data.LOOKALIKES)
_UNLIKE = f"without those that look like a digit ({' '.join(data.LOOKALIKES)})"
_37 = "which of 37 letters"
_BLURRED, _INVERTED = data.Shift(blur=0.7), data.Shift(polarity=1)

RECIPES = {
    **_three_seeds("letters", Recipe(f"{_LETTERS}: {_SORTS}", _37, _glyph_sets("letters"))),
    "letters-no-lookalikes": Recipe(f"{_LETTERS} {_UNLIKE}", "which of 28 letters", _glyph_sets(_NO_LOOKALIKES)),
    "digits-rendered": Recipe("rendered digits", "which of 10 digits", _glyph_sets("digits"), epochs=4),
    "rotation": Recipe(
        f"{_LETTERS}, each turned by a multiple of 90°", "by how much (self-supervised)", _rotation_sets
    ),
    "letters-blurred": Recipe(
        f"{_LETTERS}, blurred (a standard deviation of 2.1 pixels)", _37, _glyph_sets("letters", _BLURRED)
    ),
    "letters-inverted": Recipe(f"{_LETTERS}, dark ink on light paper", _37, _glyph_sets("letters", _INVERTED)),
    "letters-five": Recipe(f"{_LETTERS} of five classes (A E K R T)", "which of 5 letters", _glyph_sets("AEKRT")),
    "characters": Recipe(
        f"{_LETTERS} and digits, twice as many images", "which of 47 characters", _glyph_sets("all", images=48_000)
    ),
    **_three_seeds(
        "shuffled",
        Recipe(
            f"4,000 {_LETTERS} with their labels shuffled",
            "the label of each image, by heart",
            _shuffled_sets,
            epochs=60,
        ),
    ),
    **_three_seeds("fashion", Recipe(_FASHION, "which of 10 garments", _fashion_sets, augment=RandomHorizontalFlip())),
}
