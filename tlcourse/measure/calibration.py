"""Whether a classifier's confidence can be believed, on its own domain and on another."""

from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from tlcourse.data.images import Numbers


def expected_calibration_error(probabilities: Numbers, labels: Numbers, *, bins: int = 15) -> float:
    """Mean gap between confidence and accuracy, over bins of confidence (Guo et al., On Calibration of Modern Neural Networks, ICML, 2017).

    The confidence of an example is its largest probability. The bins are equally wide and weighted by their examples.

    Args:
        probabilities: (n, C) rows that add up to 1.
        labels: (n,) integers from 0 to C − 1.
        bins: at least 1.

    Returns:
        float in [0, 1].

    Raises:
        ValueError: not such arrays, bins below 1.
    """
    probabilities = check_probabilities("probabilities", probabilities)
    labels = _check_labels("labels", labels, probabilities)
    if bins < 1:
        raise ValueError(f"bins={bins}: take at least 1, usually 15")
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    number = np.minimum(np.ceil(confidence * bins).astype(int) - 1, bins - 1)  # the bins are (low, high]
    gaps = [abs((right[number == b] - confidence[number == b]).sum()) for b in np.unique(number)]
    return float(sum(gaps) / len(labels))


def fit_temperature(logits: Numbers, labels: Numbers) -> float:
    """The number by which to divide logits so that held-out labels become most likely (Guo et al., ICML, 2017).

    Above 1 the classifier was too confident. The order of the classes, and so the accuracy, stays as it is.

    Args:
        logits: (n, C) numbers, of images that the classifier was not trained on.
        labels: (n,) integers from 0 to C − 1.

    Returns:
        float between 0.01 and 100.

    Raises:
        ValueError: not such arrays, values that are not finite.
    """
    logits = _as_array("logits", logits)
    if logits.ndim != 2 or len(logits) == 0:
        raise ValueError(f"logits: want (n, C) numbers, n ≥ 1, got {logits.shape}")
    labels = _check_labels("labels", labels, logits)

    def loss(log_temperature):
        return -log_softmax(logits / np.exp(log_temperature), axis=1)[np.arange(len(labels)), labels].mean()

    found: Any = minimize_scalar(loss, bounds=(np.log(0.01), np.log(100)), method="bounded")
    return float(np.exp(found.x))


def average_thresholded_confidence(
    source_probabilities: Numbers, source_labels: Numbers, target_probabilities: Numbers
) -> float:
    """Predict the accuracy on a target without its labels (Garg et al., Leveraging Unlabeled Data to Predict Out-of-Distribution Performance, ICLR, 2022).

    The threshold is the confidence that as large a share of held-out source examples lies above as are classified
    rightly. The prediction is the share of target examples above it.

    Args:
        source_probabilities: (n, C) rows that add up to 1, of source images that the classifier was not trained on.
        source_labels: (n,) integers from 0 to C − 1.
        target_probabilities: (m, C) rows that add up to 1.

    Returns:
        float in [0, 1].

    Raises:
        ValueError: not such arrays.
    """
    source = check_probabilities("source_probabilities", source_probabilities)
    target = check_probabilities("target_probabilities", target_probabilities)
    labels = _check_labels("source_labels", source_labels, source)
    wrong = int((source.argmax(axis=1) != labels).sum())
    confidence = np.sort(source.max(axis=1))
    threshold = -np.inf if wrong == 0 else confidence[wrong - 1]
    return float((target.max(axis=1) > threshold).mean())


def check_probabilities(name: str, value: Numbers) -> np.ndarray:
    """The (n, C) float64 array of a matrix whose rows are probabilities; anything else raises, by the argument's name."""
    value = _as_array(name, value)
    if value.ndim != 2 or len(value) == 0 or (value < 0).any() or abs(value.sum(axis=1) - 1).max() > 1e-4:
        raise ValueError(f"{name}: want (n, C) rows of probabilities that add up to 1; take softmax of logits")
    return value


def _check_labels(name: str, labels: Numbers, scores: np.ndarray) -> np.ndarray:
    labels = np.asarray(labels)
    n, classes = scores.shape
    if labels.shape != (n,) or labels.dtype.kind not in "iu":
        raise ValueError(f"{name}: want one for each row, {n} integers; got {labels.shape} {labels.dtype}")
    if labels.min() < 0 or labels.max() >= classes:
        raise ValueError(
            f"{name}: run from {labels.min()} to {labels.max()}, but {classes} columns are for labels from 0 to {classes - 1}"
        )
    return labels


def _as_array(name: str, value: Any) -> np.ndarray:
    value = np.asarray(value.detach().cpu() if hasattr(value, "detach") else value, dtype=np.float64)
    if not np.isfinite(value).all():
        raise ValueError(f"{name}: has NaN or infinity in it")
    return value
