"""How far apart two domains are, from their features alone: no label is read.

Each function takes (n, d) and (m, d) features, arrays or tensors, computes in float64 and returns a float that is about 0
where both sets come from the same distribution.
"""

import numpy as np
import torch
from scipy.stats import wasserstein_distance
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tlcourse.adapt.alignment import coral_loss, gaussian_kernels, mmd_loss
from tlcourse.data.images import Numbers


def mmd(x: Numbers, y: Numbers) -> float:
    """Squared maximum mean discrepancy, unbiased, with five Gaussian kernels (Gretton et al., JMLR, 2012).

    The estimator is that of adapt.mmd_loss. It sees every difference between distributions, given enough points.

    Args:
        x: (n, d) features, n ≥ 2.
        y: (m, d) features, m ≥ 2.

    Returns:
        float, around 0 and at times below it if both come from the same distribution.

    Raises:
        ValueError: not two such matrices, values that are not finite.
    """
    return mmd_loss(*_check(x, y)).item()


def mmd_test(x: Numbers, y: Numbers, *, permutations: int = 500, seed: int = 0) -> tuple[float, float]:
    """Whether two samples differ by more than chance: mmd with a permutation p-value (Gretton et al., JMLR, 2012).

    Points are dealt anew to two samples of the same sizes; the p-value is the share of deals whose MMD² is at least the
    measured one, the measured one counted among them. Under exchange it is at most α with a probability of at most α.

    Args:
        x: (n, d) features, n ≥ 2.
        y: (m, d) features, m ≥ 2.
        permutations: deals, at least 19, which is what a p-value of 0.05 takes.
        seed: draws them.

    Returns:
        (MMD², p-value in (0, 1]).

    Raises:
        ValueError: not two such matrices, values that are not finite, fewer than 19 permutations.
    """
    if permutations < 19:
        raise ValueError(f"permutations={permutations}: take at least 19, better 500")
    x, y = _check(x, y)
    n, m = len(x), len(y)
    kernel = gaussian_kernels(torch.cat([x, y]))
    kernel.fill_diagonal_(0)
    generator = torch.Generator().manual_seed(seed)
    deals = [torch.arange(n + m), *(torch.randperm(n + m, generator=generator) for _ in range(permutations))]
    first = torch.zeros(n + m, len(deals), dtype=torch.float64)  # 1 where a point is dealt to the first sample
    for column, deal in enumerate(deals):
        first[deal[:n], column] = 1
    sums = kernel @ first
    within_first = (first * sums).sum(dim=0)
    between = ((1 - first) * sums).sum(dim=0)
    within_second = kernel.sum() - within_first - 2 * between
    values = within_first / (n * (n - 1)) + within_second / (m * (m - 1)) - 2 * between / (n * m)
    at_least = (values >= values[0] - 1e-12).sum().item()  # equal deals may differ in their last digit
    return values[0].item(), at_least / len(deals)


def coral_distance(x: Numbers, y: Numbers) -> float:
    """‖C_x − C_y‖²_F / 4d², how far apart the covariances are (Sun and Saenko, Deep CORAL, ECCV workshops, 2016).

    Means do not count, and the scale of the features counts to the fourth power.

    Args:
        x: (n, d) features, n ≥ 2.
        y: (m, d) features, m ≥ 2.

    Returns:
        float, at least 0.

    Raises:
        ValueError: not two such matrices, values that are not finite.
    """
    return coral_loss(*_check(x, y)).item()


def frechet_distance(x: Numbers, y: Numbers) -> float:
    """Squared Fréchet distance of two Gaussians with the sets' means and covariances (Dowson and Landau, 1982; Heusel et al., NeurIPS, 2017, for network features).

    ‖μ_x − μ_y‖² + tr(C_x + C_y − 2 (C_x C_y)^½), unbiased covariances. With few points in many dimensions it is above
    0 for samples of the same distribution.

    Args:
        x: (n, d) features, n ≥ 2.
        y: (m, d) features, m ≥ 2.

    Returns:
        float, at least 0, in squared units of the features.

    Raises:
        ValueError: not two such matrices, values that are not finite.
    """
    x, y = _check(x, y)
    cov_x, cov_y = (torch.atleast_2d(torch.cov(points.T)) for points in (x, y))
    # (C_x C_y)^½ and (R C_y R)^½ with R = C_x^½ have the same trace, and the second matrix is symmetric.
    values, vectors = torch.linalg.eigh(cov_x)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T
    cross = torch.linalg.eigvalsh(root @ cov_y @ root).clamp(min=0).sqrt().sum()
    squared = (x.mean(dim=0) - y.mean(dim=0)).square().sum() + cov_x.trace() + cov_y.trace() - 2 * cross
    return max(squared.item(), 0.0)


def proxy_a_distance(x: Numbers, y: Numbers, *, seed: int = 0) -> float:
    """How well a linear classifier tells the domains apart: 2 (1 − 2 · error), at least 0 (Ben-David et al., Analysis of Representations for Domain Adaptation, NIPS, 2007).

    Logistic regression on standardised features, fitted to a random half of each domain; the error is the mean of the
    two domains' errors on the other halves. Nothing is chosen on the held-out halves.

    Args:
        x: (n, d) features, n ≥ 4.
        y: (m, d) features, m ≥ 4.
        seed: draws the halves.

    Returns:
        float in [0, 2]; 2 if every held-out point is placed rightly.

    Raises:
        ValueError: not two such matrices, values that are not finite.
    """
    x, y = (points.numpy() for points in _check(x, y, least=4))
    halves = [train_test_split(points, test_size=0.5, random_state=seed % 2**32) for points in (x, y)]
    fitted = np.concatenate([halves[0][0], halves[1][0]])
    domain = np.repeat([0, 1], [len(halves[0][0]), len(halves[1][0])])
    classifier = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, class_weight="balanced", max_iter=1000))
    classifier.fit(fitted, domain)
    error = np.mean([np.mean(classifier.predict(half[1]) != label) for label, half in enumerate(halves)])
    return float(max(2 * (1 - 2 * error), 0.0))


def sliced_wasserstein(x: Numbers, y: Numbers, *, projections: int = 100, seed: int = 0) -> float:
    """Mean Wasserstein-1 distance of the two sets on random lines through the origin (Rabin et al., SSVM, 2011).

    Args:
        x: (n, d) features, n ≥ 2.
        y: (m, d) features, m ≥ 2.
        projections: random directions of length 1, at least 1.
        seed: draws them.

    Returns:
        float, at least 0, in units of the features. Samples of the same distribution lie above 0, the less the larger
        they are.

    Raises:
        ValueError: not two such matrices, values that are not finite, projections below 1.
    """
    if projections < 1:
        raise ValueError(f"projections={projections}: take at least 1, better 100")
    x, y = _check(x, y)
    directions = torch.randn(
        x.shape[1], projections, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )
    directions /= directions.norm(dim=0)
    lines = ((x @ directions).T.numpy(), (y @ directions).T.numpy())
    return float(np.mean([wasserstein_distance(a, b) for a, b in zip(*lines)]))


def _check(x: Numbers, y: Numbers, least: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    x, y = (torch.as_tensor(value).detach().double().cpu() for value in (x, y))
    for name, value in (("x", x), ("y", y)):
        if value.ndim != 2 or len(value) < least or value.shape[1] != x.shape[1]:
            raise ValueError(
                f"{name}: want (n, d) features, n ≥ {least}, the same d on both sides; got {tuple(value.shape)}"
            )
        if not torch.isfinite(value).all():
            raise ValueError(f"{name}: has NaN or infinity in it")
    return x, y
