"""Fix a script that watches a model's inputs: the distances of batches, and the threshold for an alarm."""

from itertools import chain, product

import numpy as np
from scipy.spatial.distance import cdist

from tlcourse.checks.compare import differs, misfit, name_mistake
from tlcourse.checks.spec import Case
from tlcourse.checks.toolkit import all_differ, as_numbers

ID, TITLE, POINTS, ENTRY_POINT, SECONDS = "05.6", "Bug clinic", 6, "watch", 20
PARTS = {"distances": 3, "threshold": 3}
_NEIGHBOURS, _LEVEL = (1, 3, 5, 7, 9), 0.95
# What can be wrong with a distance. An observed list of distances is explained by a flag for each.
_BUGS = (
    "The features are standardised with the held-out points among them. Take mean and spread of the fitting halves.",
    "k is chosen by the error on the held-out halves. Nothing may be chosen there: k is 5.",
    "Every held-out point counts once, so to answer “source” always looks good. Average the two domains' errors.",
    "A distance is below 0. Where the error exceeds one half, the distance is 0.",
)
_FLAGS = sorted(product((False, True), repeat=len(_BUGS)), key=sum)  # the right way, one bug, two bugs, …


def cases(rng):
    while True:
        inputs = _inputs(rng)
        seen = _watched(*inputs)
        right, nulls = seen[_FLAGS[0]]
        shown = all_differ(right, [seen[flags] for flags in _FLAGS[1 : len(_BUGS) + 1]], 0.02)
        # With every combination of bugs, a single deal is another threshold than the quantile.
        single = min(abs(values[0] - _thresholds(values)[0]) for _, values in seen.values())
        if shown and all_differ(*_thresholds(nulls), 0.02) and single > 0.02:
            return [Case(inputs, {"seen": seen}, part) for part in PARTS]


def verify(case, output):
    seen = case.truth["seen"]
    if type(output) is not tuple or len(output) != 2:
        return "Return two things: the list of distances, the threshold."
    distances, threshold = as_numbers(output[0]), output[1]
    alike = [flags for flags in _FLAGS if not differs("", distances, seen[flags][0])]
    if case.part == "distances":
        if problem := misfit("distances", distances, seen[_FLAGS[0]][0].shape):
            return problem
        if not alike:
            return "The distances are not those of 5 nearest neighbours, judged on the held-out halves."
        return " ".join(message for message, has in zip(_BUGS, alike[0]) if has) or None
    if problem := misfit("threshold", threshold, ()):
        return problem
    # The threshold is judged by itself: with the distance that the answer measures, bugs and all, or with the right one.
    rights, others = zip(*(_thresholds(seen[flags][1]) for flags in (_FLAGS[0], *alike)))
    if any(not differs("", threshold, right) for right in rights):
        return None
    problem = "The threshold is not the 0.95 quantile of the distances that the deals of the source give."
    return name_mistake(threshold, chain(*others), problem)


def _inputs(rng):
    """Features of a source and of four batches that come in, more and more of them moved; deals of the source."""
    n, m, width = 96, 26, 4
    scales, direction = np.exp(rng.normal(0, 2, size=width)), rng.normal(size=width)

    def draw(size, moved):
        # heavy tails: a single point changes the spread
        return (rng.standard_t(2, size=(size, width)) + moved * direction / np.linalg.norm(direction)) * scales

    return draw(n, 0), [draw(m, moved) for moved in (0, 1, 2, 4)], np.stack([rng.permutation(n) for _ in range(40)])


def _watched(source, batches, splits):
    """For each combination of bugs: the distances of the batches, and those of the deals."""
    m = len(batches[0])
    pairs = [(source, batch) for batch in batches] + [(source[deal[m:]], source[deal[:m]]) for deal in splits]
    errors = {by_all: np.stack([_domain_errors(*pair, by_all) for pair in pairs]) for by_all in (False, True)}
    sizes = np.array([(len(a) // 2, len(b) // 2) for a, b in pairs])
    seen = {}
    for by_all, chosen, plain, below_0 in _FLAGS:
        weights = sizes / sizes.sum(axis=1, keepdims=True) if plain else np.full(sizes.shape, 0.5)
        error = (errors[by_all] * weights[:, None]).sum(axis=2)  # (pairs, k)
        distances = 2 - 4 * (error.min(axis=1) if chosen else error[:, _NEIGHBOURS.index(5)])
        distances = distances if below_0 else distances.clip(min=0)
        seen[by_all, chosen, plain, below_0] = distances[: len(batches)], distances[len(batches) :]
    return seen


def _domain_errors(a, b, by_all):
    """Errors of nearest neighbours on the held-out half (rows 1, 3, …) of each domain, for each k: (k, 2)."""
    fitting, held_out = np.concatenate([a[::2], b[::2]]), np.concatenate([a[1::2], b[1::2]])
    spread = (np.concatenate([a, b]) if by_all else fitting).std(axis=0)  # the mean cancels in a distance
    order = cdist(held_out / spread, fitting / spread).argsort(axis=1)
    votes = np.stack([2 * (order[:, :k] >= len(a[::2])).sum(axis=1) > k for k in _NEIGHBOURS])
    n = len(a[1::2])
    return np.stack([votes[:, :n].mean(axis=1), 1 - votes[:, n:].mean(axis=1)], axis=1)


def _thresholds(values):
    """The quantile of the distances of the deals, and what likely mistakes make of them with the message to each."""
    return np.quantile(values, _LEVEL), [
        (values[0], "The threshold is the distance of a single deal: chance decides. Take the 0.95 quantile over all."),
        (values.max(), "The threshold is the largest distance of the deals. Take their 0.95 quantile."),
        (values.mean(), "The threshold is the mean distance of the deals: nearly every other quiet day would alarm."),
        (np.quantile(values, 1 - _LEVEL), "The threshold is the 0.05 quantile: most quiet days would alarm."),
    ]
