"""A learner's own pictures: a folder with one sub-folder for each class."""

from pathlib import Path

import torch
from PIL import Image, ImageOps
from torchvision.datasets import ImageFolder
from torchvision.transforms.v2 import functional as transforms

from tlcourse.data.images import Images


def folder(path: str | Path, side: int = 32) -> Images:
    """Read a folder of pictures, one sub-folder for each class, in the layout of torchvision's ImageFolder.

    Args:
        path: the folder: path/cats/1.jpg, path/dogs/2.png, …
        side: pixels of the square that the shorter side of each picture is reduced to; what sticks out is cut off on
            both ends. 32 fits the course's networks; 256 leaves torchvision's transforms() what they want. A thousand
            pictures of side 256 take 0.8 GB.

    Returns:
        Images of (n, 3, side, side), the classes in alphabetical order, turned as their camera noted it.

    Raises:
        ValueError: side below 8, no sub-folders, one without pictures, a file that is no picture.
        FileNotFoundError: no such folder.
    """
    path = Path(path).expanduser()
    if side < 8:
        raise ValueError(f"side={side}: want at least 8 pixels")
    if not path.is_dir():
        raise FileNotFoundError(f"path={str(path)!r}: there is no such folder")
    try:
        found = ImageFolder(path)
    except FileNotFoundError as error:  # torchvision's word for "no sub-folders" and "none of its pictures"
        raise ValueError(
            f"path={str(path)!r}: want one sub-folder for each class, with pictures in it ({error})"
        ) from error
    x = torch.stack([_read(file, side) for file, _ in found.samples])
    return Images(x, torch.tensor(found.targets, dtype=torch.int64), found.classes)


def _read(file: str, side: int) -> torch.Tensor:
    try:
        with Image.open(file) as picture:
            pixels = transforms.pil_to_tensor(ImageOps.exif_transpose(picture).convert("RGB"))
    except OSError as error:
        raise ValueError(f"{file} is no picture that can be read ({error}); take it out of the folder") from error
    pixels = transforms.resize(pixels, [side], antialias=True)
    return transforms.center_crop(pixels, [side]).float() / 255
