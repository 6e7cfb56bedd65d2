"""How alike the features of two networks are."""

import torch

from tlcourse.data.images import Numbers


def linear_cka(x: Numbers, y: Numbers) -> float:
    """Debiased linear centred kernel alignment (Kornblith et al., Similarity of Neural Network Representations Revisited, ICML, 2019).

    1 where one set of features is a rotation and rescaling of the other, about 0 where they are independent. HSIC is
    estimated without bias (HSIC₁ of Song et al., Feature Selection via Dependence Maximization, JMLR, 2012), so that
    wide features of few images do not look alike by chance; small negative values may occur.

    Args:
        x: (N, D) features of N inputs, tensor or array of numbers, N ≥ 4.
        y: (N, E) features of the same inputs in the same order.

    Returns:
        float, at most 1.

    Raises:
        ValueError: not two matrices of equally many rows, fewer than 4 rows, values that are not finite, or features
            that are the same for every input.
    """
    x, y = (torch.as_tensor(value).detach().double().cpu() for value in (x, y))
    for name, value in (("x", x), ("y", y)):
        if value.ndim != 2 or len(value) != len(x) or len(value) < 4:
            raise ValueError(f"{name}: want (N, D) features of the same N ≥ 4 inputs, got {tuple(value.shape)}")
        if not torch.isfinite(value).all():
            raise ValueError(f"{name}: has NaN or infinity in it")
    # Centring leaves HSIC₁ as it is and keeps large means from costing digits.
    x, y = x - x.mean(dim=0), y - y.mean(dim=0)
    gram_x, gram_y = x @ x.T, y @ y.T
    own_x, own_y = _hsic(gram_x, gram_x), _hsic(gram_y, gram_y)
    for name, own in (("x", own_x), ("y", own_y)):
        if not own > 0:
            raise ValueError(f"{name}: the features hardly differ between the inputs, so there is nothing to compare")
    return (_hsic(gram_x, gram_y) / (own_x * own_y).sqrt()).item()


def _hsic(a, b):
    """Unbiased HSIC of two (n, n) Gram matrices; both are left as they are."""
    n = len(a)
    a, b = (matrix - torch.diag(matrix.diagonal()) for matrix in (a, b))
    total = (a * b).sum() + a.sum() * b.sum() / ((n - 1) * (n - 2)) - 2 / (n - 2) * (a.sum(dim=0) @ b.sum(dim=0))
    return total / (n * (n - 3))
