"""The one container for labelled images that every function of the course takes and returns."""

from dataclasses import dataclass
from typing import overload

import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike

Numbers = torch.Tensor | ArrayLike  # what is taken by functions that read arrays and tensors alike


@dataclass(frozen=True, eq=False)
class Images:
    """Labelled images, held in memory.

    Attributes:
        x: (n, 3, side, side) float32 tensor, values in [0, 1]. The course's own images have side 32; data.folder()
            reads larger ones for networks that want them.
        y: (n,) int64 tensor, values in 0 … len(classes) − 1.
        classes: the name of each class.

    `images[i]` with an int gives the pair (x, y) of one image, so a DataLoader takes it as it is;
    with a slice, an index tensor or a boolean mask it gives the Images chosen.

    Raises:
        TypeError: x or y is not a tensor of the type above.
        ValueError: a shape, a value range or a label is off.
    """

    x: torch.Tensor
    y: torch.Tensor
    classes: list[str]

    def __post_init__(self):
        check_pixels(self.x)
        if not isinstance(self.y, torch.Tensor) or self.y.dtype != torch.int64:
            raise TypeError(
                f"y: want an int64 tensor, got {_describe(self.y)}; use torch.as_tensor(y, dtype=torch.int64)"
            )
        if self.y.shape != self.x.shape[:1]:
            raise ValueError(f"y: want one label per image, shape ({len(self.x)},), got {tuple(self.y.shape)}")
        if len(self.y) and not 0 <= int(self.y.min()) <= int(self.y.max()) < len(self.classes):
            raise ValueError(
                f"y: labels run from {int(self.y.min())} to {int(self.y.max())}, but there are {len(self.classes)} "
                f"classes; renumber them to 0 … {len(self.classes) - 1}"
            )

    def __len__(self) -> int:
        return len(self.y)

    @overload
    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]: ...
    @overload
    def __getitem__(self, index: slice | torch.Tensor) -> "Images": ...
    def __getitem__(self, index):
        if isinstance(index, int):
            return self.x[index], int(self.y[index])
        return Images(self.x[index], self.y[index], self.classes)

    def __repr__(self) -> str:
        return f"Images({len(self)} of {'×'.join(map(str, self.x.shape[1:]))}, {len(self.classes)} classes)"


def halve(images: Images) -> Images:
    """Average 2×2 pixels: half the side, a quarter of the work for a convolution.

    Args:
        images: Images with an even side of at least 16. The handwritten digits were 8×8 once, so they lose nothing.

    Returns:
        Images.

    Raises:
        ValueError: an odd or a smaller side.
    """
    side = images.x.shape[-1]
    if side % 2 or side < 16:
        raise ValueError(f"images: are {side}×{side}; want an even side of at least 16")
    return Images(F.avg_pool2d(images.x, 2), images.y, images.classes)


def check_pixels(x: torch.Tensor) -> None:
    """Raise unless x is an (n, 3, side, side) float32 tensor with values in [0, 1] and a side of 8 or more."""
    if not isinstance(x, torch.Tensor) or x.dtype != torch.float32:
        raise TypeError(f"x: want a float32 tensor, got {_describe(x)}; use torch.as_tensor(x, dtype=torch.float32)")
    if x.ndim != 4 or x.shape[1] != 3 or x.shape[2] != x.shape[3] or x.shape[3] < 8:
        raise ValueError(
            f"x: want shape (n, 3, side, side), side at least 8, got {tuple(x.shape)}; repeat a grey image over 3 "
            "channels and resize to a square"
        )
    if x.numel() and not (x.min() >= 0 and x.max() <= 1):
        raise ValueError(
            f"x: want values in [0, 1], got {x.min():.3g} to {x.max():.3g}; divide bytes by 255, and check for NaN"
        )


def _describe(value):
    return f"a {value.dtype} tensor" if isinstance(value, torch.Tensor) else type(value).__name__
