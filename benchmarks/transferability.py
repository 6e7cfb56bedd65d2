"""The transferability scores against the plain NumPy formula of each paper, on one thread.

Beside each time stands that of one FᵀF in float64: no score that reads all features can be much faster.
"""

import argparse

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks import _report
from tlcourse import measure


def evidence(eigenvalues, projected, total, n, width):
    """The fixed point of You et al. (2021) for one class, with the terms of all dimensions."""
    alpha = beta = 1.0
    outside = max(total - projected.sum(), 0)
    for _ in range(200):
        shrunk = beta * eigenvalues / (alpha + beta * eigenvalues)
        gamma = shrunk.sum()
        weights = (shrunk**2 * projected / eigenvalues).sum()
        residual = outside + ((1 - shrunk) ** 2 * projected).sum()
        before, alpha, beta = alpha / beta, gamma / weights, (n - gamma) / residual
        if abs(alpha / beta - before) < 1e-9 * before:
            break
    log_det = np.log(alpha + beta * eigenvalues).sum() + (width - len(eigenvalues)) * np.log(alpha)
    fit = n * np.log(beta) + width * np.log(alpha) - n * np.log(2 * np.pi) - beta * residual - alpha * weights - log_det
    return fit / 2 / n


def logme_svd(features, labels):
    features = features.astype(np.float64)
    u, s, _ = np.linalg.svd(features, full_matrices=False)
    targets = [(labels == y).astype(float) for y in np.unique(labels)]
    return np.mean([evidence(s**2, (u.T @ y) ** 2, y.sum(), *features.shape) for y in targets])


def logme_plain(features, labels):
    features = features.astype(np.float64)
    s, v = np.linalg.eigh(features.T @ features)
    targets = [(labels == y).astype(float) for y in np.unique(labels)]
    return np.mean([evidence(s, (v.T @ (features.T @ y)) ** 2 / s, y.sum(), *features.shape) for y in targets])


def h_score_plain(features, labels):
    features = features.astype(np.float64)
    means = np.zeros_like(features)
    for y in np.unique(labels):
        means[labels == y] = features[labels == y].mean(axis=0)
    return np.trace(np.linalg.pinv(np.cov(features.T), rcond=1e-15) @ np.cov(means.T))


def transrate_plain(features, labels, eps=1e-4):
    z = features.astype(np.float64)
    z = z - z.mean(axis=0)

    def rate(z):
        return np.linalg.slogdet(np.eye(z.shape[1]) + z.T @ z / (len(z) * eps))[1] / 2

    return rate(z) - np.mean([rate(z[labels == y]) for y in np.unique(labels)])


def leep_plain(probs, labels):
    probs = probs.astype(np.float64)
    joint = np.stack([probs[labels == y].sum(axis=0) for y in np.unique(labels)]) / len(labels)
    predicted = probs @ (joint / joint.sum(axis=0)).T
    return np.log(predicted[np.arange(len(labels)), labels]).mean()


def nce_plain(source, labels):
    joint = np.zeros((source.max() + 1, labels.max() + 1))
    np.add.at(joint, (source, labels), 1 / len(labels))
    given = joint / joint.sum(axis=1, keepdims=True).clip(1e-300)
    return (joint[joint > 0] * np.log(given[joint > 0])).sum()


def main(arguments):
    parser = argparse.ArgumentParser(prog="python -m benchmarks transferability", description=__doc__)
    parser.add_argument("--n", type=int, default=10_000)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="two pairs")
    options = parser.parse_args(arguments)
    pairs = 2 if options.quick else options.pairs
    rng = np.random.default_rng(0)
    labels = rng.integers(options.classes, size=options.n)
    features = (
        rng.normal(size=(options.n, options.width)) + rng.normal(size=(options.classes, options.width))[labels] / 4
    )
    features = np.maximum(features, 0).astype(np.float32)  # as after a ReLU
    probs = rng.dirichlet(np.full(1000, 0.05), size=options.n).astype(np.float32)
    source = probs.argmax(axis=1)
    scores = [
        ("LogME", "You et al.'s formula, eigenvalues", features, measure.logme, logme_plain),
        ("LogME", "You et al.'s formula, SVD", features, measure.logme, logme_svd),
        ("H-score", "Bao et al.'s formula", features, measure.h_score, h_score_plain),
        ("TransRate", "Huang et al.'s formula", features, measure.transrate, transrate_plain),
        ("LEEP", "Nguyen et al.'s formula", probs, measure.leep, leep_plain),
        ("NCE", "Tran et al.'s formula", source, measure.nce, nce_plain),
    ]
    rows, notes = [], []
    with threadpool_limits(limits=1):
        wide = features.astype(np.float64)
        limit = [_report.seconds_of(lambda: wide.T @ wide) for _ in range(pairs)]
        rows.append(_report.row(f"FᵀF alone, {options.n:,}×{options.width}", "", limit, []))
        for name, peer, x, ours, plain in scores:
            gap = abs(ours(x, labels) - plain(x, labels)) / abs(plain(x, labels))
            notes.append(f"{name}, {peer}: the values differ by {gap:.1e} of themselves")
            rows.append(compare(name, peer, ours, plain, (x, labels), pairs))
    return _report.report("transferability", rows, ["numpy", "scipy"], threads=1)


def compare(name, peer, ours, plain, inputs, pairs):
    return _report.row(name, peer, *_report.alternate(lambda: ours(*inputs), lambda: plain(*inputs), pairs))
