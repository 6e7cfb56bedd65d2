"""Weigh source images by the ratio of the densities, from a classifier of the two domains."""

import numpy as np

from tlcourse.checks.compare import as_array, misfit
from tlcourse.checks.spec import Case

ID, TITLE, POINTS, ENTRY_POINT, SECONDS = "04.2", "Importance weights", 5, "importance_weights", 5


def cases(rng):
    for n_source, n_target, clip in ((1000, 6000, 2.0), (5000, 1250, 1.5)):
        direction = rng.normal(size=3)
        direction *= rng.uniform(1.2, 1.5) / np.linalg.norm(direction)
        centre = rng.normal(size=3)
        source = centre + rng.normal(size=(n_source, 3))
        target = centre + direction + rng.normal(size=(n_target, 3))
        ratio = np.exp((source - centre) @ direction - direction @ direction / 2)  # of two Gaussians
        yield Case((source, target, clip), {"ratio": ratio})


def verify(case, output):
    source, target, clip = case.inputs
    ratio, prior = case.truth["ratio"], len(target) / len(source)
    if problem := misfit("weights", output, (len(source),)):
        return problem
    weights = as_array(output)
    if not (weights > 0).all() or not np.isfinite(weights).all():
        return "Weights are above 0 and finite."

    def distance(values):
        gaps = np.log(weights / weights.mean()) - np.log(values / values.mean())
        return np.sqrt(np.mean(gaps**2))

    inverse = "The ratio is upside down: it is target over source."
    odds = "These are probabilities. The ratio of densities wants the odds, p / (1 − p)."
    others = [
        (np.minimum(ratio * prior, clip), "The sizes of the two sets are still in the odds. Multiply by n_s / n_t."),
        (np.minimum(ratio * prior**2, clip), "Your correction for the sizes is upside down. Multiply by n_s / n_t."),
        (np.minimum(1 / ratio, clip), inverse),
        (np.minimum(prior**2 / ratio, clip), inverse),
        (ratio, "Nothing is clipped. No ratio counts for more than clip."),
        (ratio * prior / (1 + ratio * prior), odds),
        (ratio / (1 + ratio), odds),
        (np.ones(len(ratio)), "All weights are about the same. Does the classifier see which image comes from where?"),
    ]
    if distance(np.minimum(ratio, clip)) > 0.25:  # a classifier's own error is below 0.2
        nearest, message = min(others, key=lambda other: distance(other[0]))
        problem = (
            "The weights do not follow the ratio of the densities. Fit one classifier on both sets, and take its odds."
        )
        return message if distance(nearest) < 0.25 else problem
    if abs(weights.mean() - 1) > 1e-6:
        return (
            f"The mean of the weights is {weights.mean():.3g}. Clip first and divide by the mean last, so that it is 1."
        )
    return None
