"""Make the source more like the target, or more varied than it: adaptation before any training."""

import torch
import torch.nn.functional as F

from tlcourse.data.images import Images


def vary_strokes(images: Images, *, share: float = 0.5, seed: int = 0) -> Images:
    """Thicken the strokes of a share of the images by one pixel on every side (domain randomisation: Tobin et al., IROS, 2017).

    Args:
        images: Images, light ink on dark paper.
        share: of the images, in [0, 1].
        seed: draws them.

    Returns:
        Images.

    Raises:
        ValueError: share outside [0, 1].
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share={share}: want a share from 0 to 1")
    chosen = torch.rand(len(images), generator=torch.Generator().manual_seed(seed)) < share
    x = images.x.clone()
    x[chosen] = F.max_pool2d(x[chosen], kernel_size=3, stride=1, padding=1)
    return Images(x, images.y, images.classes)


def match_style(images: Images, target: Images, *, seed: int = 0) -> Images:
    """Give each image the mean and the standard deviation of the pixels of a random target image (after AdaIN: Huang and Belongie, ICCV, 2017).

    Args:
        images: Images of the source.
        target: Images of the target; labels are not read.
        seed: draws the pairs.

    Returns:
        Images, clamped to [0, 1].
    """
    other = target.x[torch.randint(len(target), (len(images),), generator=torch.Generator().manual_seed(seed))]
    axes = (1, 2, 3)
    mean, spread = images.x.mean(axes, keepdim=True), images.x.std(axes, keepdim=True).clamp(min=1e-6)
    x = (images.x - mean) / spread * other.std(axes, keepdim=True) + other.mean(axes, keepdim=True)
    return Images(x.clamp(0, 1), images.y, images.classes)
