"""Whether a classifier's confidence can be believed, on its own domain and on another."""

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax


def expected_calibration_error(probabilities, labels, *, bins=15):
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
    probabilities, labels = check_probabilities("probabilities", probabilities), _check_labels(labels)
    if labels.shape != probabilities.shape[:1] or labels.max() >= probabilities.shape[1]:
        raise ValueError(f"labels: want one of 0 to {probabilities.shape[1] - 1} for each of {len(probabilities)} rows")
    if bins < 1:
        raise ValueError(f"bins={bins}: take at least 1, usually 15")
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    number = np.minimum(np.ceil(confidence * bins).astype(int) - 1, bins - 1)  # the bins are (low, high]
    gaps = [abs((right[number == b] - confidence[number == b]).sum()) for b in np.unique(number)]
    return float(sum(gaps) / len(labels))


def fit_temperature(logits, labels):
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
    logits, labels = _as_array("logits", logits), _check_labels(labels)
    if logits.ndim != 2 or labels.shape != logits.shape[:1] or labels.max() >= logits.shape[1]:
        raise ValueError(f"labels: want one for each row of (n, C) logits; got {labels.shape} for {logits.shape}")

    def loss(log_temperature):
        return -log_softmax(logits / np.exp(log_temperature), axis=1)[np.arange(len(labels)), labels].mean()

    return float(np.exp(minimize_scalar(loss, bounds=(np.log(0.01), np.log(100)), method="bounded").x))


def average_thresholded_confidence(source_probabilities, source_labels, target_probabilities):
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
    labels = _check_labels(source_labels)
    if labels.shape != source.shape[:1]:
        raise ValueError(f"source_labels: want one for each of {len(source)} rows, got {labels.shape}")
    wrong = int((source.argmax(axis=1) != labels).sum())
    confidence = np.sort(source.max(axis=1))
    threshold = -np.inf if wrong == 0 else confidence[wrong - 1]
    return float((target.max(axis=1) > threshold).mean())


def check_probabilities(name, value):
    """The (n, C) float64 array of a matrix whose rows are probabilities; anything else raises, by the argument's name."""
    value = _as_array(name, value)
    if value.ndim != 2 or len(value) == 0 or (value < 0).any() or abs(value.sum(axis=1) - 1).max() > 1e-4:
        raise ValueError(f"{name}: want (n, C) rows of probabilities that add up to 1; take softmax of logits")
    return value


def _check_labels(labels):
    labels = np.asarray(labels)
    if labels.ndim != 1 or len(labels) == 0 or labels.dtype.kind not in "iu" or labels.min() < 0:
        raise ValueError(f"labels: want (n,) integers from 0, n ≥ 1; got {labels.shape} {labels.dtype}")
    return labels


def _as_array(name, value):
    value = np.asarray(value.detach().cpu() if hasattr(value, "detach") else value, dtype=np.float64)
    if not np.isfinite(value).all():
        raise ValueError(f"{name}: has NaN or infinity in it")
    return value
