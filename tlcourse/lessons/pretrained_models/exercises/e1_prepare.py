"""Prepare photos by the recipe of some weights."""

import torch
import torch.nn.functional as F
from torchvision.transforms._presets import ImageClassification
from torchvision.transforms.v2.functional import center_crop, resize

from tlcourse.checks.compare import differs, explain, misfit
from tlcourse.checks.spec import Case

ID, TITLE, POINTS, ENTRY_POINT, SECONDS = "02.1", "Prepare photos as the weights want them", 4, "prepare", 5
# Resizing bytes rounds to whole bytes, resizing floats does not: up to one step of 1/255, divided by std.
_TOLERANCE = 0.035


def cases(rng):
    for height, width, shorter, crop in ((48, 72, 32, 28), (60, 40, 30, 24), (36, 36, 44, 40)):
        coarse = torch.tensor(rng.uniform(0, 255, size=(2, 3, 6, 6)))
        smooth = F.interpolate(coarse, size=(height, width), mode="bilinear")  # photos are smooth, noise is not
        recipe = {
            "resize_size": shorter,
            "crop_size": crop,
            "mean": rng.uniform(0.3, 0.6, size=3).round(3).tolist(),
            "std": rng.uniform(0.15, 0.35, size=3).round(3).tolist(),
        }
        yield Case((smooth.permute(0, 2, 3, 1).round().byte().contiguous(), recipe))


def verify(case, output):
    photos, recipe = case.inputs
    x = photos.permute(0, 3, 1, 2)
    size, crop = recipe["resize_size"], recipe["crop_size"]
    wanted = ImageClassification(**recipe)(x)
    if problem := misfit("images", output, wanted.shape):
        return f"{problem} Want one (3, crop_size, crop_size) image for each photo, colours first."
    mean, std = (torch.tensor(recipe[key]).view(3, 1, 1) for key in ("mean", "std"))
    pixels = wanted * std + mean
    if not differs("", output, (255 * pixels - mean) / std, 255 * _TOLERANCE):
        return "You normalised bytes. mean and std belong to pixels in [0, 1]: divide by 255 first."
    square, unresized = ((center_crop(made, [crop]) / 255 - mean) / std for made in (resize(x, [size, size]), x))
    corner = (resize(x, [size])[..., :crop, :crop] / 255 - mean) / std
    mistakes = [
        (pixels, "The pixels are in [0, 1] and not normalised. Subtract mean and divide by std, per channel."),
        (pixels - mean, "You subtracted the mean. Divide by std as well."),
        ((pixels - mean.flip(0)) / std.flip(0), "mean and std are in the order red, green, blue. Yours are reversed."),
        (square, "You resized to a square, which bends the picture. Only the shorter side gets resize_size."),
        (unresized, "You did not resize. The shorter side gets resize_size before the crop."),
        (corner, "You cut out the upper left corner. The crop is at the centre."),
    ]
    problem = (
        "The images have the right shape and the wrong values. Resize the shorter side to resize_size, crop the centre, "
        "scale to [0, 1], then normalise each channel."
    )
    return explain("images", output, wanted, mistakes, _TOLERANCE, problem)
