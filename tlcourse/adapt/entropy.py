"""Losses on the target's predictions alone: be certain, and do not give every image the same answer."""


def entropy(logits):
    """Entropy of each row's softmax, in nats: (n, C) logits → (n,), from 0 to log C."""
    log_probabilities = logits.log_softmax(dim=1)
    return -(log_probabilities.exp() * log_probabilities).sum(dim=1)


def information_maximisation(batch):
    """Mean entropy of the target's predictions less the entropy of their mean (Krause et al., NIPS, 2010; Liang et al., SHOT, ICML, 2020).

    The negative of the mutual information between image and answer. The second term keeps the first from its trivial
    solution, one class for all; it presumes that all classes occur about equally often.

    Args:
        batch: a Batch; its target_logits are read.

    Returns:
        tensor without dimensions, from −log C to 0.
    """
    shares = batch.target_logits.softmax(dim=1).mean(dim=0)
    diversity = -(shares * shares.clamp(min=1e-12).log()).sum()
    return entropy(batch.target_logits).mean() - diversity


def entropy_minimisation(batch):
    """Mean entropy of the target's predictions (Grandvalet and Bengio, NIPS, 2004), the loss of TENT (Wang et al., ICLR, 2021).

    Args:
        batch: a Batch; its target_logits are read.

    Returns:
        tensor without dimensions, from 0 to log C.
    """
    return entropy(batch.target_logits).mean()
