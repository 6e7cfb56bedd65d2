"""LogME's evidence of one class for given precisions."""

import numpy as np

from tlcourse.checks.compare import as_array, explain, misfit
from tlcourse.checks.spec import Case

ID, TITLE, POINTS, ENTRY_POINT, SECONDS = "07.2", "The evidence of one class", 5, "class_evidence", 5


def cases(rng):
    for n, width, scale in ((40, 6, 1.0), (25, 60, 0.5), (200, 150, 3.0)):
        features = scale * rng.normal(size=(n, width))
        y = (features[:, 0] + scale * rng.normal(size=n) > 0.3 * scale).astype(float)
        yield Case((features, y, float(rng.uniform(0.3, 0.7)), float(rng.uniform(3, 8))))


def verify(case, output):
    features, y, alpha, beta = case.inputs
    n, width = features.shape
    array = as_array(output)
    if array is not None and array.shape == () and not np.isfinite(array):
        return "It is not finite: a determinant of this size leaves the range of floats. Take np.linalg.slogdet."
    right = _log_evidence(*case.inputs)
    turned, swapped = _log_evidence(features, y, 1 / alpha, 1 / beta), _log_evidence(features, y, beta, alpha)
    centred = _log_evidence(features - features.mean(axis=0), y, alpha, beta)
    precision = alpha * np.eye(width) + beta * features.T @ features
    weights = beta * np.linalg.solve(precision, features.T @ y)
    log_det = np.linalg.slogdet(precision)[1]
    beyond = max(width - n, 0) / 2 * np.log(alpha) / n
    fit = (np.log(beta / (2 * np.pi)) - beta * np.mean((y - features @ weights) ** 2)) / 2
    beyond_message = (
        f"With D = {width} > N = {n} the {width - n} directions that F does not reach count as well: D/2 · log α "
        "belongs to log det of the whole D × D matrix A, and k/2 · log α to k singular values. Do not mix the two."
    )
    others = [
        (right * n, "That is the evidence of all examples together. Divide by N."),
        (right + np.log(2 * np.pi) / 2, "The constant − ½ log 2π of each example is missing."),
        (right - width / 2 * np.log(alpha) / n, "The term D/2 · log α is missing: the prior's normalisation."),
        (right - np.log(beta) / 2, "The term N/2 · log β is missing: the noise's normalisation."),
        (right - beyond, beyond_message),
        (right + beyond, beyond_message),
        (right + log_det / n, "The sign of ½ log det A is wrong. It is subtracted: a sharp posterior costs evidence."),
        (right - log_det / 2 / n, "You subtract the whole log det A. It is half of it."),
        (right + log_det / 2 / n, "The term − ½ log det A is missing."),
        (right + alpha / 2 * weights @ weights / n, "The term − α/2 · mᵀm is missing: the prior's share."),
        (fit, "That is the likelihood of the best weights alone. The evidence averages over all weights of the prior."),
        (turned, "You take α and β for variances. They are precisions: the variances are 1/α and 1/β."),
        (swapped, "α and β are swapped: α belongs to the weights, β to the noise."),
        (centred, "You centre the features. The regression here has no intercept and takes them as they are."),
    ]
    problem = "The evidence is not right. Compare it with the log density of y under N(0, I/β + FFᵀ/α), divided by N."
    return misfit("evidence", output, ()) or explain("evidence", output, right, others, 1e-7, problem)


def _log_evidence(features, y, alpha, beta):
    """Log density per example of y under N(0, I/β + FFᵀ/α)."""
    covariance = np.eye(len(y)) / beta + features @ features.T / alpha
    quadratic = y @ np.linalg.solve(covariance, y)
    return -(len(y) * np.log(2 * np.pi) + np.linalg.slogdet(covariance)[1] + quadratic) / (2 * len(y))
