"""Self-training: the model's own answers on the target become its labels."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from tlcourse.adapt.batch import Batch
from tlcourse.data.images import Images
from tlcourse.training.modes import evaluating


def naive_self_training(batch: Batch) -> torch.Tensor:
    """Cross-entropy of each target image to the network's own current answer (Lee, ICML workshop, 2013).

    Nothing keeps wrong answers out and nothing keeps the classes apart, so it can end in one class for all.

    Args:
        batch: a Batch; its target_logits are read.
    """
    return F.cross_entropy(batch.target_logits, batch.target_logits.detach().argmax(dim=1))


def balanced_self_training(
    target: Images, *, shares: Sequence[float] = (0.2, 0.4, 0.6, 0.8)
) -> Callable[[Batch], torch.Tensor]:
    """Self-training on the most confident share of each predicted class (Zou et al., class-balanced self-training, ECCV, 2018).

    The steps are divided into as many rounds as there are shares. At the beginning of a round the network labels all of
    the target in eval mode; of each predicted class the most confident share keeps its label until the next round. Give
    it a network that has been trained on the source (a warm start).

    Args:
        target: Images of the target; their labels are not read.
        shares: what is kept in each round, in (0, 1], not falling.

    Returns:
        a method for train_adapted.

    Raises:
        ValueError: no shares, or not such shares.
    """
    if not shares or any(not 0 < share <= 1 for share in shares) or list(shares) != sorted(shares):
        raise ValueError(f"shares={shares}: want shares in (0, 1] that do not fall, such as (0.2, 0.5, 0.8)")
    state: dict[str, Any] = {"round": None}

    def method(batch):
        number = min(int(batch.progress * len(shares)), len(shares) - 1)
        if number != state["round"]:
            labels, kept = confident_labels(batch.model, target, shares[number])
            state.update(round=number, labels=labels, kept=kept)
        chosen = state["kept"][batch.target_index]
        labels = state["labels"][batch.target_index].to(batch.target_logits.device)
        losses = F.cross_entropy(batch.target_logits, labels, reduction="none")
        return (losses * chosen.to(losses.device)).mean()

    return method


@torch.no_grad()
def confident_labels(model: nn.Module, images: Images, share: float) -> tuple[torch.Tensor, torch.Tensor]:
    """The answers of a network, and which are among the most confident share of their predicted class.

    Args:
        model: network; it is read in eval mode and put back.
        images: Images.
        share: in (0, 1]; at least one image of each predicted class is kept.

    Returns:
        ((n,) int64 labels, (n,) bool kept).
    """
    device = next(model.parameters()).device
    with evaluating(model):
        probabilities = torch.cat([model(part.to(device)).softmax(dim=1).cpu() for part in images.x.split(500)])
    confidence, labels = probabilities.max(dim=1)
    kept = torch.zeros(len(labels), dtype=torch.bool)
    for label in labels.unique():
        members = (labels == label).nonzero().squeeze(1)
        best = confidence[members].argsort(descending=True)[: max(1, round(share * len(members)))]
        kept[members[best]] = True
    return labels, kept
