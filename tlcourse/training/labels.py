"""Where labels meet a head: every label needs an output."""

import torch
from torch import nn

from tlcourse.data.images import Images
from tlcourse.training.modes import evaluating


def check_labels(name: str, labels: torch.Tensor, outputs: int) -> None:
    """Raise a ValueError that says which label the head has no output for, if there is one; labels count from 0."""
    if len(labels) == 0:
        return
    lowest, highest = int(labels.min()), int(labels.max())
    if lowest < 0 or highest >= outputs:
        raise ValueError(
            f"{name}: has label {highest if highest >= outputs else lowest}, but the head of the model has {outputs} "
            f"outputs, for labels from 0 to {outputs - 1}; give it a fresh head with models.load(name, num_classes=…)"
        )


def check_images(name: str, images: Images) -> None:
    """Raise unless an argument is Images, at least one."""
    if not isinstance(images, Images):
        raise TypeError(f"{name}: want Images, got {type(images).__name__}; build one with data.Images(x, y, classes)")
    if len(images) == 0:
        raise ValueError(f"{name}: there are no images; give at least one")


def check_sets(model: nn.Module, **sets: Images | None) -> None:
    """Raise unless each set that is given, by its argument's name, is Images whose labels the head can give."""
    for name, images in sets.items():
        if images is not None:
            check_images(name, images)
            with torch.inference_mode(), evaluating(model):
                outputs = model(images.x[:1].to(next(model.parameters()).device)).shape[1]
            check_labels(name, images.y, outputs)
