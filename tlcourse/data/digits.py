"""The real target domain: handwritten digits that scikit-learn ships."""

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits

from tlcourse.data.images import Images

_BLOCKS = {"all": slice(None), "train": slice(0, 900), "val": slice(900, 1100), "test": slice(1100, None)}


def digits(split: str = "all") -> Images:
    """Load the 1,797 handwritten digits of the UCI set, resized from 8×8 to 32×32 (bilinear).

    The file lists images in runs by writer, without saying where one writer ends. The splits are therefore
    contiguous blocks: a shuffled or stratified split would put the same hand into training and test data. Every block
    is near-balanced over the ten classes.

    Args:
        split: "train" (the first 900), "val" (the next 200), "test" (the last 697) or "all".

    Returns:
        Images: white ink on black, values in [0, 1]; classes "0" … "9".

    Raises:
        ValueError: unknown split.

    Reference: E. Alpaydin and C. Kaynak, Cascading Classifiers, Kybernetika, 1998 (the UCI data set).
    """
    if split not in _BLOCKS:
        raise ValueError(f"split={split!r}: use one of {', '.join(map(repr, _BLOCKS))}")
    pixels, labels = load_digits(return_X_y=True)
    grey = torch.as_tensor(pixels[_BLOCKS[split]], dtype=torch.float32).view(-1, 1, 8, 8) / 16
    x = F.interpolate(grey, size=(32, 32), mode="bilinear", align_corners=False)
    y = torch.as_tensor(labels[_BLOCKS[split]], dtype=torch.int64)
    return Images(x.expand(-1, 3, -1, -1).contiguous(), y, [str(digit) for digit in range(10)])
