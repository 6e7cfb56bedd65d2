"""Photographs and other well-known sets through torchvision: need a network once, or a folder that holds them."""

from pathlib import Path

import torch
import torch.nn.functional as F
from torchvision import datasets

from tlcourse.data.images import Images

_SETS = {
    "fashion": (datasets.FashionMNIST, "train"),
    "cifar10": (datasets.CIFAR10, "train"),
    "mnist": (datasets.MNIST, "train"),
    "usps": (datasets.USPS, "train"),
    "svhn": (datasets.SVHN, "split"),
}


def photos(name: str, split: str = "train", *, root: str | Path | None = None) -> Images:
    """Load a torchvision data set as 32×32 colour images; grey ones are repeated over three channels.

    Args:
        name: "fashion" (FashionMNIST), "cifar10", "mnist", "usps" or "svhn".
        split: "train" or "test".
        root: the folder that holds the data set in torchvision's layout, or is to hold it after the download.
            By default ~/.cache/tlcourse.

    Returns:
        Images, resized to 32×32 (bilinear), values in [0, 1].

    Raises:
        ValueError: unknown name or split.
        ConnectionError: the data is not in root and cannot be downloaded.
        OSError: root cannot be written to.
    """
    if name not in _SETS:
        raise ValueError(f"name={name!r}: use one of {', '.join(map(repr, _SETS))}")
    if split not in ("train", "test"):
        raise ValueError(f"split={split!r}: use 'train' or 'test'")
    kind, argument = _SETS[name]
    folder = Path(root).expanduser() if root is not None else Path.home() / ".cache" / "tlcourse"
    chosen = {"split": split} if argument == "split" else {"train": split == "train"}
    try:
        dataset = kind(folder, download=False, **chosen)
    except (RuntimeError, FileNotFoundError):  # torchvision's words for "not there, or damaged"
        dataset = _download(kind, folder, name, chosen)
    return _as_images(dataset)


def _download(kind, folder, name, chosen):
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(f"root={str(folder)!r} cannot be made ({error}); name a folder that you can write to") from error
    try:
        return kind(folder, download=True, **chosen)
    except PermissionError as error:
        raise PermissionError(
            f"root={str(folder)!r} cannot be written to; name a folder that you can write to"
        ) from error
    except (OSError, RuntimeError) as error:
        raise ConnectionError(
            f"{name!r} is not in {str(folder)!r} and could not be downloaded ({error}). Connect to a network once, or "
            "give root= a folder that holds it. Without either, use data.glyphs() and data.digits(), which need none."
        ) from error


def _as_images(dataset):
    x = torch.as_tensor(dataset.data)
    if x.ndim == 3:  # (n, height, width), grey
        x = x.unsqueeze(1).expand(-1, 3, -1, -1)
    elif x.shape[-1] == 3:  # (n, height, width, channels), as CIFAR10 stores it
        x = x.permute(0, 3, 1, 2)
    y = torch.as_tensor(dataset.labels if hasattr(dataset, "labels") else dataset.targets, dtype=torch.int64)
    classes = getattr(dataset, "classes", [str(label) for label in range(10)])
    if x.shape[-2:] == (32, 32):
        pixels = x.float() / 255
    else:
        parts = [F.interpolate(part.float() / 255, size=(32, 32), mode="bilinear") for part in x.split(2000)]
        pixels = torch.cat(parts)
    return Images(pixels.clamp(0, 1).contiguous(), y, list(classes))
