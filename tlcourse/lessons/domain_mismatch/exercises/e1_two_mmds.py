"""Estimate the squared MMD of two samples with and without bias."""

import numpy as np
import torch
from scipy.spatial.distance import cdist, pdist

from tlcourse.checks.compare import differs, explain
from tlcourse.checks.spec import Case
from tlcourse.models import tiny_resnet
from tlcourse.training import extract_features

ID, TITLE, POINTS, ENTRY_POINT, SECONDS = "05.1", "Two estimates of MMD", 5, "two_mmds", 5


def cases(rng):
    images = rng.uniform(size=(30, 3, 16, 16))
    images[18:] = 0.3 + 0.4 * images[18:]  # less contrast
    network = tiny_resnet(2, seed=int(rng.integers(2**31)))
    features = extract_features(network, torch.tensor(images, dtype=torch.float32)).double().numpy()
    alike = _inputs(rng, rng.normal(size=(31, 3)), 12)
    while _mmds(*alike)[0] > -1e-3:  # an estimate without bias is at times below 0
        alike = _inputs(rng, rng.normal(size=(31, 3)), 12)
    few = _inputs(rng, rng.normal(size=(9, 1)), 2)
    return [Case(inputs) for inputs in (_inputs(rng, features, 18), alike, few)]


def verify(case, output):
    if type(output) is not tuple or len(output) != 2:
        return "Return two numbers: unbiased, biased."
    right = _mmds(*case.inputs)
    if not differs("", output[0], right[1]) and not differs("", output[1], right[0]):
        return "The two are swapped: the unbiased estimate, without the diagonal, comes first."
    names = enumerate(("unbiased", "biased"))
    problems = [explain(name, output[i], right[i], _others(*case.inputs, i)) for i, name in names]
    return problems[0] or problems[1]


def _inputs(rng, points, n):
    return points[:n], points[n:], float(np.median(pdist(points)) * rng.uniform(0.6, 1.4))


def _mmds(x, y, bandwidth, power=2):
    """The right pair, or that of another kernel: unbiased, biased."""
    sums = _kernel_sums(x, y, bandwidth, power)
    return [_combine(*sums, len(x), len(y), diagonal, diagonal) for diagonal in (0, 1)]


def _kernel_sums(x, y, bandwidth, power=2):
    """Sums of the kernel over the pairs i ≠ j of x, over those of y, and over the pairs across."""
    xx, yy, xy = (np.exp(-(cdist(*pair) ** power) / (2 * bandwidth**2)).sum() for pair in ((x, x), (y, y), (x, y)))
    return xx - len(x), yy - len(y), xy  # k(a, a) is 1


def _combine(xx, yy, xy, n, m, diagonal, counted, across=2):
    """diagonal: 1 if it is in the sums within, else 0; counted: 1 if it is counted among their pairs, else 0."""
    within = (xx + diagonal * n) / (n * (n - 1 + counted)) + (yy + diagonal * m) / (m * (m - 1 + counted))
    return within - across * xy / (n * m)


def _others(x, y, bandwidth, diagonal):
    """What likely mistakes give for one of the two estimates, and the message to each."""
    n, m, right = len(x), len(y), _mmds(x, y, bandwidth)
    xx, yy, xy = sums = _kernel_sums(x, y, bandwidth)
    mixed = (xx + diagonal * n) / (m * (m - 1 + diagonal)) + (yy + diagonal * m) / (n * (n - 1 + diagonal))
    kernels = (
        (bandwidth, 1, "The kernel takes the squared distance ‖a − b‖². Yours is not squared."),
        (bandwidth / 2**0.5, 2, "The 2 is missing: divide the squared distance by 2 · bandwidth²."),
        (bandwidth**0.5, 2, "Square the bandwidth: divide by 2 · bandwidth²."),
        ((2 * bandwidth) ** -0.5, 2, "You multiply by the bandwidth, as by a gamma. Divide by 2 · bandwidth²."),
    )
    if diagonal:
        own = [
            (right[0], "The biased estimate keeps the diagonal: n² pairs of x, k(xᵢ, xᵢ) = 1 among them."),
            (_combine(*sums, n, m, 0, 1), "You divide by n² but leave out the diagonal. Here k(xᵢ, xᵢ) = 1 stays."),
        ]
    else:
        own = [
            (right[1], "The diagonal is in the unbiased estimate. Leave out k(xᵢ, xᵢ), and divide by n(n − 1)."),
            (_combine(*sums, n, m, 0, 1), "You leave out the diagonal but divide by n². There are n(n − 1) pairs."),
            (_combine(*sums, n, m, 1, 0), "You divide by n(n − 1) but the diagonal is in the sum. Leave it out."),
        ]
    return [
        *own,
        *((_mmds(x, y, *kernel)[diagonal], message) for *kernel, message in kernels),
        (max(right[diagonal], 0), "You cut it off at 0. An estimate without bias may be below 0: leave it there."),
        (max(right[diagonal], 0) ** 0.5, "You take the root. Return the squared MMD, which may be below 0."),
        (mixed - 2 * xy / (n * m), "n and m are mixed up: divide the sum over pairs of x by the number of pairs of x."),
        (_combine(*sums, n, m, diagonal, diagonal, across=1), "The pairs across count twice: − 2 times their mean."),
    ]
