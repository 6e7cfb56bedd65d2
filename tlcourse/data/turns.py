"""Turned images whose turn is the label: a task that needs no one to label anything."""

import torch

from tlcourse.data.images import Images


def turn_quarters(images: Images, seed: int = 0) -> Images:
    """Turn every image by 0, 90, 180 or 270 degrees; the turn becomes the label (Gidaris et al., ICLR, 2018).

    Args:
        images: Images, square.
        seed: draws the turns.

    Returns:
        Images of the classes "0°", "90°", "180°" and "270°", counter-clockwise.
    """
    turns = torch.randint(4, (len(images),), generator=torch.Generator().manual_seed(seed))
    x = images.x.clone()
    for k in range(1, 4):
        x[turns == k] = images.x[turns == k].rot90(k, dims=(2, 3))
    return Images(x, turns, ["0°", "90°", "180°", "270°"])
