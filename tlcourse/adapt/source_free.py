"""Adapt where the source's images are gone and only the model is left."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from tlcourse.adapt.batch import Batch
from tlcourse.adapt.entropy import information_maximisation
from tlcourse.data.images import Images
from tlcourse.models.groups import find_head
from tlcourse.training.features import extract_features


def shot(target: Images, *, pseudo: float = 0.3, rounds: int = 5) -> Callable[[Batch], torch.Tensor]:
    """The loss of SHOT (Liang et al., Do We Really Need to Access the Source Data?, ICML, 2020), for train_adapted(source=None).

    Information maximisation, plus cross-entropy to labels by the nearest class prototype. The head stays as the source
    made it: freeze it with training.freeze or requires_grad before you train.

    Args:
        target: Images of the target; their labels are not read.
        pseudo: factor of the cross-entropy, at least 0.
        rounds: how often the prototypes are computed anew, at least 1.

    Returns:
        a method for train_adapted.

    Raises:
        ValueError: an argument out of range.
    """
    if not pseudo >= 0 or rounds < 1:
        raise ValueError(f"pseudo={pseudo}, rounds={rounds}: want at least 0, and at least 1")
    state: dict[str, Any] = {"round": None}

    def method(batch):
        number = int(batch.progress * rounds)
        if number != state["round"]:
            state.update(round=number, labels=prototype_labels(batch.model, target))
        labels = state["labels"][batch.target_index].to(batch.target_logits.device)
        return information_maximisation(batch) + pseudo * F.cross_entropy(batch.target_logits, labels)

    return method


@torch.no_grad()
def prototype_labels(model: nn.Module, images: Images) -> torch.Tensor:
    """Label images by the nearest class prototype, twice (Liang et al., ICML, 2020, equations 5 and 6).

    The prototypes are means of the features, weighted by the model's probabilities; then plain means of the features
    of each label. Distances are cosines.

    Args:
        model: network with a linear head; its mode is put back.
        images: Images; their labels are not read.

    Returns:
        (n,) int64 labels.
    """
    features = extract_features(model, images)
    head = find_head(model)
    device = head.weight.device
    weights = head(features.to(device)).softmax(dim=1).cpu()
    unit = F.normalize(torch.cat([features, torch.ones(len(features), 1)], dim=1))
    for _ in range(2):
        prototypes = F.normalize(weights.T @ unit)
        labels = (unit @ prototypes.T).masked_fill(weights.sum(dim=0) == 0, -2).argmax(dim=1)
        weights = F.one_hot(labels, weights.shape[1]).float()
    return labels
