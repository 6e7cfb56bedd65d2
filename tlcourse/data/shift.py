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
_PART = 100  # images at a time: small parts stay in cache
_SHARP = 0.05  # pixels; a narrower Gaussian does not reach the next pixel
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

    def __call__(self, images: Images) -> Images:
        if not isinstance(images, Images):
            raise TypeError(
                f"images: want Images, got {type(images).__name__}; build one with data.Images(x, y, classes)"
            )
        x, n = images.x, len(images)
        if (self.clutter or self.background) and x.shape[-1] != 32:
            raise ValueError(f"clutter and background are made for 32×32 images; these are {x.shape[-1]}×{x.shape[-1]}")
        # One generator per property: turning one dial does not redraw the others.
        drawn = {name: torch.Generator().manual_seed(self.seed * 10 + i) for i, name in enumerate(_RANDOM)}
        parts = [slice(start, start + _PART) for start in range(0, n, _PART)]
        changed = torch.empty_like(x)
        if self.clutter:  # with pieces of other images, as turned as their own
            if self.rotation:
                x = torch.cat([self._turned(x[part]) for part in parts])
            x = _add_clutter(x, self.clutter, drawn["clutter"])
        swapped = torch.rand(n, 1, 1, 1, generator=drawn["polarity"]).lt_(self.polarity)
        backgrounds = _draw_crops(n, drawn["background"]) if self.background else None
        blur = [_blur_matrix(side, 3 * self.blur) for side in x.shape[-2:]] if 3 * self.blur > _SHARP else None
        for part in parts:
            now = x[part]
            if self.rotation and not self.clutter:
                now = self._turned(now)
            if self.polarity:
                now = (swapped[part] - now).abs_()  # 1 − x where ink and paper swap, and x elsewhere
            if backgrounds is not None:
                crops, places = backgrounds
                which, top, left = places[:, part]
                now = (now - self.background * crops[which, :, top, left]).abs_()
            if self.contrast:
                now = 0.5 + (1 - 0.9 * self.contrast) * (now - 0.5)
            if blur is not None:
                now = blur[0].T @ now @ blur[1]
            if self.noise:
                now = now + 0.5 * self.noise * torch.randn(now.shape, generator=drawn["noise"])
            torch.clamp(now, 0, 1, out=changed[part])
        return Images(changed, images.y, images.classes)

    def _turned(self, x):
        return rotate(x, 90 * self.rotation, InterpolationMode.BILINEAR)


def _blur_matrix(side, sigma):
    """(side, side): a row of pixels times this is the row under a Gaussian blur, reflected at its ends."""
    width = 2 * math.ceil(3 * sigma) + 1
    return gaussian_blur(torch.eye(side)[None], kernel_size=[width, 1], sigma=[sigma, sigma])[0]


def _add_clutter(x, strength, generator):
    n, x = len(x), x.clone()
    window = torch.arange(_WINDOW)
    for _ in range(_WINDOWS):
        top, left = torch.randint(0, 33 - _WINDOW, (2, n, 1, 1, 1), generator=generator)
        present = torch.rand(n, generator=generator) < strength
        other = torch.randint(n, (n,), generator=generator)
        changed = present.nonzero()
        place = (top[present].view(-1, 1, 1) + window[:, None], left[present].view(-1, 1, 1) + window)
        mine, theirs = ((images[:, None], slice(None), *place) for images in (changed, other[present].view(-1, 1)))
        x[mine] = torch.maximum(x[mine], x[theirs])
    return x


def _draw_crops(n, generator):
    """All 32×32 crops of the photographs, a view (photograph, 3, top, left, 32, 32), and (3, n) indices of n of them.

    The photographs are at half their size, so that a crop shows some structure.
    """
    crops = _photographs().unfold(2, 32, 1).unfold(3, 32, 1)
    return crops, torch.stack([torch.randint(crops.shape[i], (n,), generator=generator) for i in (0, 2, 3)])


@lru_cache(maxsize=1)
def _photographs():
    pictures = torch.stack([torch.from_numpy(picture.copy()) for picture in load_sample_images().images])
    return F.interpolate(pictures.permute(0, 3, 1, 2).float() / 255, scale_factor=0.5, mode="area")
