"""Drawing training images: batched `glyphs` and `Shift` against the same transforms by torchvision, image by image.

The peer is what people write: a Dataset that picks a glyph, warps it with torchvision.transforms.v2 and hands it to a
DataLoader, without worker processes and with two; the faster counts. Its glyphs are rendered beforehand, as ours are. The
statistics of both outputs stand below the times: a pipeline that does less would be faster for nothing.
"""

import argparse
import itertools
import statistics

import torch
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as tv

from benchmarks import _report
from tlcourse import data
from tlcourse.data.glyphs import FONTS, LETTERS, _templates
from tlcourse.data.shift import _photographs

SHIFT = {"polarity": 0.5, "contrast": 0.5, "blur": 0.3, "noise": 0.3, "rotation": 0.2, "background": 0.5}


class Glyphs(Dataset):
    """Printed letters, one at a time."""

    def __init__(self, n, shift):
        self.templates = _templates(LETTERS, FONTS)
        self.photos = list(_photographs())
        self.shift = shift
        self.y = torch.arange(n).remainder(len(LETTERS))
        self.crop = v2.RandomCrop(32)
        self.blur = v2.GaussianBlur(7, sigma=3 * SHIFT["blur"])
        self.noise = v2.GaussianNoise(sigma=0.5 * SHIFT["noise"])

    def __len__(self):
        return len(self.y)

    def __getitem__(self, i):
        def uniform(low, high):
            return low + (high - low) * torch.rand(()).item()

        x = self.templates[torch.randint(len(FONTS), ()), self.y[i]]
        # The same draws as in data.glyphs; torchvision's affine scales both sides alike, so the canvas is resized first.
        size = [round(64 * uniform(0.8, 1.15)), round(64 * uniform(0.75, 1.25))]
        x = tv.center_crop(tv.resize(x, size), [64, 64])
        angle, shear = uniform(-17.2, 17.2), uniform(-16.7, 16.7)
        x = tv.affine(
            x,
            angle=angle,
            translate=[uniform(-0.06, 0.06) * 64, uniform(-0.04, 0.04) * 64],
            scale=1,
            shear=[shear, 0],
            interpolation=v2.InterpolationMode.BILINEAR,
        )
        field = tv.resize(0.09 * torch.randn(2, 4, 4), [64, 64], interpolation=v2.InterpolationMode.BICUBIC)
        x = tv.elastic(x, field.permute(1, 2, 0)[None], interpolation=v2.InterpolationMode.BILINEAR)
        x = tv.resize(x, [32, 32], antialias=False)
        if torch.rand(()) < 0.6:
            x = tv.resize(tv.resize(x, [10, 10], antialias=True), [32, 32])
        x = x.clamp(0, 1).expand(3, -1, -1)
        if self.shift:
            x = tv.rotate(x, 90 * SHIFT["rotation"], interpolation=v2.InterpolationMode.BILINEAR)
            x = 1 - x if torch.rand(()) < SHIFT["polarity"] else x
            x = (x - SHIFT["background"] * self.crop(self.photos[torch.randint(2, ())])).abs()
            x = self.noise(self.blur(0.5 + (1 - 0.9 * SHIFT["contrast"]) * (x - 0.5)))
        return x, self.y[i]


def batched(n, shift):
    images = data.glyphs(n, "letters")
    return (data.Shift(**SHIFT)(images) if shift else images).x


def one_by_one(n, shift, workers):
    loader = DataLoader(Glyphs(n, shift), batch_size=256, num_workers=workers)
    return torch.cat([x for x, _ in loader])


def statistics_of(x):
    """What a network sees of a set: mean and spread of the pixels, and how much neighbouring pixels differ."""
    rough = (x[..., 1:] - x[..., :-1]).abs().mean()
    return {"mean": x.mean().item(), "standard deviation": x.std().item(), "step to the next pixel": rough.item()}


def compare(n, shift, pairs):
    """(row, notes) of one size."""
    what = "glyphs and Shift" if shift else "glyphs"
    runs = {
        workers: _report.alternate(
            lambda: batched(n, shift), lambda workers=workers: one_by_one(n, shift, workers), pairs
        )
        for workers in (0, 2)
    }
    workers = min(runs, key=lambda workers: statistics.median(runs[workers][1]))
    pair = statistics_of(batched(n, shift)), statistics_of(one_by_one(n, shift, workers))
    notes = [f"{what}, {name}: ours {pair[0][name]:.3f}, the peer's {pair[1][name]:.3f}" for name in pair[0]]
    peer = f"torchvision v2 per image, {workers or 'no'} workers"
    return _report.row(f"{n:,} images, {what}", peer, *runs[workers]), notes


def main(arguments):
    parser = argparse.ArgumentParser(prog="python -m benchmarks data_generation", description=__doc__)
    parser.add_argument("--n", type=int, default=10_000, help="images")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="2,000 images, two pairs")
    options = parser.parse_args(arguments)
    n, pairs = (2000, 2) if options.quick else (options.n, options.pairs)
    batched(256, True), one_by_one(256, True, 0)  # templates and photographs are drawn once
    rows, notes = zip(*(compare(n, shift, pairs) for shift in (False, True)))
    return _report.report("data_generation", rows, ["torchvision"], notes=itertools.chain(*notes))
