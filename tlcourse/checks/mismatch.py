"""Exercises of lesson 05: two estimates of MMD, a permutation test, calibration by rank, label shift, four kinds, mend a watch."""

from collections import Counter
from itertools import combinations, product

import numpy as np
import torch
from scipy.optimize import nnls
from scipy.spatial.distance import cdist, pdist
from scipy.special import softmax

from tlcourse.checks.compare import as_array, differs, misfit, name_mistake
from tlcourse.checks.spec import Case, Exercise
from tlcourse.models import tiny_resnet
from tlcourse.training import extract_features


def _apart(right, others, least=1e-3):
    """Whether the right value and those of all these mistakes differ from each other."""
    return all(np.max(np.abs(a - b)) > least for a, b in combinations([right, *(other for other, _ in others)], 2))


# 05.1 Two estimates of MMD


def _mmd_cases(rng):
    images = rng.uniform(size=(30, 3, 16, 16))
    images[18:] = 0.3 + 0.4 * images[18:]  # less contrast
    network = tiny_resnet(2, seed=int(rng.integers(2**31)))
    features = extract_features(network, torch.tensor(images, dtype=torch.float32)).double().numpy()
    alike = _mmd_inputs(rng, rng.normal(size=(31, 3)), 12)
    while _mmds(*alike)[0] > -1e-3:  # an estimate without bias is at times below 0
        alike = _mmd_inputs(rng, rng.normal(size=(31, 3)), 12)
    few = _mmd_inputs(rng, rng.normal(size=(9, 1)), 2)
    return [Case(inputs, {}) for inputs in (_mmd_inputs(rng, features, 18), alike, few)]


def _mmd_inputs(rng, points, n):
    return points[:n], points[n:], float(np.median(pdist(points)) * rng.uniform(0.6, 1.4))


def _mmds(x, y, bandwidth, exponent=lambda d, bandwidth: d**2 / (2 * bandwidth**2)):
    """The right pair, or that of another kernel: unbiased, biased."""
    return tuple(_combine(*_kernel_sums(x, y, bandwidth, exponent), len(x), len(y), diagonal) for diagonal in (0, 1))


def _kernel_sums(x, y, bandwidth, exponent):
    """Sums of the kernel over the pairs i ≠ j of x, over those of y, and over the pairs across."""
    xx, yy, xy = (np.exp(-exponent(cdist(*pair), bandwidth)).sum() for pair in ((x, x), (y, y), (x, y)))
    return xx - len(x), yy - len(y), xy  # k(a, a) is 1


def _combine(xx, yy, xy, n, m, diagonal, divided=None, across=2):
    """diagonal: whether it is in the sums within; divided: whether it is counted among their pairs, by default the same."""
    less = diagonal if divided is None else divided
    within = (xx + diagonal * n) / (n * (n - 1 + less)) + (yy + diagonal * m) / (m * (m - 1 + less))
    return within - across * xy / (n * m)


def _mmd_others(x, y, bandwidth, diagonal):
    """What likely mistakes give for one of the two estimates, and the message to each."""
    n, m, right = len(x), len(y), _mmds(x, y, bandwidth)
    xx, yy, xy = sums = _kernel_sums(x, y, bandwidth, lambda d, bandwidth: d**2 / (2 * bandwidth**2))
    mixed = (xx + diagonal * n) / (m * (m - 1 + diagonal)) + (yy + diagonal * m) / (n * (n - 1 + diagonal))
    kernels = (
        (lambda d, b: d / (2 * b**2), "The kernel takes the squared distance ‖a − b‖². Yours is not squared."),
        (lambda d, b: d**2 / b**2, "The 2 is missing: divide the squared distance by 2 · bandwidth²."),
        (lambda d, b: d**2 / (2 * b), "Square the bandwidth: divide by 2 · bandwidth²."),
        (lambda d, b: d**2 * b, "You multiply by the bandwidth, as by a gamma. Divide by 2 · bandwidth²."),
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
        *((_mmds(x, y, bandwidth, exponent)[diagonal], message) for exponent, message in kernels),
        (max(right[diagonal], 0), "You cut it off at 0. An estimate without bias may be below 0: leave it there."),
        (max(right[diagonal], 0) ** 0.5, "You take the root. Return the squared MMD, which may be below 0."),
        (mixed - 2 * xy / (n * m), "n and m are mixed up: divide the sum over pairs of x by the number of pairs of x."),
        (_combine(*sums, n, m, diagonal, across=1), "The pairs across count twice: − 2 times their mean."),
    ]


def _verify_mmd(case, output):
    if type(output) is not tuple or len(output) != 2:
        return "Return two numbers: unbiased, biased."
    right = _mmds(*case.inputs)
    if not differs("", output[0], right[1]) and not differs("", output[1], right[0]):
        return "The two are swapped: the unbiased estimate, without the diagonal, comes first."
    for diagonal, name in enumerate(("unbiased", "biased")):
        if problem := differs(name, output[diagonal], right[diagonal]):
            return name_mistake(output[diagonal], _mmd_others(*case.inputs, diagonal), problem)
    return None


# 05.2 A permutation test

_STATISTICS = {
    "distance of means": lambda a, b: float(np.linalg.norm(a.mean(axis=0) - b.mean(axis=0))),
    "gap of medians": lambda a, b: float(abs(np.median(a) - np.median(b))),
    "rise": lambda a, b: float(b[:, 0].mean() - a[:, 0].mean()),  # has a sign
}
_DEALS = 80


def _test_cases(rng):
    sizes = ((9, 14), (13, 7), (8, 12))
    return [Case(_test_inputs(rng, name, n, m), {}) for name, (n, m) in zip(_STATISTICS, sizes)]


def _test_inputs(rng, name, n, m):
    """Two samples and deals for which every likely mistake gives another p-value."""
    while True:
        # Sums of eighths are exact: an equal split has an equal statistic, whatever the order of its points.
        x, y = (np.round(8 * rng.normal(mean, 1, size=(size, 2))) / 8 for mean, size in ((0, n), (0.3, m)))
        deals = np.stack([rng.permutation(n + m) for _ in range(_DEALS)])
        for row in rng.permutation(_DEALS)[:3]:  # ties: the measured split itself, in another order
            deals[row] = np.concatenate([rng.permutation(n), n + rng.permutation(m)])
        right, others = _p_values(x, y, name, deals)
        values = [right] + [p for p, _ in (others if name == "rise" else others[1:])]
        gaps = np.abs(_dealt(np.concatenate([x, y]), n, name, deals) - _STATISTICS[name](x, y))
        near = ((gaps > 0) & (gaps < 1e-6)).any()
        if 0.05 < right < 0.5 and not near and len(np.unique(np.round(values, 9))) == len(values):
            return x, y, name, deals


def _dealt(pooled, n, name, deals):
    return np.array([_STATISTICS[name](pooled[deal[:n]], pooled[deal[n:]]) for deal in deals])


def _p_values(x, y, name, deals):
    """The p-value, and a list of what likely mistakes give with the message to each."""
    measured, pooled, n, m = _STATISTICS[name](x, y), np.concatenate([x, y]), len(x), len(y)
    values = _dealt(pooled, n, name, deals)
    count, total = (values >= measured).sum(), len(deals)

    def share(extreme):
        return (1 + extreme.sum()) / (1 + total)

    return (1 + count) / (1 + total), [
        (share(np.abs(values) >= abs(measured)), "You compare absolute values. Only large values mean different."),
        (count / total, "The measured split is missing: add 1 to the count and 1 to the number of deals."),
        (count / (total + 1), "Add 1 to the count too: the measured split is one of the P + 1."),
        ((count + 1) / total, "Divide by P + 1: the measured split is one of them."),
        (share(values > measured), "Ties count: a deal with the same statistic is as extreme. Take ≥, not >."),
        (share(values <= measured), "You count deals at most as large. Large means different: take ≥."),
        (1 - share(values >= measured), "That is 1 minus the p-value."),
        (
            share(_dealt(pooled, m, name, deals) >= measured),
            "The sizes are swapped: the first n positions of a deal form the first sample, as large as x.",
        ),
        (
            share(_dealt(np.concatenate([y, x]), n, name, deals) >= measured),
            "The pool begins with x: position 0 is x[0], position n is y[0].",
        ),
    ]


def _observe_test(function, inputs):
    x, y, name, deals = inputs
    return function(x, y, _STATISTICS[name], deals)


def _verify_test(case, output):
    right, others = _p_values(*case.inputs)
    problem = differs("p-value", output, right)
    return name_mistake(output, others, problem) if problem else None


# 05.3 Calibration in bins of equal size

_TIES = "Where confidences are equal, the rows keep their order: take a stable sort."


def _calibration_cases(rng):
    cases = []
    for n, bins, ties, lean in ((53, 5, False, 0.1), (61, 7, True, 0.1), (58, 4, True, -0.3)):
        while True:
            inputs = *_predictions(rng, n, ties, lean), bins
            error, worst, errors, worsts = _calibrations(*inputs)
            # Without ties their order cannot show, above 0 no cut can, and where all gaps have one sign no grouping can.
            errors, worsts = (errors[not ties :], worsts[1:]) if lean > 0 else ([], worsts)
            if _apart(error, errors) and _apart(worst, worsts) and (worst < 0) == (lean < 0):
                break
        cases.append(Case(inputs, {"ties": ties}))
    return cases


def _predictions(rng, n, ties, lean):
    """Probabilities (n, 3) whose confidence exceeds the chance to be right by lean, and labels."""
    confidence = rng.choice(np.arange(50, 100, 12) / 100, size=n) if ties else rng.uniform(0.46, 0.99, size=n)
    cut = rng.uniform(0.35, 0.65, size=n)
    columns = rng.permuted(np.tile(np.arange(3), (n, 1)), axis=1)
    probabilities = np.empty((n, 3))
    rows = np.stack([confidence, (1 - confidence) * cut, (1 - confidence) * (1 - cut)], axis=1)
    np.put_along_axis(probabilities, columns, rows, axis=1)
    is_right = rng.uniform(size=n) < confidence - lean
    return probabilities, np.where(is_right, columns[:, 0], columns[:, 1])


def _calibrations(probabilities, labels, bins):
    """error, worst, and for each of the two what likely mistakes give with the messages."""
    rows, confidence = np.arange(len(labels)), probabilities.max(axis=1)
    of_truth = probabilities[rows, labels]
    is_right = of_truth == confidence

    def by_rank(*keys):
        return np.array_split(np.lexsort(keys), bins)  # the last key sorts, the ones before it break ties

    def gaps(confidence, groups):
        return np.array([confidence[group].mean() - is_right[group].mean() for group in groups])

    def error(confidence, groups):
        return sum(len(group) * abs(gap) for group, gap in zip(groups, gaps(confidence, groups))) / len(labels)

    groups, width = by_rank(rows, confidence), np.ceil(confidence * bins)
    right = gaps(confidence, groups)
    errors = [
        (error(confidence, by_rank(-rows, confidence)), _TIES),
        (
            error(confidence, [np.flatnonzero(width == number) for number in np.unique(width)]),
            "Your bins are equally wide. Here they hold equally many examples.",
        ),
        (np.abs(right).mean(), "You average over groups. Average over examples: a larger group weighs more."),
        (error(of_truth, by_rank(rows, of_truth)), "Confidence is the largest probability, not the true class's."),
        (error(confidence, by_rank(rows, -confidence)), "The larger groups lie at the high end. Sort ascending."),
        (np.abs(confidence - is_right).mean(), "You take the gap of each example. Average within a group first."),
        (abs((confidence - is_right).mean()), "You average signed gaps, and they cancel. Take absolute gaps."),
    ]
    worsts = [
        (max(right.max(), 0), "You cut worst off at 0. Where no group is overconfident, it is below 0."),
        (-right.min(), "worst has a sign: mean confidence minus accuracy. You turn the sign around, or drop it."),
        (-right.max(), "worst is mean confidence minus accuracy, not the other way round."),
        (right.min(), "worst is the least gap. Return the largest, that of the most overconfident group."),
    ]
    return error(confidence, groups), right.max(), errors, worsts


def _verify_calibration(case, output):
    if type(output) is not tuple or len(output) != 2:
        return "Return two numbers: error, worst."
    error, worst, errors, worsts = _calibrations(*case.inputs)
    ties = f" {_TIES}" if case.truth["ties"] else ""
    if problem := differs("error", output[0], error):
        return name_mistake(output[0], errors, problem + ties)
    if problem := differs("worst", output[1], worst):
        return name_mistake(output[1], worsts, problem + ties)
    return None


# 05.4 Label shift with soft predictions


def _shares_cases(rng):
    cases = []
    for classes, n, m, clipped in ((3, 150, 200, False), (5, 400, 300, False), (4, 120, 60, True)):
        while True:
            inputs = _shares_inputs(rng, classes, n, m, clipped)
            least, right, others = _shares(*inputs)
            shown = others if clipped else others[4:]  # the first four are about what is below 0
            if _apart(right, shown) and (least < -0.02 if clipped else least > 0.02):
                break
        cases.append(Case(inputs, {}))
    return cases


def _shares_inputs(rng, classes, n, m, clipped):
    """A classifier's probabilities on the source and on a target with other shares; clipped leaves out a class there."""
    pull = 2 * np.eye(classes) + rng.normal(0, 0.6, size=(classes, classes))  # whom it confuses with whom
    shares = rng.dirichlet(np.full(classes, 4.0), size=2)
    if clipped:
        shares[1, rng.integers(classes)] = 0
    labels = [rng.choice(classes, size=size, p=p / p.sum()) for size, p in zip((n, m), shares)]
    labels[0][:classes] = np.arange(classes)
    source, target = (softmax(pull[y] + rng.normal(0, 0.8, size=(len(y), classes)), axis=1) for y in labels)
    return source, labels[0], target


def _shares(source_probs, source_labels, target_probs):
    """The least share before clipping, the shares, and what likely mistakes give with the message to each."""
    classes = source_probs.shape[1]
    one_hot, mean = np.eye(classes)[source_labels], target_probs.mean(axis=0)
    of_source = one_hot.mean(axis=0)

    def fit(matrix, values):
        return np.linalg.lstsq(matrix, values, rcond=None)[0]

    def normal(values):
        return values.clip(min=0) / values.clip(min=0).sum()

    # The regression of the probabilities on the one-hot labels is the mean of each class: row j belongs to class j.
    means = fit(one_hot, source_probs)
    solved = fit(means.T, mean)
    right = normal(solved)
    hardened = [np.eye(classes)[probs.argmax(axis=1)] for probs in (source_probs, target_probs)]
    hard = normal(fit(fit(one_hot, hardened[0]).T, hardened[1].mean(axis=0)))
    return (
        solved.min(),
        right,
        [
            (solved, "A share is below 0. Set negative shares to 0, then divide by the sum."),
            (solved.clip(min=0), "The shares do not add up to 1. Divide by the sum after you clip."),
            (np.abs(solved) / np.abs(solved).sum(), "You take absolute values. Set negative shares to 0."),
            (normal(nnls(means.T, mean)[0]), "You fit non-negative shares. Solve first, then set to 0."),
            (right / of_source, "Those are the weights. Multiply them by the source's shares."),
            (normal(right / of_source), "Those are weights, from joint means, scaled to 1. Average within classes."),
            (normal(right * of_source), "The source's shares are in twice: M's solution is the shares."),
            (hard, "You count hard predictions, as BBSE does. Take the mean probabilities, of source and target."),
            (normal(fit(means, mean)), "M is transposed. Column j holds the mean probabilities of class j."),
            (mean, "That is the mean of the target's probabilities. The classifier's confusions are still in it."),
        ],
    )


def _verify_shares(case, output):
    _, right, others = _shares(*case.inputs)
    if problem := misfit("shares", output, right.shape):
        return problem
    other = "The shares are not the solution of M q = μ, with negative ones set to 0, divided by their sum."
    return name_mistake(output, others, other) if differs("shares", output, right) else None


# 05.5 Which mismatch?

# The points of each kind, and what to look at where it is missed.
_KINDS = {
    "concept": (
        2,
        "Only names changed: a classifier of the source misreads the labelled part of two classes altogether.",
    ),
    "support": (2, "Many unlabelled points lie far from every class of the source. The labelled part does not."),
    "label": (1, "Each class lies where it lay. The mean of all features moves with the shares: look at each class."),
    "covariate": (
        1,
        "All classes moved. Many points are far from the source, but in every class, and in the labelled part too.",
    ),
}
_TRIALS, _CLASSES, _WIDTH = 6, 4, 6


def _kinds_cases(rng):
    sources, targets, orders = zip(*(_trial(rng) for _ in range(_TRIALS)))
    return [Case((list(sources), list(targets)), {"kind": kind, "orders": orders}, kind) for kind in _KINDS]


def _trial(rng):
    """A source, one target of each kind, and the order of the kinds. Classes are Gaussian, with a spread of 1 to begin with."""
    apart = np.zeros(1)
    while apart.min() < 5 or apart.max() > 9.5:
        means = 2 * rng.normal(size=(_CLASSES + 1, _WIDTH))  # the last is the new class of the support mismatch
        apart = pdist(means)
    order = [str(kind) for kind in rng.permutation(list(_KINDS))]
    scale = 10 ** rng.uniform(-1, 1)
    labels = rng.permutation(np.repeat(np.arange(_CLASSES), 100))
    source = {"features": scale * (means[labels] + rng.normal(size=(400, _WIDTH))), "labels": labels}
    return source, [_target(rng, kind, means, scale) for kind in order], order


def _target(rng, kind, means, scale):
    shares = rng.permutation([0.8, 0.1, 0.06, 0.04]) if kind == "label" else np.full(_CLASSES, 0.25)
    labels = rng.choice(_CLASSES, size=400, p=shares)
    few = rng.permutation(np.repeat(np.arange(_CLASSES), 20))
    if kind == "support":
        labels[rng.permutation(400)[:160]] = _CLASSES
    spread = 1.15 if kind == "label" else 1
    parts = [means[y] + spread * rng.normal(size=(len(y), _WIDTH)) for y in (labels, few)]
    if kind == "covariate":
        centre, stretch, shift = means[:_CLASSES].mean(axis=0), rng.uniform(1.3, 1.5), rng.normal(size=_WIDTH)
        shift *= rng.uniform(1.6, 2) / np.linalg.norm(shift)
        parts = [centre + stretch * (points - centre) + shift for points in parts]
    if kind == "concept":
        first, second = rng.permutation(_CLASSES)[:2]
        few = np.select([few == first, few == second], [second, first], few)
    return {"features": scale * parts[0], "few_features": scale * parts[1], "few_labels": few}


def _observe_kinds(function, inputs):
    return [function(source, targets) for source, targets in zip(*inputs)]


def _verify_kinds(case, answers):
    kind = case.truth["kind"]
    for names in answers:
        is_list = type(names) in (list, tuple) and all(type(name) is str for name in names)
        if not is_list or sorted(names) != sorted(_KINDS):
            return f"Return a list of four names: {', '.join(sorted(_KINDS))}, each once."
    named = [names[order.index(kind)] for names, order in zip(answers, case.truth["orders"])]
    missed = Counter(name for name in named if name != kind)
    if not missed:
        return None
    return (
        f"{kind}: named in {named.count(kind)} of {len(named)} trials, most often taken for "
        f"{missed.most_common(1)[0][0]}. {_KINDS[kind][1]}"
    )


# 05.6 Bug clinic

_DISTANCES, _THRESHOLD = "distances", "threshold"
_NEIGHBOURS, _LEVEL = (1, 3, 5, 7, 9), 0.95
# What can be wrong with a distance. An observed list of distances is explained by a flag for each.
_BUGS = (
    "The features are standardised with the held-out points among them. Take mean and spread of the fitting halves.",
    "k is chosen by the error on the held-out halves. Nothing may be chosen there: k is 5.",
    "Every held-out point counts once, so to answer “source” always looks good. Average the two domains' errors.",
    "A distance is below 0. Where the error exceeds one half, the distance is 0.",
)
_FLAGS = sorted(product((False, True), repeat=len(_BUGS)), key=sum)  # the right way, one bug, two bugs, …


def _watch_cases(rng):
    while True:
        inputs = _watch_inputs(rng)
        seen = _watched(*inputs)
        right, nulls = seen[_FLAGS[0]]
        shown = _apart(right, [seen[flags] for flags in _FLAGS[1 : len(_BUGS) + 1]], 0.02)
        thresholds = [_quantile(nulls), *(other for other, _ in _threshold_others(nulls))]
        # With every combination of bugs, a single deal is another threshold than the quantile.
        single = min(abs(values[0] - _quantile(values)) for _, values in seen.values())
        if shown and pdist(np.array(thresholds)[:, None]).min() > 0.02 and single > 0.02:
            return [Case(inputs, {"part": part, "seen": seen}, part) for part in (_DISTANCES, _THRESHOLD)]


def _watch_inputs(rng):
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


def _numbers(value):
    """A list of numbers of any type as an array; anything else as it is."""
    items = [as_array(item) for item in value] if type(value) in (list, tuple) else [None]
    return value if any(item is None or item.shape for item in items) else np.array(items)


def _quantile(values):
    return np.quantile(values, _LEVEL)


def _threshold_others(values):
    """What likely mistakes make of the distances of the deals, and the message to each."""
    return [
        (values[0], "The threshold is the distance of a single deal: chance decides. Take the 0.95 quantile over all."),
        (values.max(), "The threshold is the largest distance of the deals. Take their 0.95 quantile."),
        (values.mean(), "The threshold is the mean distance of the deals: nearly every other quiet day would alarm."),
        (np.quantile(values, 1 - _LEVEL), "The threshold is the 0.05 quantile: most quiet days would alarm."),
    ]


def _verify_watch(case, output):
    seen = case.truth["seen"]
    if type(output) is not tuple or len(output) != 2:
        return "Return two things: the list of distances, the threshold."
    distances, threshold = _numbers(output[0]), output[1]
    alike = [flags for flags in _FLAGS if not differs("", distances, seen[flags][0])]
    if case.truth["part"] == _DISTANCES:
        if problem := misfit("distances", distances, seen[_FLAGS[0]][0].shape):
            return problem
        if not alike:
            return "The distances are not those of 5 nearest neighbours, judged on the held-out halves."
        return " ".join(message for message, has in zip(_BUGS, alike[0]) if has) or None
    if problem := misfit("threshold", threshold, ()):
        return problem
    # The threshold is judged by itself: with the distance that the answer measures, bugs and all, or with the right one.
    nulls = [seen[flags][1] for flags in (_FLAGS[0], *alike)]
    if any(not differs("", threshold, _quantile(values)) for values in nulls):
        return None
    others = [other for values in nulls for other in _threshold_others(values)]
    return name_mistake(
        threshold, others, "The threshold is not the 0.95 quantile of the distances that the deals of the source give."
    )


EXERCISES = [
    Exercise("05.1", "Two estimates of MMD", 5, "two_mmds", 5, _mmd_cases, _verify_mmd),
    Exercise("05.2", "A permutation test", 4, "p_value", 5, _test_cases, _verify_test, _observe_test),
    Exercise(
        "05.3",
        "Calibration in bins of equal size",
        5,
        "calibration_by_rank",
        2,
        _calibration_cases,
        _verify_calibration,
    ),
    Exercise("05.4", "Label shift with soft predictions", 5, "target_shares", 2, _shares_cases, _verify_shares),
    Exercise(
        "05.5",
        "Which mismatch?",
        6,
        "name_mismatches",
        30,
        _kinds_cases,
        _verify_kinds,
        _observe_kinds,
        parts={kind: points for kind, (points, _) in _KINDS.items()},
    ),
    Exercise("05.6", "Bug clinic", 6, "watch", 20, _watch_cases, _verify_watch, parts={_DISTANCES: 3, _THRESHOLD: 3}),
]
