"""Answers to the exercises of lesson 07: right ones, written differently, and wrong ones with what they must hear."""

import numpy as np
import torch
import torch.nn.functional as F
from scipy import special, stats
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.preprocessing import StandardScaler

from tlcourse import measure
from tlcourse.training import extract_features


def leep_in_logarithms(logits, labels):
    """Nothing underflows: log P(y|z) and log p(z|x) are added, and summed by logsumexp."""
    log_p = special.log_softmax(np.asarray(logits, dtype=np.float64), axis=1)
    labels = np.asarray(labels)
    log_joint = np.stack([special.logsumexp(log_p[labels == y], axis=0) for y in range(labels.max() + 1)])
    log_given = log_joint - special.logsumexp(log_joint, axis=0)
    return special.logsumexp(log_p + log_given[labels], axis=1)


def leep_by_pairs(logits, labels):
    """Each image asks the images that share its label how much they put on the same source classes."""
    probs = logits.double().softmax(dim=1)
    same = (labels[:, None] == labels).double()
    total = probs.sum(dim=0)
    shares = torch.where(total > 0, probs / total, 0.0)
    return [float(value) for value in ((probs @ shares.T) * same).sum(dim=1).log()]


def leep_with(
    turn=lambda logits: logits.softmax(dim=1),
    condition=lambda joint: joint / joint.sum(dim=0).clamp(min=1e-30),
    finish=lambda expected: expected.log(),
    hard=False,
    log_inside=False,
):
    def log_expected_predictions(logits, labels):
        probs = turn(logits.double())
        if hard:
            probs = F.one_hot(probs.argmax(dim=1), probs.shape[1]).double()
        given = condition(F.one_hot(labels).double().T @ probs / len(labels))[labels]
        if log_inside:
            return (probs * given.log()).sum(dim=1)
        return finish((probs * given).sum(dim=1))

    return log_expected_predictions


def _unsafe_softmax(logits):
    return logits.exp() / logits.exp().sum(dim=1, keepdim=True)


def evidence_by_scipy(features, y, alpha, beta):
    covariance = np.eye(len(y)) / beta + features @ features.T / alpha
    return stats.multivariate_normal(np.zeros(len(y)), covariance).logpdf(y) / len(y)


def evidence_by_singular_values(features, y, alpha, beta):
    u, s, _ = np.linalg.svd(features)
    variances = np.full(len(y), 1 / beta)
    variances[: len(s)] += s**2 / alpha
    return stats.norm.logpdf(u.T @ y, scale=np.sqrt(variances)).mean()


def evidence_with(
    alpha_term=lambda n, width: width / 2,
    log_det=-0.5,
    constant=True,
    mean=True,
    prior=True,
    noise=True,
    naive=False,
    turn=lambda alpha, beta: (alpha, beta),
    centre=False,
):
    def class_evidence(features, y, alpha, beta):
        alpha, beta = turn(alpha, beta)
        features = features - features.mean(axis=0) if centre else features
        n, width = features.shape
        A = alpha * np.eye(width) + beta * features.T @ features
        m = beta * np.linalg.solve(A, features.T @ y)
        total = n / 2 * np.log(beta) * noise + alpha_term(n, width) * np.log(alpha)
        total -= n / 2 * np.log(2 * np.pi) * constant + beta / 2 * np.square(features @ m - y).sum()
        total -= alpha / 2 * m @ m * prior
        with np.errstate(over="ignore"):
            total += log_det * (np.log(np.linalg.det(A)) if naive else np.linalg.slogdet(A)[1])
        return total / n if mean else total

    return class_evidence


def _leave_out(tau, scores, accuracies):
    left_out = [tau(np.delete(scores, i), np.delete(accuracies, i)) for i in range(len(scores))]
    return tau(scores, accuracies), min(left_out), max(left_out)


def agreement_by_loops(scores, accuracies):
    def tau(scores, accuracies):
        order = sorted(range(len(scores)), key=lambda i: (accuracies[i], scores[i]), reverse=True)
        both = by_score = by_accuracy = 0.0
        for r, i in enumerate(order):
            for s, j in enumerate(order[:r]):
                weight = 1 / (r + 1) + 1 / (s + 1)
                a, b = np.sign(scores[i] - scores[j]), np.sign(accuracies[i] - accuracies[j])
                both, by_score, by_accuracy = (
                    both + weight * a * b,
                    by_score + weight * a**2,
                    by_accuracy + weight * b**2,
                )
        return both / np.sqrt(by_score * by_accuracy)

    return _leave_out(tau, scores, accuracies)


def agreement_with(tau=lambda s, a: stats.weightedtau(a, s, rank=None).statistic, ends=lambda low, high: (low, high)):
    def rank_agreement(scores, accuracies):
        whole, low, high = _leave_out(tau, scores, accuracies)
        return whole, *ends(low, high)

    return rank_agreement


def _position_ties(scores, accuracies):
    ranks = np.empty(len(scores), dtype=int)
    ranks[np.argsort(-accuracies, kind="stable")] = np.arange(len(scores))
    return stats.weightedtau(accuracies, scores, rank=ranks).statistic


def _worst_first(scores, accuracies):
    ranks = np.empty(len(scores), dtype=int)
    ranks[np.lexsort((scores, accuracies))] = np.arange(len(scores))
    return stats.weightedtau(accuracies, scores, rank=ranks).statistic


def _tied_pairs_count(scores, accuracies):
    order = np.lexsort((-scores, -accuracies))
    ranks = np.argsort(order)
    weights = np.add.outer(1 / (ranks + 1), 1 / (ranks + 1))
    np.fill_diagonal(weights, 0)
    agree = np.sign(np.subtract.outer(scores, scores) * np.subtract.outer(accuracies, accuracies))
    return (weights * agree).sum() / weights.sum()


def agreement_with_old_ranks(scores, accuracies):
    ranks = np.argsort(np.lexsort((-scores, -accuracies)))
    whole = stats.weightedtau(accuracies, scores, rank=ranks).statistic
    left_out = []
    for i in range(len(scores)):
        s, a, r = (np.delete(values, i) for values in (scores, accuracies, ranks))
        weights = np.add.outer(1 / (r + 1), 1 / (r + 1))
        d, e = np.sign(np.subtract.outer(s, s)), np.sign(np.subtract.outer(a, a))
        left_out.append((weights * d * e).sum() / np.sqrt((weights * d**2).sum() * (weights * e**2).sum()))
    return whole, min(left_out), max(left_out)


def _standard(features):
    return StandardScaler().fit_transform(features)


def choose_by_cross_validation(features, labels):
    means = [
        cross_val_score(LogisticRegression(C=0.1, max_iter=500), _standard(x), labels, cv=3).mean() for x in features
    ]
    return means.index(max(means))


def choose_by(score, best=np.argmax):
    def choose_source(features, labels):
        return best([score(x, labels) for x in features])

    return choose_source


def _train_accuracy(features, labels):
    z = np.hstack([features, np.ones((len(features), 1))])
    weights = np.linalg.lstsq(z, np.eye(labels.max() + 1)[labels], rcond=None)[0]
    return ((z @ weights).argmax(axis=1) == labels).mean()


def _norm(features, labels):
    return np.linalg.norm(features, axis=1).mean()


def _at_random(features, labels):
    return int(np.random.default_rng(len(labels) + features[0].shape[1]).integers(len(features)))


def clinic_by_numpy(sources, train, test):
    (x, y), (test_x, test_y) = [(images, labels.numpy()) for images, labels in (train, test)]
    classes, index = np.unique(y, return_inverse=True)
    scores = {}
    for name, network in sources.items():
        with torch.no_grad():
            scores[name] = measure.leep(network(x).double().softmax(dim=1), index)
    names = [name for _, name in sorted((-score, name) for name, score in scores.items())]
    best = sources[names[0]]
    scaler = StandardScaler().fit(extract_features(best, x))
    z, test_z = scaler.transform(extract_features(best, x)), scaler.transform(extract_features(best, test_x))
    distances = np.stack([np.linalg.norm(test_z - z[y == label].mean(axis=0), axis=1) for label in classes])
    return names, [scores[name] for name in names], (classes[distances.argmin(axis=0)] == test_y).mean()


def clinic_with(
    on="train",
    turn=lambda logits: logits.softmax(dim=1),
    descending=True,
    scale="train",
    numbers=True,
    measured="test",
    unit=1,
):
    def rank_sources(sources, train, test):
        sets = {"train": train, "test": test}
        images, labels = sets[on]
        index = labels.unique(return_inverse=True)[1]
        scores = {}
        for name, network in sources.items():
            with torch.no_grad():
                probs = turn(network(images)).double()
            joint = F.one_hot(index).double().T @ probs
            scores[name] = (probs * (joint / joint.sum(dim=0))[index]).sum(dim=1).log().mean().item()
        names = sorted(scores, key=scores.get, reverse=descending)
        features = {part: extract_features(sources[names[0]], pair[0]) for part, pair in sets.items()}

        def scaled(part):
            by = features[part if scale == "own" else "train"]
            return features[part] if scale is None else (features[part] - by.mean(dim=0)) / by.std(dim=0)

        classes = train[1].unique()
        means = torch.stack([scaled("train")[train[1] == label].mean(dim=0) for label in classes])
        found = torch.cdist(scaled(measured), means).argmin(dim=1)
        accuracy = ((classes[found] if numbers else found) == sets[measured][1]).float().mean().item()
        return names, [scores[name] for name in names], unit * accuracy

    return rank_sources


RIGHT = [
    ("07.1", leep_in_logarithms),
    ("07.1", leep_by_pairs),
    ("07.1", leep_with()),
    ("07.2", evidence_by_scipy),
    ("07.2", evidence_by_singular_values),
    ("07.2", evidence_with()),
    ("07.3", agreement_by_loops),
    ("07.3", agreement_with()),
    ("07.4", choose_by_cross_validation),
    ("07.4", choose_by(measure.logme)),
    ("07.4", choose_by(lambda x, y: measure.knn_accuracy(_standard(x), y))),
    ("07.5", clinic_by_numpy),
    ("07.5", clinic_with()),
]

WRONG = [
    ("07.1", leep_with(finish=lambda expected: expected.log().mean()), "LEEP is the mean of"),
    ("07.1", leep_with(finish=lambda expected: expected), "Take the logarithm"),
    ("07.1", leep_with(hard=True), "That is NCE"),
    ("07.1", leep_with(turn=lambda logits: logits.softmax(dim=0)), "The softmax runs over the images"),
    ("07.1", leep_with(turn=torch.exp), "do not sum to 1. Divide by their sum"),
    ("07.1", leep_with(turn=torch.sigmoid), "A sigmoid of each logit"),
    ("07.1", leep_with(turn=lambda logits: logits), "Turn the logits into probabilities first"),
    ("07.1", leep_with(condition=lambda joint: joint), "You average the joint"),
    ("07.1", leep_with(condition=lambda joint: joint / joint.sum(dim=1, keepdim=True)), "which gives P(z|y)"),
    ("07.1", leep_with(log_inside=True), "inside the sum"),
    ("07.1", leep_with(condition=lambda joint: joint / joint.sum(dim=0)), "0/0"),
    ("07.1", leep_with(turn=_unsafe_softmax), "exp overflows"),
    ("07.1", lambda logits, labels: "low", "output: want an array"),
    ("07.2", evidence_with(mean=False), "Divide by N"),
    ("07.2", evidence_with(constant=False), "½ log 2π"),
    ("07.2", evidence_with(alpha_term=lambda n, width: 0), "The term D/2 · log α is missing"),
    ("07.2", evidence_with(alpha_term=lambda n, width: min(n, width) / 2), "does not reach count as well"),
    ("07.2", evidence_with(log_det=0.5), "The sign of ½ log det A"),
    ("07.2", evidence_with(log_det=-1), "the whole log det A"),
    ("07.2", evidence_with(log_det=0), "½ log det A is missing"),
    ("07.2", evidence_with(prior=False), "mᵀm is missing"),
    ("07.2", evidence_with(noise=False), "N/2 · log β is missing"),
    ("07.2", evidence_with(alpha_term=lambda n, width: 0, log_det=0, prior=False), "the best weights alone"),
    ("07.2", evidence_with(turn=lambda alpha, beta: (1 / alpha, 1 / beta)), "precisions"),
    ("07.2", evidence_with(turn=lambda alpha, beta: (beta, alpha)), "swapped"),
    ("07.2", evidence_with(centre=True), "You centre the features"),
    ("07.2", evidence_with(naive=True), "slogdet"),
    ("07.2", lambda features, y, alpha, beta: 0.0, "The evidence is not right"),
    ("07.2", lambda features, y, alpha, beta: y, "evidence: want shape ()"),
    ("07.3", agreement_with(lambda s, a: stats.kendalltau(s, a).statistic), "Kendall's τ without weights"),
    ("07.3", agreement_with(lambda s, a: stats.weightedtau(s, a).statistic), "as SciPy does unless told otherwise"),
    ("07.3", agreement_with(lambda s, a: stats.weightedtau(s, a, rank=None).statistic), "You rank by the scores"),
    ("07.3", agreement_with(lambda s, a: stats.weightedtau(a, s, rank=False).statistic), "positions in the list"),
    (
        "07.3",
        agreement_with(lambda s, a: stats.weightedtau(a, s, rank=None, additive=False).statistic),
        "Add them",
    ),
    ("07.3", agreement_with(_worst_first), "The worst source has rank 0"),
    ("07.3", agreement_with(_tied_pairs_count), "Tied pairs count"),
    ("07.3", agreement_with(_position_ties), "you rank by position"),
    ("07.3", agreement_with(ends=lambda low, high: (high, low)), "swapped"),
    ("07.3", agreement_with_old_ranks, "Rank again"),
    (
        "07.3",
        lambda s, a: (stats.weightedtau(a, s, rank=None).statistic,) * 3,
        "Leave out one source at a time",
    ),
    (
        "07.3",
        agreement_with(ends=lambda low, high: (low - 0.1, high)),
        "which is not the right value. They are the least",
    ),
    ("07.3", lambda s, a: stats.weightedtau(a, s, rank=None).statistic, "Return three numbers"),
    ("07.4", choose_by(_norm), "with large features"),
    ("07.4", choose_by(_norm, np.argmin), "with few and small features"),
    ("07.4", choose_by(lambda x, y: x.shape[1]), "more dimensions than you have examples"),
    ("07.4", choose_by(_train_accuracy), "more dimensions than you have examples"),
    ("07.4", choose_by(measure.h_score), "more dimensions than you have examples"),
    ("07.4", choose_by(measure.knn_accuracy), "where another is clearly better"),
    ("07.4", _at_random, "The mean regret is"),
    ("07.4", lambda features, labels: 0, "The mean regret is"),
    ("07.4", lambda features, labels: len(features), "choice: want the position"),
    ("07.4", lambda features, labels: features[0], "choice: want shape ()"),
    ("07.5", clinic_with(on="test"), "on the test images. The choice"),
    ("07.5", clinic_with(turn=torch.exp), "The exponentials of the logits"),
    ("07.5", clinic_with(turn=torch.sigmoid), "A sigmoid of each logit"),
    ("07.5", clinic_with(turn=lambda logits: logits.softmax(dim=0)), "The softmax runs over the images"),
    ("07.5", clinic_with(turn=lambda logits: 2 * logits.exp()), "at most 0"),
    ("07.5", clinic_with(turn=lambda logits: (2 * logits).softmax(dim=1)), "The scores are not LEEP"),
    ("07.5", clinic_with(descending=False), "The worst source comes first"),
    ("07.5", clinic_with(scale="own"), "with their own statistics"),
    ("07.5", clinic_with(scale=None), "The features are not standardised"),
    ("07.5", clinic_with(numbers=False), "positions of classes"),
    ("07.5", clinic_with(measured="train"), "on the training images"),
    ("07.5", clinic_with(unit=100), "a percentage"),
    ("07.5", lambda sources, train, test: list(sources), "Return three things"),
    ("07.5", lambda sources, train, test: ("animals", [0.0], 0.5), "a list of the 3 names"),
]
