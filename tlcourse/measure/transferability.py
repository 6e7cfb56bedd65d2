"""Scores that rank candidate sources from one pass over the target: no gradient step is taken.

All compute in float64 and read the features in slices, so that no second (N, D) array is made.
"""

import math
from typing import Any

import numpy as np
import torch
from scipy.linalg import cho_factor, cho_solve, eigh
from scipy.linalg.blas import dsyrk  # pyright: ignore[reportAttributeAccessIssue], it is made at import
from scipy.optimize import minimize_scalar
from sklearn.model_selection import StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier

from tlcourse.data.images import Numbers
from tlcourse.training import fit_head

SLICE = 2**18  # numbers turned into float64 at a time: few enough to stay in a processor's cache


def logme(features: Numbers, labels: Numbers) -> float:
    """Log of the maximum evidence, per example and class (You et al., LogME, ICML, 2021). Higher is better.

    Each class is a regression of its indicator on the features, with no intercept: y ~ N(Fw, β⁻¹I), w ~ N(0, α⁻¹I).
    The evidence is maximised over α and β for each class, and averaged over the classes that occur. The scale of the
    features does not matter; a constant added to them does.

    Args:
        features: (N, D) numbers, array or tensor.
        labels: (N,) integers from 0. Classes that do not occur are left out.

    Returns:
        float; infinite if a linear map of fewer than N dimensions reproduces the labels exactly.

    Raises:
        ValueError: not such arrays, values that are not finite, fewer than two classes.
    """
    features, labels = _check(features, labels)
    n, width = features.shape
    indicators = _indicators(labels)  # (N, C)
    # With F = U S Vᵀ the evidence needs only the squared singular values and Uᵀy. The smaller Gram matrix gives both.
    if width <= n:
        gram, sums = _gram(features, indicators)
        eigenvalues, vectors, kept = _eigen(gram)
        projected = (vectors[:, kept].T @ sums.T) ** 2 / eigenvalues[kept, None]
    else:
        whole = features.astype(np.float64)
        eigenvalues, vectors, kept = _eigen(whole @ whole.T)
        projected = (vectors[:, kept].T @ indicators) ** 2
    if not kept.any():
        raise ValueError("features: all are zero, so there is nothing to score")
    return float(np.mean(_max_evidence(eigenvalues[kept], projected, indicators.sum(axis=0), n)))


def _max_evidence(eigenvalues, projected, totals, n):
    """Largest log evidence per example, of each class.

    For a given ratio λ = α/β the best β is known: n / Q with Q = yᵀ(I + FFᵀ/λ)⁻¹y. What remains is one dimension, log λ.
    The usual fixed point in α and β can stop early or run off; this cannot.

    Args: eigenvalues (k,) of FFᵀ above zero; projected (k, C) squares of Uᵀy; totals (C,) yᵀy; n examples.
    """
    outside = totals - projected.sum(axis=0)  # what no linear map of the features reaches
    outside[outside < 1e-10 * totals] = 0

    def cost(log_ratio, classes):
        ratio = np.exp(np.atleast_1d(log_ratio))[:, None]
        quadratic = outside[classes] + (ratio / (ratio + eigenvalues)) @ projected[:, classes]
        return np.log(quadratic) + np.log1p(eigenvalues / ratio).sum(axis=1, keepdims=True) / n  # (ratios, classes)

    def cost_of_one(log_ratio, c):
        return cost(log_ratio, [c]).item()

    grid = np.linspace(math.log(eigenvalues.min()) - 12, math.log(eigenvalues.max()) + 12, 60)
    nearest = cost(grid, slice(None)).argmin(axis=0)
    evidence = []
    for c, best in enumerate(nearest):
        if outside[c] == 0 and len(eigenvalues) < n:
            evidence.append(math.inf)
            continue
        around = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
        found: Any = minimize_scalar(cost_of_one, args=(c,), bounds=around, method="bounded", options={"xatol": 1e-7})
        lowest = min(found.fun, math.log(totals[c]))  # log of the total: α has no bound and the weights are zero
        evidence.append(-(lowest - math.log(n) + math.log(2 * math.pi) + 1) / 2)
    return evidence


def leep(source_probs: Numbers, labels: Numbers) -> float:
    """Log expected empirical prediction (Nguyen et al., LEEP, ICML, 2020): at most 0, higher is better.

    How well the target's labels are predicted by way of the source's own classes: first the source's prediction z,
    then the frequency of each label given z.

    Args:
        source_probs: (N, Z) probabilities from the source's head (after softmax) on the target's images.
        labels: (N,) integers from 0.

    Raises:
        ValueError: not such arrays, rows that are no probabilities, fewer than two classes.
    """
    probs, labels = _check(source_probs, labels, name="source_probs")
    indicators = _indicators(labels)
    joint = np.zeros((indicators.shape[1], probs.shape[1]))
    for p, y in _slices(probs, indicators):
        if not (p.min() >= 0 and np.abs(p.sum(axis=1) - 1).max() < 1e-3):
            raise ValueError("source_probs: a row is no probability distribution; give softmax outputs, not logits")
        joint += y.T @ p
    marginal = joint.sum(axis=0)
    given = joint / np.where(marginal > 0, marginal, 1)  # a source class that never gets any probability says nothing
    score = 0.0
    for p, y in _slices(probs, indicators):
        score += np.log(((p @ given.T) * y).sum(axis=1)).sum()
    return float(score / len(labels))


def nce(source_labels: Numbers, labels: Numbers) -> float:
    """Negative conditional entropy −H(Y|Z) in nats (Tran et al., ICCV, 2019): at most 0, higher is better.

    Args:
        source_labels: (N,) integers: the class that the source's head gives to each of the target's images.
        labels: (N,) integers from 0.

    Raises:
        ValueError: not two such arrays of the same length.
    """
    labels = _check_labels(labels)
    source_labels = _check_labels(source_labels, name="source_labels")
    if len(source_labels) != len(labels):
        raise ValueError(f"source_labels: want one for each of the {len(labels)} labels, got {len(source_labels)}")
    width = labels.max() + 1
    joint = np.bincount(source_labels * width + labels, minlength=(source_labels.max() + 1) * width).reshape(-1, width)
    rows, columns = joint.nonzero()
    counts = joint[rows, columns]
    return float((counts * np.log(counts / joint.sum(axis=1)[rows])).sum() / len(labels))


def h_score(features: Numbers, labels: Numbers, shrinkage: float = 0.0) -> float:
    """tr(Σ⁻¹ Σ_B): how far the class means lie apart, in units of the features' spread (Bao et al., ICIP, 2019).

    Between 0 and the number of classes − 1, which it reaches whenever N is not well above D: then shrink. With
    shrinkage s, Σ becomes (1−s)Σ + s·tr(Σ)/D·I and the score (1−s)·tr(Σ⁻¹ Σ_B) (Ibrahim et al., Newer is not always
    better, ECML PKDD, 2022); they take s from sklearn.covariance.ledoit_wolf_shrinkage(features).

    Args:
        features: (N, D) numbers.
        labels: (N,) integers from 0.
        shrinkage: in [0, 1].

    Raises:
        ValueError: not such arrays, values that are not finite, fewer than two classes, features that never vary.
    """
    if not 0 <= shrinkage <= 1:
        raise ValueError(f"shrinkage={shrinkage}: want a number in [0, 1]")
    features, labels = _check(features, labels)
    n, width = features.shape
    indicators = _indicators(labels)
    origin = features[:1000].mean(axis=0, dtype=np.float64)  # close to the mean: nothing large is subtracted below
    gram, sums = _gram(features, indicators, origin)
    counts = indicators.sum(axis=0)
    mean = sums.sum(axis=0) / n
    covariance = gram / n - np.outer(mean, mean)
    if not np.trace(covariance) > 0:
        raise ValueError("features: they are the same for every example, so there is nothing to score")
    between = (sums / counts[:, None] - mean) * np.sqrt(counts / n)[:, None]  # (C, D): Σ_B = betweenᵀ between
    if shrinkage > 0:
        covariance *= 1 - shrinkage
        covariance[np.diag_indices(width)] += shrinkage * np.trace(gram / n - np.outer(mean, mean)) / width
        return float((1 - shrinkage) * (between * cho_solve(cho_factor(covariance), between.T).T).sum())
    eigenvalues, vectors, kept = _eigen(covariance)  # not a Cholesky: features that repeat each other are common
    return float(((between @ vectors[:, kept]) ** 2 / eigenvalues[kept]).sum())


def transrate(features: Numbers, labels: Numbers, eps: float = 1e-4) -> float:
    """Coding rate of all features less that within classes (Huang et al., Frustratingly easy transferability estimation, ICML, 2022).

    R(Z) − mean over the classes of R(Z_c), where R(Z) = ½ log det(I + ZᵀZ/(n·eps)) and Z is centred once, over all. The
    paper weighs classes by size in one place and not in another; here each counts the same. In nats; higher is better.

    Args:
        features: (N, D) numbers. Their scale matters.
        labels: (N,) integers from 0.
        eps: the distortion that the code may make, above 0.

    Raises:
        ValueError: not such arrays, values that are not finite, fewer than two classes, eps that is not above 0.
    """
    if not eps > 0:
        raise ValueError(f"eps={eps}: want a distortion above 0")
    features, labels = _check(features, labels)
    mean = np.mean(features, axis=0, dtype=np.float64)
    whole, within = None, []
    for label in np.unique(labels):
        z = features[labels == label] - mean
        gram = z.T @ z
        whole = gram if whole is None else whole + gram
        # det(I + ZᵀZ) = det(I + ZZᵀ): take the smaller
        within.append(_coding_rate(gram if len(gram) <= len(z) else z @ z.T, len(z), eps))
    return _coding_rate(whole, len(labels), eps) - float(np.mean(within))


def _coding_rate(gram, n, eps):
    factor, _ = cho_factor(np.eye(len(gram)) + gram / (n * eps))
    return float(np.log(factor.diagonal()).sum())


def knn_accuracy(features: Numbers, labels: Numbers, k: int = 5) -> float:
    """Accuracy of the k nearest neighbours, each example judged by the others: a baseline for every score.

    Args:
        features: (N, D) numbers; Euclidean distance.
        labels: (N,) integers from 0.
        k: neighbours, from 1 to N − 1.

    Returns:
        float in [0, 1].

    Raises:
        ValueError: not such arrays, values that are not finite, fewer than two classes, k out of range.
    """
    features, labels = _check(features, labels)
    if not 1 <= k < len(labels):
        raise ValueError(f"k={k}: want 1 to {len(labels) - 1} neighbours among {len(labels)} examples")
    neighbours = KNeighborsClassifier(k, algorithm="brute").fit(features, labels)
    nearest = neighbours.kneighbors(return_distance=False)  # without X, no point is its own neighbour
    votes = np.stack([(labels[nearest] == label).sum(axis=1) for label in neighbours.classes_], axis=1)
    return float((neighbours.classes_[votes.argmax(axis=1)] == labels).mean())


def probe_accuracy(features: Numbers, labels: Numbers, folds: int = 5) -> float:
    """Cross-validated accuracy of training.fit_head on the features: the probe that a score should beat or replace.

    Args:
        features: (N, D) numbers.
        labels: (N,) integers from 0, at least `folds` examples of each.
        folds: at least 2.

    Returns:
        float in [0, 1].

    Raises:
        ValueError: not such arrays, values that are not finite, fewer than two classes, a class with too few examples.
    """
    features, labels = _check(features, labels)
    fewest = np.unique(labels, return_counts=True)[1].min()
    if not 2 <= folds <= fewest:
        raise ValueError(f"folds={folds}: want 2 to {fewest}, the number of examples of the rarest class")
    correct = 0
    for train, test in StratifiedKFold(folds).split(features, labels):
        head = fit_head(features[train], labels[train])
        correct += (head.predict(features[test]) == labels[test]).sum()
    return float(correct / len(labels))


def _gram(features, indicators, origin=0.0):
    """Upper triangle of FᵀF and the sums (C, D) of each class, of the features less the origin."""
    width = features.shape[1]
    gram, sums = np.zeros((width, width), order="F"), np.zeros((indicators.shape[1], width))
    for x, y in _slices(features, indicators):
        x -= origin
        gram = dsyrk(1.0, x.T, beta=1.0, c=gram, overwrite_c=True)  # adds xᵀx in place, at half the work
        sums += y.T @ x
    return gram, sums


def _slices(*arrays):
    rows = max(SLICE // arrays[0].shape[1], 1)
    for start in range(0, len(arrays[0]), rows):
        yield tuple(array[start : start + rows].astype(np.float64) for array in arrays)


def _eigen(matrix):
    """Eigenvalues and vectors of a symmetric matrix (its upper triangle is read), and which are above rounding error."""
    eigenvalues, vectors = eigh(matrix, driver="evd", lower=False, check_finite=False)
    return eigenvalues, vectors, eigenvalues > eigenvalues[-1] * len(matrix) * np.finfo(float).eps


def _indicators(labels):
    """(N, C) float64, one column for each class that occurs."""
    classes, index = np.unique(labels, return_inverse=True)
    return np.eye(len(classes))[index]


def _check(features, labels, name="features"):
    labels = _check_labels(labels)
    if labels.min() == labels.max():
        raise ValueError(f"labels: want at least 2 classes, all are {labels[0]}")
    features = features.detach().cpu().numpy() if isinstance(features, torch.Tensor) else np.asarray(features)
    if features.ndim != 2 or len(features) != len(labels) or features.dtype.kind not in "fiub":
        raise ValueError(
            f"{name}: want ({len(labels)}, D) numbers, one row for each label, got {features.shape} {features.dtype}"
        )
    if not np.isfinite(features).all():
        raise ValueError(f"{name}: has NaN or infinity in it")
    return features, labels


def _check_labels(labels, name="labels"):
    labels = labels.detach().cpu().numpy() if isinstance(labels, torch.Tensor) else np.asarray(labels)
    if labels.ndim != 1 or not len(labels) or labels.dtype.kind not in "iu" or labels.min() < 0:
        raise ValueError(f"{name}: want (N,) integers from 0, got {labels.shape} {labels.dtype}")
    if labels.max() >= 100_000:
        raise ValueError(
            f"{name}: want class numbers from 0, got {labels.max()}; renumber with np.unique({name}, return_inverse=True)[1]"
        )
    return labels.astype(np.int64)
