"""What a method of domain adaptation sees of one step of training."""

from dataclasses import dataclass

import torch
from torch import nn


@dataclass(frozen=True)
class Batch:
    """What a method sees of one step: n labelled source images and m target images without labels.

    Attributes:
        model: the network that is trained, in train mode.
        source_features, source_logits, source_labels: (n, d), (n, C) and (n,); None where there is no source.
        target_features, target_logits: (m, d) and (m, C). Features are what enters the head.
        target_index: (m,) positions of the images in the target.
        progress: the share of the steps that is done, in [0, 1).
    """

    model: nn.Module
    source_features: torch.Tensor | None
    source_logits: torch.Tensor | None
    source_labels: torch.Tensor | None
    target_features: torch.Tensor
    target_logits: torch.Tensor
    target_index: torch.Tensor
    progress: float


def take_source(batch: Batch) -> torch.Tensor:
    """Features of the source, for a method that needs one.

    Raises:
        ValueError: there is no source.
    """
    if batch.source_features is None:
        raise ValueError("source: is None, but this method compares the target with a source; give train_adapted one")
    return batch.source_features
