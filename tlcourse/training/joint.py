"""Joint training: the target's few images and the source's many, in every step."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from tlcourse.data.images import Images, Numbers
from tlcourse.training.labels import check_labels


def joint_loss(
    source: Images,
    *,
    weight: float = 1.0,
    image_weights: Numbers | None = None,
    batch_size: int = 20,
    seed: int = 0,
) -> Callable[[nn.Module], torch.Tensor]:
    """Make the source's share of joint training: at every step, the network's own loss on a batch of source images.

    The batch passes in train mode with statistics of its own, and BatchNorm's running statistics are left to the target:
    otherwise a source of another brightness would do harm through them alone.

    Args:
        source: Images with the target's classes, at least one.
        weight: factor of the loss, at least 0.
        image_weights: (n,) weights of the source's images, at least 0 and not all 0; only their ratios count. They set how
            often an image is drawn. By default all are equal.
        batch_size: source images per step, at least 2; they are drawn with replacement.
        seed: draws them.

    Returns:
        function of the network that returns the loss, a tensor without dimensions; for fit(penalty=…).

    Raises:
        ValueError: no images, an argument out of range, a wrong number of image weights; when it is called, a label that
            the network has no output for.
    """
    if len(source) == 0 or not weight >= 0 or batch_size < 2:
        raise ValueError(
            f"source: {len(source)} images, weight={weight}, batch_size={batch_size}: want at least 1, 0 and 2"
        )
    weights = torch.ones(len(source)) if image_weights is None else torch.as_tensor(image_weights).double()
    if weights.shape != (len(source),) or not (weights >= 0).all() or not 0 < weights.sum() < float("inf"):
        raise ValueError(f"image_weights: want {len(source)} finite weights of at least 0, at least one above 0")
    generator = torch.Generator().manual_seed(seed)

    def loss(network):
        index = torch.multinomial(weights, batch_size, replacement=True, generator=generator)
        device = next(network.parameters()).device
        momenta = {module: module.momentum for module in network.modules() if isinstance(module, _BatchNorm)}
        try:
            for norm in momenta:
                norm.momentum = 0.0
            logits = network(source.x[index].to(device, memory_format=torch.channels_last))
        finally:
            for norm, momentum in momenta.items():
                norm.momentum = momentum
        check_labels("source", source.y, logits.shape[1])
        return weight * F.cross_entropy(logits, source.y[index].to(device))

    return loss
