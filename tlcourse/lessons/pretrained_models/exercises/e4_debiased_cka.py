"""Say how alike two networks are by the debiased CKA of their kernels."""

import numpy as np
import torch

from tlcourse.checks.compare import as_array, explain
from tlcourse.checks.spec import Case

ID, TITLE, POINTS, ENTRY_POINT, SECONDS = "02.4", "How alike two networks are", 5, "debiased_cka", 5


def cases(rng):
    for n, width, share, kernel in ((12, 40, 0.0, "linear"), (20, 6, 0.7, "linear"), (15, 8, 0.4, "rbf")):
        x = rng.normal(size=(n, width))
        y = share * x + (1 - share) * rng.normal(size=(n, width))
        if kernel == "linear":
            grams = (x @ x.T, y @ y.T)
        else:
            grams = (np.exp(-np.square(z[:, None] - z[None]).sum(-1) / width) for z in (x, y))
        yield Case(tuple(torch.tensor(gram) for gram in grams))


def verify(case, output):
    k, m = (as_array(gram) for gram in case.inputs)
    got = as_array(output)
    if got is None or got.shape != ():
        return "Return one number."
    if np.isnan(got):
        return "CKA is NaN. Under the root stands a product of two HSIC of a kernel with itself, which is above 0."
    own = _hsic_by_sums(k, k) * _hsic_by_sums(m, m)
    biased, full = _ratio(_biased_hsic, k, m), _ratio(_hsic_with_diagonals, k, m)
    mistakes = [
        (biased, "That is the biased CKA, which calls wide features alike when they are not. Use the unbiased HSIC."),
        (_hsic_by_sums(k, m), "That is HSIC. Divide it by the root of HSIC(K, K) · HSIC(L, L)."),
        (_hsic_by_sums(k, m) / own, "The root over HSIC(K, K) · HSIC(L, L) is missing."),
        (full, "Set the diagonals of K and L to zero first, both of them, and leave the inputs as they are."),
    ]
    problem = (
        "The value is not right. Check the three terms, the divisions by n − 1, n − 2, n − 3, and the zero diagonals."
    )
    return explain("CKA", output, _ratio(_hsic_by_sums, k, m), mistakes, 1e-5, problem)


def _ratio(hsic, k, m):
    return hsic(k, m) / np.sqrt(hsic(k, k) * hsic(m, m))


def _hsic_by_sums(k, m):
    """Unbiased HSIC as the U-statistic over distinct indices, summed out (Song et al. 2012, equation 4)."""
    n = len(k)
    k, m = k - np.diag(np.diag(k)), m - np.diag(np.diag(m))
    pairs = np.einsum("ij,ij->", k, m)
    triples = np.einsum("ij,iq->", k, m) - pairs
    quadruples = k.sum() * m.sum() - 4 * triples - 2 * pairs
    return (pairs - 2 * triples / (n - 2) + quadruples / ((n - 2) * (n - 3))) / (n * (n - 1))


def _biased_hsic(k, m):
    centre = np.eye(len(k)) - 1 / len(k)
    return np.trace(centre @ k @ centre @ m)


def _hsic_with_diagonals(k, m):
    n = len(k)
    rest = k.sum() * m.sum() / ((n - 1) * (n - 2)) - 2 / (n - 2) * k.sum(axis=0) @ m.sum(axis=0)
    return (np.sum(k * m) + rest) / (n * (n - 3))
