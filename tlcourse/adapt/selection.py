"""Choose among adapted models without target labels."""

import torch
import torch.nn.functional as F
from torch import nn

from tlcourse.adapt.entropy import mutual_information
from tlcourse.adapt.reweighting import importance_weights
from tlcourse.data.images import Images
from tlcourse.training.features import extract_features
from tlcourse.training.labels import check_labels
from tlcourse.training.modes import evaluating


def validate_unlabelled(model: nn.Module, source: Images, target: Images) -> dict[str, float]:
    """Three validators of a model on held-out source images and unlabelled target images; each is better when higher.

    Args:
        model: network with a linear head.
        source: Images, labelled, that the model was not trained on.
        target: Images; labels are not read.

    Returns:
        dict: "source risk", minus the cross-entropy on the source; "importance-weighted", the same with each image
        weighted by how much its features look like the target's (Sugiyama et al., JMLR, 2007; You et al., DEV, ICML,
        2019, without the control variate); "information", the mutual information between target image and answer in
        nats (Musgrave et al., 2021), from 0 to log C.

    Raises:
        ValueError: a source label that the head has no output for.
    """
    with torch.no_grad(), evaluating(model):
        source_logits, target_logits = _logits(model, source), _logits(model, target)
    check_labels("source", source.y, source_logits.shape[1])
    losses = F.cross_entropy(source_logits, source.y, reduction="none").double()
    weights = importance_weights(extract_features(model, source), extract_features(model, target))
    return {
        "source risk": -losses.mean().item(),
        "importance-weighted": -((weights * losses).sum() / weights.sum()).item(),
        "information": mutual_information(target_logits).item(),
    }


def _logits(model: nn.Module, images: Images) -> torch.Tensor:
    device = next(model.parameters()).device
    return torch.cat([model(part.to(device)).cpu() for part in images.x.split(500)])
