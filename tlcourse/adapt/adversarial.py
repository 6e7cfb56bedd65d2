"""Domain-adversarial training: features that a classifier of domains cannot tell apart."""

import math

import torch
import torch.nn.functional as F
from torch import nn

from tlcourse.adapt.batch import Batch, take_source


class _Reverse(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, strength):
        ctx.strength = strength
        return x.view_as(x)

    @staticmethod
    def backward(ctx, gradient):
        return -ctx.strength * gradient, None


def grad_reverse(x: torch.Tensor, strength: float = 1.0) -> torch.Tensor:
    """Return x as it is, and turn its gradient around on the way back (Ganin et al., JMLR, 2016).

    Args:
        x: a tensor.
        strength: the factor λ of the gradient, at least 0.

    Raises:
        ValueError: strength below 0.
    """
    if not strength >= 0:
        raise ValueError(f"strength={strength}: want at least 0; the sign is turned here")
    return _Reverse.apply(x, strength)


def reversal_strength(progress: float, steepness: float = 10.0) -> float:
    """λ = 2 / (1 + exp(−γp)) − 1, which rises from 0 to almost 1, so that early features are not torn about (Ganin et al., JMLR, 2016).

    Args:
        progress: share p of the training that is done, in [0, 1].
        steepness: γ, above 0.

    Raises:
        ValueError: progress outside [0, 1], steepness not above 0.
    """
    if not 0 <= progress <= 1 or not steepness > 0:
        raise ValueError(f"progress={progress}, steepness={steepness}: want a share in [0, 1], and a number above 0")
    return 2 / (1 + math.exp(-steepness * progress)) - 1


class DomainDiscriminator(nn.Module):
    """Two layers that tell source features from target features; (n, width) features → (n,) logits, positive for the source.

    Args:
        width: of the features.
        hidden: units of the hidden layer.
        seed: draws the weights.
    """

    def __init__(self, width: int, hidden: int = 128, seed: int = 0):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.layers = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, 1))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.layers(features).squeeze(1)


class DANN(nn.Module):
    """The method of domain-adversarial networks (Ganin et al., JMLR, 2016), for train_adapted(method=DANN(128)).

    The discriminator learns to tell the domains apart; the network gets its gradient reversed, at a strength that grows
    as training goes on.

    Args:
        width: of the features.
        hidden: units of the discriminator's hidden layer.
        seed: draws its weights.

    Attributes:
        accuracies: the discriminator's accuracy on the batch of each step so far; 0.5 where it is confused.
    """

    def __init__(self, width: int, hidden: int = 128, seed: int = 0):
        super().__init__()
        self.discriminator = DomainDiscriminator(width, hidden, seed)
        self.accuracies = []

    def forward(self, batch: Batch) -> torch.Tensor:
        source = take_source(batch)
        features = torch.cat([source, batch.target_features])
        logits = self.discriminator(grad_reverse(features, reversal_strength(batch.progress)))
        is_source = torch.cat([torch.ones(len(source)), torch.zeros(len(batch.target_features))])
        is_source = is_source.to(logits.device)
        self.accuracies.append(((logits > 0) == (is_source > 0)).float().mean().item())
        return F.binary_cross_entropy_with_logits(logits, is_source)
