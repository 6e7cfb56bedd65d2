"""A rank correlation that weighs the best sources most, and its range when one source is left out."""

from functools import partial

import numpy as np

from tlcourse.checks.compare import differs, explain, name_mistake
from tlcourse.checks.spec import Case

ID, TITLE, POINTS, ENTRY_POINT, SECONDS = "07.3", "A weighted rank correlation", 5, "rank_agreement", 2


def cases(rng):
    return [Case(_inputs(rng, n, ties)) for n, ties in ((7, False), (8, True), (10, True))]


def verify(case, output):
    scores, accuracies = case.inputs
    if type(output) is not tuple or len(output) != 3:
        return "Return three numbers: tau, low, high."
    tau, *ends = output
    ranks, right = _rank(accuracies, scores), _right(scores, accuracies)
    if problem := explain("tau", tau, right, _others(scores, accuracies), 1e-9):
        return problem
    smaller = [[np.delete(values, i) for values in (scores, accuracies, ranks)] for i in range(len(scores))]
    left_out, kept = [_right(s, a) for s, a, _ in smaller], [_tau(*each) for each in smaller]
    low, high = min(left_out), max(left_out)
    problem = differs("low", ends[0], low, 1e-9) or differs("high", ends[1], high, 1e-9)
    if problem is None:
        return None
    old_ranks = min(kept), max(kept)
    others = [
        ((high, low), "low and high are swapped."),
        (old_ranks, "Rank again among the sources that are left: without the best, another one has rank 0."),
        ((right, right), "low and high are τ itself. Leave out one source at a time."),
    ]
    general = f"{problem} They are the least and the greatest of the {len(scores)} τ that leave out one source each."
    return name_mistake(ends, others, general, 1e-9)


def _inputs(rng, n, ties):
    """Scores and accuracies that tell the right answer from every likely mistake that there is to make."""
    while True:
        accuracies = np.round(rng.uniform(0.4, 0.95, size=n), 3)
        scores = np.round(2 * accuracies + rng.normal(0, 0.3, size=n) - 3, 3)
        if ties:
            first, second, third, fourth = rng.permutation(n)[:4]
            accuracies[first] = accuracies[second]
            scores[third] = scores[fourth]
        right = _right(scores, accuracies)
        apart = [abs(other - right) > 1e-3 for other, _ in _others(scores, accuracies)]
        if all(apart if ties else apart[:6]):
            return scores, accuracies


def _rank(first, second):
    """0 for the largest of first; second breaks ties, the larger before the smaller."""
    return np.lexsort((-second, -first)).argsort()


def _right(scores, accuracies):
    return _tau(scores, accuracies, _rank(accuracies, scores))


def _tau(scores, accuracies, ranks, combine=np.add, tied_count=False):
    """Weighted τ: pairs in the same order less pairs in the opposite order, each with its weight."""
    weights = combine.outer(1 / (ranks + 1), 1 / (ranks + 1))
    by_score = np.sign(np.subtract.outer(scores, scores))
    by_accuracy = np.sign(np.subtract.outer(accuracies, accuracies))
    np.fill_diagonal(weights, 0)
    if tied_count:
        return (weights * by_score * by_accuracy).sum() / weights.sum()
    whole = np.sqrt((weights * by_score**2).sum() * (weights * by_accuracy**2).sum())
    return (weights * by_score * by_accuracy).sum() / whole


def _others(scores, accuracies):
    """What likely mistakes give, and the message to each."""
    positions, ranks = np.arange(len(scores)), _rank(accuracies, scores)
    tau = partial(_tau, scores, accuracies)
    by_score = tau(_rank(scores, accuracies))
    unweighted = "That is Kendall's τ without weights. A pair weighs 1/(r + 1) + 1/(s + 1), with the ranks r and s."
    as_scipy = (
        "That averages the ranking by accuracy and the ranking by score, as SciPy does unless told otherwise. "
        "Rank by accuracy only."
    )
    tied = "Tied pairs count in your denominator. Each of the two sums under the root leaves out the pairs tied in it."
    by_position = "Among equal accuracies you rank by position. The source with the higher score comes first."
    return [
        (tau(0 * positions), unweighted),
        (by_score, "You rank by the scores. The weights go by the ranks of the accuracies."),
        ((tau(ranks) + by_score) / 2, as_scipy),
        (tau(_rank(-accuracies, -scores)), "The worst source has rank 0. Give it to the best."),
        (tau(positions), "The ranks are the positions in the list. Rank by accuracy."),
        (tau(ranks, np.multiply), "You multiply the two weights of a pair. Add them."),
        (tau(ranks, tied_count=True), tied),
        (tau(_rank(accuracies, -positions)), by_position),
    ]
