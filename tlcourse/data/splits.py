"""Draw a small or an unbalanced sample from a set of images, or give some of them wrong labels."""

from typing import TypeVar

import torch

from tlcourse.data.images import Images, Numbers
from tlcourse.data.intents import Texts

Labelled = TypeVar("Labelled", Images, Texts)


def few_shot(images: Labelled, per_class: int, seed: int = 0) -> Labelled:
    """Draw the same number of images of every class, without replacement, in random order.

    Args:
        images: Images to draw from.
        per_class: images of each class, at least 1.
        seed: draws the sample.

    Returns:
        Images with per_class · len(images.classes) images.

    Raises:
        ValueError: per_class < 1, or a class has fewer images than asked for.
    """
    if per_class < 1:
        raise ValueError(f"per_class={per_class}: ask for at least 1 image of each class")
    return _draw(images, [per_class] * len(images.classes), "per_class", seed)


def skew(images: Labelled, class_weights: Numbers, n: int | None = None, seed: int = 0) -> Labelled:
    """Draw n images, without replacement, with the classes in given proportions (label shift).

    Args:
        images: Images to draw from.
        class_weights: one weight ≥ 0 per class; only their ratios count. 0 leaves a class out.
        n: number of images, at least 1; by default as many as there are for these proportions.
        seed: draws the sample.

    Returns:
        Images with n images; each class count is its share of n, rounded by largest remainder.

    Raises:
        ValueError: a wrong number of weights, a negative or non-finite weight, all zero, n < 1, or too few images.
    """
    weights = torch.as_tensor(class_weights, dtype=torch.float64)
    if weights.shape != (len(images.classes),):
        raise ValueError(
            f"class_weights: want {len(images.classes)} weights, one per class, got {tuple(weights.shape)}"
        )
    if not torch.isfinite(weights).all() or (weights < 0).any() or weights.sum() == 0:
        raise ValueError("class_weights: want finite weights ≥ 0, at least one above 0")
    if n is None:
        there = torch.bincount(images.y, minlength=len(weights))
        n = int((there * weights.sum() / weights)[weights > 0].min())
    if n < 1:
        raise ValueError(f"n={n}: ask for at least 1 image")
    share = n * weights / weights.sum()
    counts = share.floor().long()
    remainder = share - counts
    counts[remainder.argsort(descending=True, stable=True)[: n - int(counts.sum())]] += 1
    return _draw(images, counts.tolist(), "n", seed)


def mislabel(images: Images, share: float, seed: int = 0) -> Images:
    """Give a share of the images a wrong label, drawn evenly from the other classes (label noise).

    Args:
        images: Images of at least two classes.
        share: of the images, in [0, 1]; at 1 every label is wrong.
        seed: draws the images and the labels. A larger share makes the same images wrong and further ones.

    Returns:
        Images with the same pixels.

    Raises:
        ValueError: share outside [0, 1], fewer than two classes.
    """
    classes = len(images.classes)
    if not 0 <= share <= 1 or classes < 2:
        raise ValueError(f"share={share}, {classes} classes: want a share in [0, 1] and at least 2 classes")
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(images), generator=generator)
    offsets = torch.randint(1, classes, (len(images),), generator=generator)
    wrong = order[: round(share * len(images))]
    y = images.y.clone()
    y[wrong] = (y[wrong] + offsets[wrong]) % classes
    return Images(images.x, y, images.classes)


def _draw(images: Labelled, counts: list[int], argument: str, seed: int) -> Labelled:
    generator = torch.Generator().manual_seed(seed)
    chosen = []
    for label, count in enumerate(counts):
        members = (images.y == label).nonzero().flatten()
        if len(members) < count:
            raise ValueError(
                f"{argument}: needs {count} images of class {images.classes[label]!r}, but there are {len(members)}; "
                "ask for fewer or draw from more images"
            )
        chosen.append(members[torch.randperm(len(members), generator=generator)[:count]])
    index = torch.cat(chosen)
    return images[index[torch.randperm(len(index), generator=generator)]]
