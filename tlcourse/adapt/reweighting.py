"""Weights for the source: by how much an image looks like the target, or by which classes the target has."""

import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

from tlcourse.data.images import Images


def importance_weights(source: torch.Tensor, target: torch.Tensor, *, strength: float = 0.1) -> torch.Tensor:
    """Importance weights p(target | x) / p(source | x) by logistic regression (Bickel et al., ICML, 2007; Sugiyama et al., JMLR, 2007).

    Args:
        source: (n, d) features of the source's images, or their pixels.
        target: (m, d) features of the target's.
        strength: scikit-learn's C, above 0: the inverse of the penalty.

    Returns:
        (n,) float64 tensor, above 0; what lies above the 99% quantile is cut to it.

    Raises:
        ValueError: not two such matrices, strength not above 0.
    """
    for name, value in (("source", source), ("target", target)):
        if value.ndim != 2 or len(value) == 0 or value.shape[1] != source.shape[1]:
            raise ValueError(f"{name}: want (n, d) features, the same d on both sides; got {tuple(value.shape)}")
    if not strength > 0:
        raise ValueError(f"strength={strength}: want a number above 0")
    features = torch.cat([source, target])
    domain = torch.cat([torch.zeros(len(source)), torch.ones(len(target))])
    classifier = LogisticRegression(C=strength, max_iter=500).fit(features, domain)
    odds = torch.as_tensor(classifier.decision_function(source)).exp() * len(source) / len(target)
    return odds.clamp(max=odds.quantile(0.99))


@torch.no_grad()
def class_weights(network: nn.Module, target: Images) -> torch.Tensor:
    """How much each source class seems to occur in the target: its mean probability there, over the largest (Cao et al., PADA, ECCV, 2018).

    Args:
        network: classifier of the source's classes, in eval mode.
        target: Images; labels are not read.

    Returns:
        (C,) tensor in (0, 1], 1 for the most frequent class.
    """
    device = next(network.parameters()).device
    shares = torch.cat([network(part.to(device)).softmax(dim=1).cpu() for part in target.x.split(500)]).mean(dim=0)
    return shares / shares.max()
