"""Answers to the exercises of lesson 05: right ones, written differently, and wrong ones with what they must hear."""

from itertools import combinations

import numpy as np
import torch
from scipy.spatial.distance import cdist
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

from tlcourse import measure


def mmds_by_pairs(x, y, bandwidth):
    def k(a, b):
        return np.exp(-np.dot(a - b, a - b) / (2 * bandwidth**2))

    across = np.mean([k(a, b) for a in x for b in y])
    without = sum(np.mean([k(a, b) for a, b in combinations(points, 2)]) for points in (x, y))
    with_diagonal = sum(np.mean([k(a, b) for a in points for b in points]) for points in (x, y))
    return without - 2 * across, with_diagonal - 2 * across


def mmds_by_signs(x, y, bandwidth):
    """The biased one is a quadratic form in +1/n and −1/m; the unbiased one corrects its diagonal blocks."""
    n, m = len(x), len(y)
    sign = np.repeat([1 / n, -1 / m], [n, m])
    kernel = rbf_kernel(np.concatenate([x, y]), gamma=1 / (2 * bandwidth**2))
    biased = sign @ kernel @ sign
    blocks = [(n, kernel[:n, :n].sum()), (m, kernel[n:, n:].sum())]
    return biased + sum((total - size) / (size * (size - 1)) - total / size**2 for size, total in blocks), biased


def mmds_with(
    kernel=lambda d, s: np.exp(-(d**2) / (2 * s**2)),
    unbiased=lambda k, n: (k.sum() - n) / (n * (n - 1)),
    biased=lambda k, n: k.sum() / n**2,
    across=2,
    finish=lambda value: value,
    swap=False,
    order=(0, 1),
):
    def two_mmds(x, y, bandwidth):
        kx, ky, kxy = (torch.from_numpy(kernel(cdist(a, b), bandwidth)) for a, b in ((x, x), (y, y), (x, y)))
        sizes = (len(y), len(x)) if swap else (len(x), len(y))
        both = [
            finish((within(kx, sizes[0]) + within(ky, sizes[1]) - across * kxy.mean()).item())
            for within in (unbiased, biased)
        ]
        return both[order[0]], both[order[1]]

    return two_mmds


def p_value_by_masks(x, y, statistic, deals):
    pooled = np.concatenate([x, y])
    everyone = np.concatenate([np.arange(len(pooled))[None], deals])  # the measured split is one of them
    values = []
    for deal in everyone:
        chosen = np.isin(np.arange(len(pooled)), deal[: len(x)])
        values.append(statistic(pooled[chosen], pooled[~chosen]))
    return float(np.mean(np.array(values) >= values[0]))


def p_value_with(
    count=lambda values, measured: (values >= measured).sum(),
    share=lambda count, total: (count + 1) / (total + 1),
    pool=lambda x, y: np.concatenate([x, y]),
    first=len,
    last=lambda x, y: x,
):
    def p_value(x, y, statistic, deals):
        pooled, n = pool(x, y), first(last(x, y))
        values = np.array([statistic(pooled[deal[:n]], pooled[deal[n:]]) for deal in deals])
        return share(count(values, statistic(x, y)), len(deals))

    return p_value


def calibration_by_loops(probabilities, labels, bins):
    ranked = sorted((max(row), i) for i, row in enumerate(probabilities.tolist()))
    size, larger = divmod(len(ranked), bins)
    total, worst, start = 0.0, -np.inf, 0
    for b in range(bins):
        group = ranked[start : start + size + (b < larger)]
        start += len(group)
        over = sum(confidence - (int(np.argmax(probabilities[i])) == labels[i]) for confidence, i in group)
        total, worst = total + abs(over), max(worst, over / len(group))
    return total / len(ranked), worst


def calibration_with(
    order=lambda confidence: np.argsort(confidence, kind="stable"),
    confide=lambda p, labels: p.max(axis=1),
    weigh=lambda gaps, sizes: np.abs(gaps) @ sizes / sizes.sum(),
    worst=lambda gaps: gaps.max(),
    cut=lambda confidence, order, bins: np.array_split(order, bins),
):
    def calibration_by_rank(probabilities, labels, bins):
        confidence = confide(probabilities, labels)
        right = probabilities.argmax(axis=1) == labels
        groups = cut(confidence, order(confidence), bins)
        gaps = np.array([confidence[group].mean() - right[group].mean() for group in groups])
        return weigh(gaps, np.array([len(group) for group in groups])), worst(gaps)

    return calibration_by_rank


def _equal_widths(confidence, order, bins):
    number = np.ceil(confidence * bins)
    return [np.flatnonzero(number == b) for b in np.unique(number)]


def shares_by_joint(source_probs, source_labels, target_probs):
    """As BBSE does it: weights from the joint, then times the source's shares."""
    one_hot = np.eye(source_probs.shape[1])[source_labels]
    weights = np.linalg.solve(source_probs.T @ one_hot / len(one_hot), target_probs.mean(axis=0))
    shares = np.maximum(weights * one_hot.mean(axis=0), 0)
    return shares / shares.sum()


def shares_with(
    harden=False,
    matrix=lambda means, shares: means.T,
    clip=lambda shares: shares.clip(min=0),
    scale=lambda shares: shares / shares.sum(),
    finish=lambda shares, of_source: shares,
):
    def target_shares(source_probs, source_labels, target_probs):
        classes = source_probs.shape[1]
        if harden:
            source_probs, target_probs = (np.eye(classes)[p.argmax(axis=1)] for p in (source_probs, target_probs))
        means = torch.stack([torch.tensor(source_probs)[source_labels == c].mean(dim=0) for c in range(classes)])
        of_source = np.bincount(source_labels) / len(source_labels)
        shares = np.linalg.inv(matrix(means.numpy(), of_source)) @ target_probs.mean(axis=0)
        return finish(scale(clip(shares)), of_source)

    return target_shares


def shares_by_likelihood(source_probs, source_labels, target_probs):
    of_source = np.bincount(source_labels) / len(source_labels)
    return measure.mlls_weights(target_probs, of_source) * of_source


def _in_turn(readings):
    """Concept, support and covariate in turn go to the target with the largest reading of their own; label is left."""
    names = ["label"] * len(readings)
    for column, kind in enumerate(("concept", "support", "covariate")):
        names[max((i for i in range(4) if names[i] == "label"), key=lambda i: readings[i][column])] = kind
    return names


def kinds_by_models(source, targets):
    """A classifier, a density and its mean in the classifier's axes, each of which sees one of the kinds."""
    x, y = source["features"], source["labels"]
    classifier = LinearDiscriminantAnalysis().fit(x, y)
    density = GaussianMixture(4, means_init=classifier.means_).fit(x)
    low = np.quantile(density.score_samples(x), 0.01)

    def readings(target):
        few = target["few_features"]
        strange = [(density.score_samples(points) < low).mean() for points in (target["features"], few)]
        misread = (classifier.predict(few) != target["few_labels"]).mean()
        return misread, strange[0] - strange[1], -density.score(few)

    return _in_turn([readings(target) for target in targets])


def kinds_by_energy(source, targets):
    """No model: mean distances between the points of the labelled part and of the source, class by class."""
    x, y = source["features"], source["labels"]
    edge = np.quantile(np.sort(cdist(x, x), axis=1)[:, 5], 0.99)  # the first of a point of x is itself

    def readings(target):
        few, labels = target["few_features"], target["few_labels"]
        between = np.array([[cdist(few[labels == c], x[y == d]).mean() for d in range(4)] for c in range(4)])
        far = [(np.sort(cdist(points, x), axis=1)[:, 4] > edge).mean() for points in (target["features"], few)]
        return (np.diag(between) - between.min(axis=1)).max(), far[0] - far[1], np.diag(between).mean()

    return _in_turn([readings(target) for target in targets])


def kinds_by(*columns):
    """For each of three kinds in turn: the target with the largest reading; the last kind gets what is left."""

    def name_mismatches(source, targets):
        x, y = source["features"], source["labels"]
        means = np.stack([x[y == c].mean(axis=0) for c in range(4)])
        edge = np.quantile(cdist(x, means).min(axis=1), 0.99)

        def readings(target):
            points, few = target["features"], target["few_features"]
            predicted = cdist(points, means).argmin(axis=1)
            far = [(cdist(values, means).min(axis=1) > edge).mean() for values in (points, few)]
            return {
                "misread": (cdist(few, means).argmin(axis=1) != target["few_labels"]).mean(),
                "far": far[0],
                "farther": far[0] - far[1],
                "mean": np.linalg.norm(points.mean(axis=0) - x.mean(axis=0)),
                "few mean": np.linalg.norm(few.mean(axis=0) - x.mean(axis=0)),
                "predicted": abs(np.bincount(predicted, minlength=4) / len(points) - 0.25).sum(),
                "alike": -np.linalg.norm(points.mean(axis=0) - x.mean(axis=0)),
            }

        left, seen, names = [0, 1, 2, 3], [readings(target) for target in targets], [None] * 4
        for kind, column in columns:
            found = max(left, key=lambda i: seen[i][column])
            left.remove(found)
            names[found] = kind
        (rest,) = {"covariate", "label", "concept", "support"} - set(names)
        return [name or rest for name in names]

    return name_mismatches


_CONCEPT, _SUPPORT, _COVARIATE = ("concept", "misread"), ("support", "farther"), ("covariate", "few mean")


def watch_by_classifier(source, batches, splits):
    def distance(a, b):
        fitting, domain = np.concatenate([a[0::2], b[0::2]]), np.repeat([0, 1], [len(a[0::2]), len(b[0::2])])
        scaler = StandardScaler().fit(fitting)
        neighbours = KNeighborsClassifier(5).fit(scaler.transform(fitting), domain)
        error = sum((neighbours.predict(scaler.transform(d[1::2])) != i).mean() for i, d in enumerate((a, b))) / 2
        return max(0.0, 2 * (1 - 2 * error))

    m = len(batches[0])
    nulls = [distance(source[deal[m:]], source[deal[:m]]) for deal in splits]
    return [distance(source, batch) for batch in batches], float(np.quantile(nulls, 0.95))


def watch_with(
    by_all=False,
    numbers=(5,),
    plain=False,
    finish=lambda d: max(d, 0.0),
    threshold=lambda nulls: np.quantile(nulls, 0.95),
    order=lambda deal: deal,
):
    def watch(source, batches, splits):
        def distance(a, b):
            x, domain = np.concatenate([a, b]), np.repeat([False, True], [len(a), len(b)])
            fits = np.concatenate([np.arange(len(a)), np.arange(len(b))]) % 2 == 0
            scaled = (x - x[fits | by_all].mean(axis=0)) / x[fits | by_all].std(axis=0, ddof=1)
            nearest = cdist(scaled[~fits], scaled[fits]).argsort(axis=1)
            errors = []
            for k in numbers:
                wrong = (domain[fits][nearest[:, :k]].mean(axis=1) > 0.5) != domain[~fits]
                by_domain = [wrong[~domain[~fits]].mean(), wrong[domain[~fits]].mean()]
                errors.append(wrong.mean() if plain else np.mean(by_domain))
            return finish(2 * (1 - 2 * min(errors)))

        m = len(batches[0])
        nulls = [distance(source[order(deal)[m:]], source[order(deal)[:m]]) for deal in splits]
        return np.array([distance(source, batch) for batch in batches]), threshold(np.array(nulls))

    return watch


RIGHT = [
    ("05.1", mmds_by_pairs),
    ("05.1", mmds_by_signs),
    ("05.1", mmds_with()),
    ("05.2", p_value_by_masks),
    ("05.2", p_value_with()),
    ("05.3", calibration_by_loops),
    ("05.3", calibration_with()),
    ("05.4", shares_by_joint),
    ("05.4", shares_with()),
    ("05.5", kinds_by_models),
    ("05.5", kinds_by_energy),
    ("05.5", kinds_by(_CONCEPT, _SUPPORT, _COVARIATE)),
    ("05.6", watch_by_classifier),
    ("05.6", watch_with()),
]

WRONG = [
    ("05.1", mmds_with(lambda d, s: np.exp(-d / (2 * s**2))), "is not squared"),
    ("05.1", mmds_with(lambda d, s: np.exp(-((d / s) ** 2))), "The 2 is missing"),
    ("05.1", mmds_with(lambda d, s: np.exp(-(d**2) / (2 * s))), "Square the bandwidth"),
    ("05.1", mmds_with(lambda d, s: np.exp(-(d**2) * s)), "as by a gamma"),
    ("05.1", mmds_with(unbiased=lambda k, n: k.sum() / n**2), "The diagonal is in the unbiased estimate"),
    ("05.1", mmds_with(unbiased=lambda k, n: k.sum() / (n * (n - 1))), "but the diagonal is in the sum"),
    ("05.1", mmds_with(unbiased=lambda k, n: (k.sum() - n) / n**2), "leave out the diagonal but divide by n²"),
    ("05.1", mmds_with(biased=lambda k, n: (k.sum() - n) / n**2), "You divide by n² but leave out"),
    ("05.1", mmds_with(biased=lambda k, n: (k.sum() - n) / (n * (n - 1))), "The biased estimate keeps"),
    ("05.1", mmds_with(finish=lambda value: max(value, 0.0) ** 0.5), "You take the root"),
    ("05.1", mmds_with(finish=lambda value: max(value, 0.0)), "You cut it off at 0"),
    ("05.1", mmds_with(swap=True, unbiased=lambda k, n: (k.sum() - len(k)) / (n * (n - 1))), "n and m are mixed up"),
    ("05.1", mmds_with(across=1), "The pairs across count twice"),
    ("05.1", mmds_with(order=(1, 0)), "The two are swapped"),
    ("05.1", lambda x, y, bandwidth: measure.mmd(x, y), "Return two numbers"),
    ("05.1", lambda x, y, bandwidth: (0.0, 0.0), "not the right value"),
    ("05.2", p_value_with(share=lambda count, total: count / total), "The measured split is missing"),
    ("05.2", p_value_with(share=lambda count, total: count / (total + 1)), "Add 1 to the count too"),
    ("05.2", p_value_with(share=lambda count, total: (count + 1) / total), "Divide by P + 1"),
    ("05.2", p_value_with(share=lambda count, total: 1 - (count + 1) / (total + 1)), "1 minus the p-value"),
    ("05.2", p_value_with(lambda values, measured: (values > measured).sum()), "Ties count"),
    ("05.2", p_value_with(lambda values, measured: (values <= measured).sum()), "You count deals at most as large"),
    ("05.2", p_value_with(lambda values, measured: (abs(values) >= abs(measured)).sum()), "absolute values"),
    ("05.2", p_value_with(last=lambda x, y: y), "The sizes are swapped"),
    ("05.2", p_value_with(pool=lambda x, y: np.concatenate([y, x])), "The pool begins with x"),
    ("05.2", lambda x, y, statistic, deals: measure.mmd_test(x, y)[1], "not the right value"),
    ("05.2", lambda x, y, statistic, deals: deals, "p-value: want shape ()"),
    ("05.3", calibration_with(cut=_equal_widths), "equally wide"),
    ("05.3", calibration_with(weigh=lambda gaps, sizes: np.abs(gaps).mean()), "You average over groups"),
    ("05.3", calibration_with(weigh=lambda gaps, sizes: abs(gaps @ sizes) / sizes.sum()), "signed gaps"),
    ("05.3", calibration_with(cut=lambda c, order, bins: np.array_split(order, len(order))), "the gap of each example"),
    (
        "05.3",
        calibration_with(confide=lambda p, labels: p[np.arange(len(labels)), labels]),
        "not the true class's",
    ),
    ("05.3", calibration_with(order=lambda confidence: np.argsort(-confidence)), "Sort ascending"),
    ("05.3", calibration_with(order=lambda c: np.lexsort((-np.arange(len(c)), c))), "take a stable sort"),
    ("05.3", calibration_with(order=lambda c: np.lexsort((np.arange(len(c)) % 7, c))), "take a stable sort"),
    ("05.3", calibration_with(worst=lambda gaps: (-gaps).max()), "worst has a sign"),
    ("05.3", calibration_with(worst=lambda gaps: np.abs(gaps).max()), "worst has a sign"),
    ("05.3", calibration_with(worst=lambda gaps: -gaps.max()), "not the other way round"),
    ("05.3", calibration_with(worst=lambda gaps: gaps.min()), "worst is the least gap"),
    ("05.3", calibration_with(worst=lambda gaps: max(gaps.max(), 0)), "You cut worst off at 0"),
    ("05.3", lambda p, labels, bins: measure.expected_calibration_error(p, labels, bins=bins), "Return two numbers"),
    ("05.4", shares_with(clip=lambda shares: shares), "A share is below 0"),
    ("05.4", shares_with(scale=lambda shares: shares), "do not add up to 1"),
    ("05.4", shares_with(clip=np.abs), "absolute values"),
    ("05.4", shares_with(matrix=lambda means, shares: means), "M is transposed"),
    ("05.4", shares_with(matrix=lambda means, shares: means.T * shares), "from joint means"),
    ("05.4", shares_with(finish=lambda shares, of_source: shares / of_source), "Those are the weights"),
    (
        "05.4",
        shares_with(finish=lambda shares, of_source: shares * of_source / (shares @ of_source)),
        "The source's shares are in twice",
    ),
    ("05.4", shares_with(harden=True), "hard predictions"),
    ("05.4", lambda probs, labels, target_probs: target_probs.mean(axis=0), "mean of the target's probabilities"),
    ("05.4", shares_by_likelihood, "not the solution of M q = μ"),
    ("05.4", lambda probs, labels, target_probs: 0.5, "shares: want shape (3,)"),
    ("05.5", kinds_by(("support", "far"), _CONCEPT, _COVARIATE), "support: named in"),
    ("05.5", kinds_by(_CONCEPT, _SUPPORT, ("covariate", "mean")), "The mean of all features moves"),
    ("05.5", kinds_by(("covariate", "mean"), ("support", "farther"), ("label", "predicted")), "named in"),
    ("05.5", kinds_by(("covariate", "misread"), _SUPPORT, ("label", "predicted")), "concept: named in 0 of 6"),
    ("05.5", kinds_by(("concept", "alike"), ("support", "far"), ("label", "predicted")), "The labelled part does not"),
    ("05.5", lambda source, targets: ["covariate", "label", "concept", "support"], "concept: named in"),
    ("05.5", lambda source, targets: ["concept"] * 4, "each once"),
    ("05.5", lambda source, targets: "concept", "each once"),
    ("05.6", watch_with(by_all=True), "standardised with the held-out points"),
    ("05.6", watch_with(numbers=(1, 3, 5, 7, 9)), "k is chosen by the error"),
    ("05.6", watch_with(plain=True), "to answer “source” always looks good"),
    ("05.6", watch_with(finish=lambda d: d), "A distance is below 0"),
    ("05.6", watch_with(by_all=True, plain=True), "fitting halves. Every held-out point counts once"),
    ("05.6", watch_with(finish=lambda d: max(d / 2, 0.0)), "not those of 5 nearest neighbours"),
    ("05.6", watch_with(threshold=lambda nulls: nulls[0]), "the distance of a single deal"),
    ("05.6", watch_with(threshold=np.max), "the largest distance of the deals"),
    ("05.6", watch_with(threshold=np.mean), "the mean distance of the deals"),
    ("05.6", watch_with(threshold=lambda nulls: np.quantile(nulls, 0.05)), "the 0.05 quantile"),
    ("05.6", watch_with(order=lambda deal: deal[::-1]), "not the 0.95 quantile"),
    ("05.6", lambda source, batches, splits: [0.0], "Return two things"),
    ("05.6", lambda source, batches, splits: (0.0, 0.0), "distances: want shape (4,)"),
]
