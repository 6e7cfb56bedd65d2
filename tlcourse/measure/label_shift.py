"""Label shift: classes keep their looks and change their shares. Estimate the new shares without target labels."""

import numpy as np

from tlcourse.data.images import Numbers
from tlcourse.measure.calibration import check_probabilities


def bbse_weights(
    source_predictions: Numbers,
    source_labels: Numbers,
    target_predictions: Numbers,
    *,
    classes: int,
    largest_condition: float = 100.0,
) -> np.ndarray:
    """How much more frequent each class is in the target, by black-box shift estimation (Lipton et al., Detecting and Correcting for Label Shift with Black Box Predictors, ICML, 2018).

    Solves C w = μ: C_ij is the share of held-out source examples of class j that are predicted as i, μ_i the share of
    target examples predicted as i. Negative weights become 0, and the weights are scaled so that the target's shares,
    w_j · p_source(j), add up to 1.

    Args:
        source_predictions: (n,) predicted classes of source examples that the classifier was not trained on.
        source_labels: (n,) their labels; every class occurs.
        target_predictions: (m,) predicted classes of target examples.
        classes: how many there are; labels and predictions are integers below it.
        largest_condition: a confusion matrix with a larger condition number is refused.

    Returns:
        (classes,) float64 array, at least 0; 1 where the share did not change.

    Raises:
        ValueError: not such arrays, a class without source labels, a classifier that confuses classes so much that the
            shares cannot be told apart.
    """
    predictions = _check_integers("source_predictions", source_predictions, classes)
    labels = _check_integers("source_labels", source_labels, classes)
    seen = _check_integers("target_predictions", target_predictions, classes)
    if len(predictions) != len(labels):
        raise ValueError(f"source_labels: want one for each of {len(predictions)} predictions, got {len(labels)}")
    joint = np.zeros((classes, classes))
    np.add.at(joint, (predictions, labels), 1 / len(labels))
    source_shares = joint.sum(axis=0)
    if (source_shares == 0).any():
        raise ValueError(
            f"source_labels: class {int(source_shares.argmin())} does not occur; give held-out examples of it"
        )
    condition = np.linalg.cond(joint / source_shares)
    if not condition <= largest_condition:
        raise ValueError(
            f"source_predictions: the confusion matrix has condition number {condition:.3g}, above {largest_condition:g}: "
            "the classifier hardly tells some classes apart. Take a better one, or merge those classes"
        )
    weights = np.linalg.solve(joint, np.bincount(seen, minlength=classes) / len(seen)).clip(min=0)
    return weights / (weights @ source_shares)


def mlls_weights(
    target_probabilities: Numbers, source_shares: Numbers, *, iterations: int = 1000, tolerance: float = 1e-8
) -> np.ndarray:
    """The same weights by maximum likelihood, with expectation maximisation (Saerens et al., Neural Computation, 2002; Alexandari et al., ICML, 2020).

    Each round divides the classifier's probabilities by the old shares, multiplies by the new, and takes the mean as the
    next shares. It trusts the probabilities: calibrate them first, on the source.

    Args:
        target_probabilities: (m, C) rows that add up to 1.
        source_shares: (C,) shares of the classes that the classifier was trained with, each above 0, adding up to 1.
        iterations: at most so many rounds.
        tolerance: stop when no share moves by more.

    Returns:
        (C,) float64 array, at least 0; 1 where the share did not change.

    Raises:
        ValueError: not such arrays.
    """
    probabilities = check_probabilities("target_probabilities", target_probabilities)
    source_shares = np.asarray(source_shares, dtype=np.float64)
    if (
        source_shares.shape != probabilities.shape[1:]
        or not (source_shares > 0).all()
        or abs(source_shares.sum() - 1) > 1e-4
    ):
        raise ValueError(f"source_shares: want {probabilities.shape[1]} numbers above 0 that add up to 1")
    weights = np.ones(len(source_shares))
    for _ in range(iterations):
        posterior = reweigh(probabilities, weights)
        moved = posterior.mean(axis=0) / source_shares - weights
        weights = weights + moved
        if abs(moved * source_shares).max() < tolerance:
            break
    return weights


def reweigh(probabilities: Numbers, weights: Numbers) -> np.ndarray:
    """Correct a classifier's probabilities for new class shares: multiply by the weights and normalise each row.

    Args:
        probabilities: (n, C) rows that add up to 1.
        weights: (C,) target share over source share of each class, at least 0.

    Returns:
        (n, C) float64 array. A row whose classes all have weight 0 is left as it is.

    Raises:
        ValueError: shapes that do not fit, a weight below 0.
    """
    probabilities, weights = np.asarray(probabilities, dtype=np.float64), np.asarray(weights, dtype=np.float64)
    if probabilities.ndim != 2 or weights.shape != probabilities.shape[1:] or not (weights >= 0).all():
        raise ValueError(
            f"weights: want one of at least 0 for each class; got {weights.shape} for {probabilities.shape}"
        )
    weighted = probabilities * weights
    totals = weighted.sum(axis=1, keepdims=True)
    return np.divide(weighted, totals, out=probabilities.copy(), where=totals > 0)


def _check_integers(name: str, value: Numbers, classes: int) -> np.ndarray:
    value = np.asarray(value)
    if value.ndim != 1 or len(value) == 0 or value.dtype.kind not in "iu" or value.min() < 0 or value.max() >= classes:
        raise ValueError(f"{name}: want (n,) integers from 0 to {classes - 1}, n ≥ 1; got {value.shape} {value.dtype}")
    return value
