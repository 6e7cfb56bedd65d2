"""A dial that moves images away from their domain, one property at a time."""

import math
from dataclasses import dataclass, fields
from functools import lru_cache

import torch
import torch.nn.functional as F
from sklearn.datasets import load_sample_images
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2.functional import gaussian_blur, rotate

from tlcourse.data.images import Images

_RANDOM = ("clutter", "polarity", "background", "noise")
_WINDOW, _WINDOWS = 8, 6  # side of a piece of clutter in pixels, and how many there are at strength 1


@dataclass(frozen=True)
class Shift:
    """Change the domain of images and leave their labels alone. Every strength is in [0, 1]; 0 changes nothing.

    Args:
        polarity: the share of images whose ink and paper swap.
        contrast: how much contrast is lost; 1 leaves a tenth of it.
        blur: Gaussian blur; 1 is a standard deviation of 3 pixels.
        noise: Gaussian pixel noise; 1 is a standard deviation of 0.5.
        rotation: a turn of every image, anticlockwise; 1 is 90 degrees.
        clutter: the chance that each of six 8×8 windows is overlaid with a piece of another image.
        background: a photographic background b, blended as abs(x − strength · b) in colour, as MNIST-M is made
            (Ganin et al., Domain-Adversarial Training of Neural Networks, JMLR, 2016); the photographs are the two
            that scikit-learn ships.
        seed: draws all that is random; the same seed gives the same bytes.

    Calling the Shift on Images returns new Images; the input is not changed.

    Raises:
        ValueError: a strength outside [0, 1], or clutter or background on images that are not 32×32.
        TypeError: called on something else than Images.
    """

    polarity: float = 0
    contrast: float = 0
    blur: float = 0
    noise: float = 0
    rotation: float = 0
    clutter: float = 0
    background: float = 0
    seed: int = 0

    def __post_init__(self):
        for field in fields(self)[:-1]:
            strength = getattr(self, field.name)
            if not 0 <= strength <= 1:
                raise ValueError(f"{field.name}={strength}: want a strength from 0 to 1")

    def __call__(self, images):
        if not isinstance(images, Images):
            raise TypeError(
                f"images: want Images, got {type(images).__name__}; build one with data.Images(x, y, classes)"
            )
        x, n = images.x, len(images)
        if (self.clutter or self.background) and x.shape[-1] != 32:
            raise ValueError(f"clutter and background are made for 32×32 images; these are {x.shape[-1]}×{x.shape[-1]}")
        # One generator per property: turning one dial does not redraw the others.
        drawn = {name: torch.Generator().manual_seed(self.seed * 10 + i) for i, name in enumerate(_RANDOM)}
        if self.rotation:
            x = rotate(x, 90 * self.rotation, interpolation=InterpolationMode.BILINEAR)
        if self.clutter:
            x = _add_clutter(x, self.clutter, drawn["clutter"])
        if self.polarity:
            swapped = torch.rand(n, generator=drawn["polarity"]) < self.polarity
            x = torch.where(swapped.view(-1, 1, 1, 1), 1 - x, x)
        if self.background:
            x = (x - self.background * _photo_crops(n, drawn["background"])).abs()
        if self.contrast:
            x = 0.5 + (1 - 0.9 * self.contrast) * (x - 0.5)
        sigma = 3 * self.blur
        if sigma > 0.05:  # a narrower Gaussian does not reach the next pixel
            side = 2 * math.ceil(3 * sigma) + 1
            x = gaussian_blur(x, kernel_size=[side, side], sigma=[sigma, sigma])
        if self.noise:
            x = x + 0.5 * self.noise * torch.randn(x.shape, generator=drawn["noise"])
        return Images(x.clamp(0, 1), images.y, images.classes)


def _add_clutter(x, strength, generator):
    n = len(x)
    rows = torch.arange(32).view(1, 1, 32, 1)
    columns = torch.arange(32).view(1, 1, 1, 32)
    for _ in range(_WINDOWS):
        top, left = torch.randint(0, 33 - _WINDOW, (2, n, 1, 1, 1), generator=generator)
        present = (torch.rand(n, generator=generator) < strength).view(-1, 1, 1, 1)
        inside = (rows >= top) & (rows < top + _WINDOW) & (columns >= left) & (columns < left + _WINDOW)
        other = x[torch.randint(n, (n,), generator=generator)]
        x = torch.where(inside & present, torch.maximum(x, other), x)
    return x


def _photo_crops(n, generator):
    """(n, 3, 32, 32) random crops of the two photographs, at half their size so that a crop shows some structure."""
    photos = _photographs()
    which = torch.randint(len(photos), (n,), generator=generator)
    height, width = photos.shape[-2:]
    top = torch.randint(height - 31, (n,), generator=generator)
    left = torch.randint(width - 31, (n,), generator=generator)
    offsets = torch.arange(32)
    row = (top.view(-1, 1) + offsets).view(-1, 32, 1)
    column = (left.view(-1, 1) + offsets).view(-1, 1, 32)
    return photos[which.view(-1, 1, 1), :, row, column].permute(0, 3, 1, 2)


@lru_cache(maxsize=1)
def _photographs():
    pictures = torch.stack([torch.from_numpy(picture.copy()) for picture in load_sample_images().images])
    return F.interpolate(pictures.permute(0, 3, 1, 2).float() / 255, scale_factor=0.5, mode="area")
