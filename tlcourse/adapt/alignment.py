"""Losses that draw the features of two domains together, and the methods that use them in train_adapted."""

import torch

from tlcourse.adapt.batch import Batch, take_source

# Of the CORAL loss on a tiny_resnet's features beside a mean cross-entropy, chosen with a look at target labels. A weight
# of 30 helps a whole target as much, and harms one that lacks classes less.
CORAL_WEIGHT = 100.0


def coral_loss(source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """‖C_S − C_T‖²_F / 4d², how far apart the covariances of two sets of features are (Sun and Saenko, Deep CORAL, ECCV workshops, 2016).

    Args:
        source: (n, d) features, n ≥ 2.
        target: (m, d) features, m ≥ 2.

    Returns:
        tensor without dimensions, at least 0.

    Raises:
        ValueError: not two such matrices.
    """
    _check(source, target)
    difference = torch.cov(source.T).reshape(-1) - torch.cov(target.T).reshape(-1)
    return difference.square().sum() / (4 * source.shape[1] ** 2)


def mmd_loss(source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Maximum mean discrepancy squared, unbiased (Gretton et al., JMLR, 2012): how far apart two sets of features are.

    The mean of five Gaussian kernels exp(−d²/(s·m)), s ∈ {¼, ½, 1, 2, 4}, where m is the median of the squared distances
    between all pairs of points, taken as a constant.

    Args:
        source: (n, d) features, n ≥ 2.
        target: (m, d) features, m ≥ 2.

    Returns:
        tensor without dimensions; around 0, and so at times below it, if both come from the same distribution.

    Raises:
        ValueError: not two such matrices.
    """
    _check(source, target)
    n, m = len(source), len(target)
    kernel = gaussian_kernels(torch.cat([source, target]))
    within_source = (kernel[:n, :n].sum() - n) / (n * (n - 1))  # the diagonal, all ones, is left out
    within_target = (kernel[n:, n:].sum() - m) / (m * (m - 1))
    return within_source + within_target - 2 * kernel[:n, n:].mean()


def deep_coral(batch: Batch) -> torch.Tensor:
    """The method of Deep CORAL (Sun and Saenko, ECCV workshops, 2016): coral_loss between the features of a Batch."""
    features = take_source(batch)
    return coral_loss(features, batch.target_features)


def dan(batch: Batch) -> torch.Tensor:
    """The method of deep adaptation networks (Long et al., ICML, 2015): mmd_loss between the features of a Batch, plus mmd_loss between its logits."""
    features, logits = take_source(batch), batch.source_logits
    assert logits is not None  # they come with the features
    return mmd_loss(features, batch.target_features) + mmd_loss(logits, batch.target_logits)


def gaussian_kernels(points: torch.Tensor) -> torch.Tensor:
    """The (n, n) mean of five Gaussian kernels whose widths follow the median of the squared distances; see mmd_loss."""
    n = len(points)
    squares = points.square().sum(dim=1)
    distances = (squares[:, None] + squares - 2 * points @ points.T).clamp(min=0)  # cdist has no gradient at distance 0
    pairs = torch.triu_indices(n, n, offset=1)
    median = distances.detach()[pairs[0], pairs[1]].median().clamp(min=1e-12)
    kernels = (torch.exp(-distances / (scale * median)) for scale in (0.25, 0.5, 1, 2, 4))
    return sum(kernels, start=torch.zeros_like(distances)) / 5


def _check(source, target):
    for name, value in (("source", source), ("target", target)):
        if value.ndim != 2 or len(value) < 2 or value.shape[1] != source.shape[1]:
            raise ValueError(
                f"{name}: want (n, d) features, n ≥ 2, the same d as the other's; got {tuple(value.shape)}"
            )
    if source.device != target.device:
        raise ValueError(f"source is on {source.device} and target on {target.device}; move one with .to(device)")
