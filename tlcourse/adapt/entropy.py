"""Losses on the target's predictions alone: be certain, and do not give every image the same answer."""

import torch

from tlcourse.adapt.batch import Batch


def entropy(logits: torch.Tensor) -> torch.Tensor:
    """Entropy of each row's softmax, in nats: (n, C) logits → (n,), from 0 to log C."""
    log_probabilities = logits.log_softmax(dim=1)
    return -(log_probabilities.exp() * log_probabilities).sum(dim=1)


def mutual_information(logits: torch.Tensor) -> torch.Tensor:
    """Between example and answer: entropy of the mean prediction less the mean entropy, in nats, from 0 to log C.

    Args:
        logits: (n, C).

    Returns:
        tensor without dimensions.
    """
    shares = logits.softmax(dim=1).mean(dim=0)
    return -(shares * shares.clamp(min=1e-12).log()).sum() - entropy(logits).mean()


def information_maximisation(batch: Batch) -> torch.Tensor:
    """Minus the mutual information between target image and answer (Krause et al., NIPS, 2010; Liang et al., SHOT, ICML, 2020).

    Each answer is to be certain, and the answers are to differ, which keeps certainty from its trivial solution, one
    class for all. It presumes that all classes occur about equally often.

    Args:
        batch: a Batch; its target_logits are read.

    Returns:
        tensor without dimensions, from −log C to 0.
    """
    return -mutual_information(batch.target_logits)


def entropy_minimisation(batch: Batch) -> torch.Tensor:
    """Mean entropy of the target's predictions (Grandvalet and Bengio, NIPS, 2004), the loss of TENT (Wang et al., ICLR, 2021).

    Args:
        batch: a Batch; its target_logits are read.

    Returns:
        tensor without dimensions, from 0 to log C.
    """
    return entropy(batch.target_logits).mean()
