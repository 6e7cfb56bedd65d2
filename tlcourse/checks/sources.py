"""Exercises of lesson 07: LEEP by image, LogME's evidence, weighted τ, a choice judged by regret, mend a ranking."""

from collections import Counter
from itertools import product

import numpy as np
import torch
from scipy.special import softmax
from sklearn.linear_model import RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tlcourse.checks.compare import as_array, differs, misfit
from tlcourse.checks.spec import Case, Exercise
from tlcourse.models import tiny_resnet
from tlcourse.training import extract_features

# 07.1 LEEP, image by image

_NOT_FINITE = {
    "plain": "It is not finite: the logarithm of something that is no probability. Turn the logits into probabilities first.",
    "empty class": (
        "A source class that gets no probability from any image makes it NaN: its P(y|z) is 0/0. Nothing goes by way of "
        "it, so let P(y|z) be 0 there."
    ),
    "large": (
        "It is not finite once the logits are large: exp overflows. Subtract each row's maximum first, or call softmax."
    ),
}


def _leep_cases(rng):
    cases = []
    for kind, n, source_classes, classes in (("plain", 24, 6, 3), ("empty class", 30, 7, 4), ("large", 40, 5, 3)):
        labels = np.concatenate([np.arange(classes), rng.integers(classes, size=n - classes)])
        pull = rng.normal(size=(classes, source_classes))[labels]
        logits = pull + 1.5 * rng.normal(size=(n, source_classes))
        if kind == "empty class":
            logits[:, rng.integers(source_classes)] = -1000.0
        if kind == "large":
            logits += rng.choice((-1000.0, 500.0, 1000.0), size=(n, 1))
        tensors = torch.tensor(logits, dtype=torch.float32), torch.tensor(labels)
        cases.append(Case(tensors, {"kind": kind}))
    return cases


def _joint(probs, labels):
    return np.eye(labels.max() + 1)[labels].T @ probs / len(labels)


def _given(joint):
    """P(y|z) from P(y, z); 0 where P(z) is."""
    return joint / np.maximum(joint.sum(axis=0), 1e-300)


def _expected(probs, labels, condition=_given):
    """For each image, the sum over z of p(z|x) · P(y|z) at its own label y."""
    return (probs * condition(_joint(probs, labels))[labels]).sum(axis=1)


def _verify_leep(case, output):
    logits, labels = case.inputs[0].double().numpy(), case.inputs[1].numpy()
    n = len(labels)
    array = as_array(output)
    if array is not None and array.shape == ():
        return f"That is one number. LEEP is the mean of the {n} that are asked for: return them before the mean."
    if array is not None and array.shape == (n,) and not np.isfinite(array).all():
        return _NOT_FINITE[case.truth["kind"]]
    if problem := misfit("output", output, (n,)):
        return problem
    probs = softmax(logits, axis=1)
    right = np.log(_expected(probs, labels))
    problem = differs("output", output, right, 1e-4)
    if problem is None:
        return None
    hardest = np.eye(probs.shape[1])[probs.argmax(axis=1)]
    logarithms = np.log(np.maximum(_given(_joint(probs, labels))[labels], 1e-300))
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        alternatives = (
            (np.exp(right), "Those are the expected predictions themselves. Take the logarithm of each."),
            (
                np.log(_expected(hardest, labels)),
                "You use only the most likely source class. That is NCE; LEEP weighs all source classes.",
            ),
            (
                np.log(_expected(softmax(logits, axis=0), labels)),
                "The softmax runs over the images. The probabilities of each image sum to 1: each row.",
            ),
            (
                np.log(_expected(np.exp(logits), labels)),
                "The rows of the probabilities do not sum to 1. Divide by their sum: softmax.",
            ),
            (
                np.log(_expected(1 / (1 + np.exp(-logits)), labels)),
                "A sigmoid of each logit makes rows that do not sum to 1. Take the softmax.",
            ),
            (
                np.log(_expected(probs, labels, condition=lambda joint: joint)),
                "You average the joint P(y, z). Divide it by P(z) to get P(y|z).",
            ),
            (
                np.log(_expected(probs, labels, condition=lambda joint: joint / joint.sum(axis=1, keepdims=True))),
                "You divide by P(y), which gives P(z|y). Divide the joint by P(z), its sum over the labels.",
            ),
            (
                (probs * logarithms).sum(axis=1),
                "The logarithm stands inside the sum over z. Sum the probabilities first.",
            ),
        )
    return next((message for other, message in alternatives if not differs("", output, other, 1e-4)), problem)


# 07.2 The evidence of one class


def _evidence_cases(rng):
    cases = []
    for n, width, scale in ((40, 6, 1.0), (25, 60, 0.5), (200, 150, 3.0)):
        features = scale * rng.normal(size=(n, width))
        y = (features[:, 0] + scale * rng.normal(size=n) > 0.3 * scale).astype(float)
        alpha, beta = float(rng.uniform(0.3, 0.7)), float(rng.uniform(3, 8))
        cases.append(Case((features, y, alpha, beta), {}))
    return cases


def _log_evidence(features, y, alpha, beta):
    """Log density per example of y under N(0, I/β + FFᵀ/α)."""
    covariance = np.eye(len(y)) / beta + features @ features.T / alpha
    quadratic = y @ np.linalg.solve(covariance, y)
    return -(len(y) * np.log(2 * np.pi) + np.linalg.slogdet(covariance)[1] + quadratic) / (2 * len(y))


def _verify_evidence(case, output):
    features, y, alpha, beta = case.inputs
    n, width = features.shape
    array = as_array(output)
    if array is not None and array.shape == () and not np.isfinite(array):
        return "It is not finite: a determinant of this size leaves the range of floats. Take np.linalg.slogdet."
    if problem := misfit("evidence", output, ()):
        return problem
    right = _log_evidence(*case.inputs)
    if not differs("", output, right, 1e-7):
        return None
    precision = alpha * np.eye(width) + beta * features.T @ features
    weights = beta * np.linalg.solve(precision, features.T @ y)
    log_det = np.linalg.slogdet(precision)[1]
    beyond = max(width - n, 0) / 2 * np.log(alpha) / n
    fit = (np.log(beta / (2 * np.pi)) - beta * np.mean((y - features @ weights) ** 2)) / 2
    beyond_message = (
        f"With D = {width} > N = {n} the {width - n} directions that F does not reach count as well: D/2 · log α "
        "belongs to log det of the whole D × D matrix A, and k/2 · log α to k singular values. Do not mix the two."
    )
    for other, message in (
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
        (
            _log_evidence(features, y, 1 / alpha, 1 / beta),
            "You take α and β for variances. They are precisions: the variances are 1/α and 1/β.",
        ),
        (_log_evidence(features, y, beta, alpha), "α and β are swapped: α belongs to the weights, β to the noise."),
        (
            _log_evidence(features - features.mean(axis=0), y, alpha, beta),
            "You centre the features. The regression here has no intercept and takes them as they are.",
        ),
    ):
        if other != right and not differs("", output, other, 1e-7):
            return message
    return "The evidence is not right. Compare it with the log density of y under N(0, I/β + FFᵀ/α), divided by N."


# 07.3 A weighted rank correlation


def _ranks(first, second):
    """0 for the largest of first; second breaks ties, the larger before the smaller."""
    ranks = np.empty(len(first), dtype=int)
    ranks[np.lexsort((-second, -first))] = np.arange(len(first))
    return ranks


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


def _tau_right(scores, accuracies):
    return _tau(scores, accuracies, _ranks(accuracies, scores))


def _tau_others(scores, accuracies):
    """What likely mistakes give, and the message to each."""
    n = len(scores)
    right, by_score = _tau_right(scores, accuracies), _tau(scores, accuracies, _ranks(scores, accuracies))
    ranks = _ranks(accuracies, scores)
    return [
        (
            _tau(scores, accuracies, np.zeros(n)),
            "That is Kendall's τ without weights. A pair weighs 1/(r + 1) + 1/(s + 1), with the ranks r and s.",
        ),
        (by_score, "You rank by the scores. The weights go by the ranks of the accuracies."),
        (
            (right + by_score) / 2,
            "That averages the ranking by accuracy and the ranking by score, as SciPy does unless told otherwise. "
            "Rank by accuracy only.",
        ),
        (_tau(scores, accuracies, _ranks(-accuracies, -scores)), "The worst source has rank 0. Give it to the best."),
        (_tau(scores, accuracies, np.arange(n)), "The ranks are the positions in the list. Rank by accuracy."),
        (_tau(scores, accuracies, ranks, np.multiply), "You multiply the two weights of a pair. Add them."),
        (
            _tau(scores, accuracies, ranks, tied_count=True),
            "Tied pairs count in your denominator. Each of the two sums under the root leaves out the pairs tied in it.",
        ),
        (
            _tau(scores, accuracies, _ranks(accuracies, -np.arange(n))),
            "Among equal accuracies you rank by position. The source with the higher score comes first.",
        ),
    ]


def _tau_cases(rng):
    return [Case(_tau_inputs(rng, n, ties), {}) for n, ties in ((7, False), (8, True), (10, True))]


def _tau_inputs(rng, n, ties):
    """Scores and accuracies that tell the right answer from every likely mistake that there is to make."""
    while True:
        accuracies = np.round(rng.uniform(0.4, 0.95, size=n), 3)
        scores = np.round(2 * accuracies + rng.normal(0, 0.3, size=n) - 3, 3)
        if ties:
            first, second, third, fourth = rng.permutation(n)[:4]
            accuracies[first] = accuracies[second]
            scores[third] = scores[fourth]
        right = _tau_right(scores, accuracies)
        apart = [abs(other - right) > 1e-3 for other, _ in _tau_others(scores, accuracies)]
        if all(apart if ties else apart[:6]):
            return scores, accuracies


def _without_each(values):
    return [np.delete(values, i) for i in range(len(values))]


def _verify_tau(case, output):
    scores, accuracies = case.inputs
    if type(output) is not tuple or len(output) != 3:
        return "Return three numbers: tau, low, high."
    tau, low, high = output
    if problem := differs("tau", tau, _tau_right(scores, accuracies), 1e-9):
        others = _tau_others(scores, accuracies)
        return next((message for other, message in others if not differs("", tau, other, 1e-9)), problem)
    smaller = list(zip(_without_each(scores), _without_each(accuracies)))
    left_out = [_tau_right(s, a) for s, a in smaller]
    problem = differs("low", low, min(left_out), 1e-9) or differs("high", high, max(left_out), 1e-9)
    if problem is None:
        return None
    kept = [_tau(s, a, r) for (s, a), r in zip(smaller, _without_each(_ranks(accuracies, scores)))]
    for ends, message in (
        ((max(left_out), min(left_out)), "low and high are swapped."),
        (
            (min(kept), max(kept)),
            "Rank again among the sources that are left: without the best, another one has rank 0.",
        ),
        ((tau, tau), "low and high are τ itself. Leave out one source at a time."),
    ):
        if not differs("", low, ends[0], 1e-9) and not differs("", high, ends[1], 1e-9):
            return message
    return f"{problem} They are the least and the greatest of the {len(scores)} τ that leave out one source each."


# 07.4 Choose a source

_TARGETS, _REGRET = 8, 0.08
# What each candidate is: dimensions, how far apart its classes lie (in units of their spread), and its scale.
_CANDIDATES = {
    "good": ((8, 24), 3.4, (0.02, 5)),
    "fair": ((8, 24), 1.4, (0.02, 5)),
    "loud": ((8, 24), 0.0, (60, 120)),
    "quiet": ((3, 6), 0.0, (0.001, 0.002)),
    "wide": ((100, 140), 0.4, (0.5, 2)),
}
_LURES = {
    "fair": "a source that is fairly good, where another is clearly better. Judge each by examples that it was not fitted to.",
    "loud": "a source with large features. The scale says nothing about the classes: standardise, or take a measure that does not depend on it.",
    "quiet": "a source with few and small features. Neither makes it better.",
    "wide": (
        "a source with more dimensions than you have examples. A linear fit reproduces any labels there; judge by "
        "examples that it was not fitted to."
    ),
}


def _choice_cases(rng):
    targets, labels, truth = [], [], []
    for _ in range(_TARGETS):
        classes = int(rng.integers(3, 6))
        train, test = (np.repeat(np.arange(classes), count) for count in (15, 80))
        kinds = [str(kind) for kind in rng.permutation(list(_CANDIDATES))]
        rows = [_candidate(rng, kind, np.concatenate([train, test])) for kind in kinds]
        targets.append([features[: len(train)] for features in rows])
        labels.append(train)
        truth.append({"kinds": kinds, "features": [features[len(train) :] for features in rows], "labels": test})
    return [Case((targets, labels), {"targets": truth})]


def _candidate(rng, kind, labels):
    """Features of one kind of candidate for examples with these labels: (N, D)."""
    dimensions, apart, scales = _CANDIDATES[kind]
    width = int(rng.integers(dimensions[0], dimensions[1] + 1))
    means = rng.normal(size=(labels.max() + 1, width))
    means *= apart / np.linalg.norm(means, axis=1, keepdims=True)
    features = means[labels] + rng.normal(size=(len(labels), width))
    if kind == "good":
        features[:, rng.integers(width)] = rng.normal(0, 30, size=len(labels))  # drowns the others in a distance
    return (features - means.mean(axis=0)) * np.exp(rng.uniform(*np.log(scales)))


def _observe_choice(function, inputs):
    return [function(features, labels) for features, labels in zip(*inputs)]


def _verify_choice(case, choices):
    number = len(_CANDIDATES)
    for choice in choices:
        if problem := misfit("choice", choice, (), kind="integers"):
            return problem
        if not 0 <= int(choice) < number:
            return f"choice: want the position of a candidate, 0 to {number - 1}, got {int(choice)}."
    regrets, lures = [], []
    for choice, features, labels, held_out in zip(choices, *case.inputs, case.truth["targets"]):
        probe = make_pipeline(StandardScaler(), RidgeClassifier(alpha=10.0))
        accuracies = [
            probe.fit(x, labels).score(test_x, held_out["labels"]) for x, test_x in zip(features, held_out["features"])
        ]
        regrets.append(max(accuracies) - accuracies[int(choice)])
        lures.append(held_out["kinds"][int(choice)])
    if np.mean(regrets) <= _REGRET:
        return None
    lure, count = Counter(kind for kind in lures if kind != "good").most_common(1)[0]
    return (
        f"The mean regret is {np.mean(regrets):.2f}; at most {_REGRET} passes. For {count} of {len(choices)} targets you "
        f"chose {_LURES[lure]}"
    )


# 07.5 Bug clinic

_RANKING, _ACCURACY = "ranking", "accuracy"
_SOURCES = {"animals": 6, "signs": 4, "fabrics": 8}
_CLASSES, _PIXELS = 3, 16


def _source(classes, seed, x):
    """A network in eval mode. As after training, its features differ in scale and its head tells the images x apart."""
    network = tiny_resnet(classes, seed=seed).eval()
    block = network.layer3[0]
    with torch.no_grad():
        for norm in (block.bn2, block.downsample[1]):
            norm.weight *= torch.logspace(-1, 2, len(norm.weight))
        block.bn2.bias += block.bn2.weight  # no feature is zero for all images
        logits = network(x)
        mean, spread = logits.mean(dim=0), logits.std(dim=0) / 2
        network.fc.weight /= spread[:, None]
        network.fc.bias.copy_((network.fc.bias - mean) / spread)
    return network


def _clinic_inputs(rng):
    """Images of a target whose class numbers have gaps; the classes of the test images are not in balance."""
    seeds = {name: int(rng.integers(2**31)) for name in _SOURCES}
    numbers = np.sort(rng.permutation(np.arange(4, 12))[:_CLASSES])
    looks = rng.uniform(0, 1, size=(_CLASSES, 3, _PIXELS, _PIXELS))
    pairs = []
    for counts in ((12, 12, 12), (36, 6, 6)):
        index = rng.permutation(np.repeat(rng.permutation(_CLASSES), counts))
        images = 0.3 * looks[index] + 0.7 * rng.uniform(0, 1, size=(len(index), 3, _PIXELS, _PIXELS))
        pairs += [torch.tensor(images, dtype=torch.float32), torch.tensor(numbers[index])]
    return seeds, *pairs


def _clinic_cases(rng):
    while True:
        inputs = _clinic_inputs(rng)
        seen = {name: _look(_source(_SOURCES[name], seed, inputs[1]), *inputs[1:]) for name, seed in inputs[0].items()}
        if _tells_apart(seen):
            return [Case(inputs, {"part": part, "seen": seen}, part) for part in (_RANKING, _ACCURACY)]


def _look(network, x, y, test_x, test_y):
    """What the judge knows of one source: its scores and its probe's accuracies, right and with each mistake."""
    features = {"train": extract_features(network, x), "test": extract_features(network, test_x)}
    with torch.no_grad():
        logits = {part: network.fc(values).double().numpy() for part, values in features.items()}
    labels = {"train": y.numpy(), "test": test_y.numpy()}
    normal = {
        "softmax": lambda z: softmax(z, axis=1),
        "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
        "columns": lambda z: softmax(z, axis=0),
        "exp": np.exp,
    }
    scores = {
        (part, name): float(
            np.log(_expected(turn(logits[part]), np.unique(labels[part], return_inverse=True)[1])).mean()
        )
        for part, (name, turn) in product(logits, normal.items())
    }
    numbers = {part: values.double().numpy() for part, values in features.items()}
    return {"scores": scores, "accuracies": _probe_accuracies(numbers, labels)}


def _probe_accuracies(features, labels):
    """Accuracy of the nearest class mean on standardised features: right, and with each likely mistake."""
    classes = np.unique(labels["train"])

    def scaled(part, by):
        return (features[part] - features[by].mean(axis=0)) / features[by].std(axis=0, ddof=1)

    def nearest(train, test):
        means = np.stack([train[labels["train"] == label].mean(axis=0) for label in classes])
        return np.square(test[:, None] - means).sum(axis=2).argmin(axis=1)

    own = nearest(scaled("train", "train"), scaled("test", "train"))
    return {
        "right": (classes[own] == labels["test"]).mean(),
        "own statistics": (classes[nearest(scaled("train", "train"), scaled("test", "test"))] == labels["test"]).mean(),
        "positions": (own == labels["test"]).mean(),
        "not scaled": (classes[nearest(features["train"], features["test"])] == labels["test"]).mean(),
        "train": (classes[nearest(scaled("train", "train"), scaled("train", "train"))] == labels["train"]).mean(),
    }


def _order(seen):
    return sorted(seen, key=lambda name: seen[name]["scores"]["train", "softmax"], reverse=True)


def _tells_apart(seen):
    """Whether every mistake changes what the judge sees, by more than rounding may."""
    ranked = [seen[name]["scores"]["train", "softmax"] for name in _order(seen)]
    if min(-np.diff(ranked)) < 0.005:
        return False
    for name, source in seen.items():
        right, accuracies = source["scores"]["train", "softmax"], source["accuracies"]
        if any(abs(score - right) < 0.02 for key, score in source["scores"].items() if key != ("train", "softmax")):
            return False
        mistakes = accuracies if name == _order(seen)[0] else ("own statistics", "positions")
        if any(abs(accuracies[m] - accuracies["right"]) < 0.06 for m in mistakes if m != "right"):
            return False
    return True


def _observe_clinic(function, inputs):
    seeds, x, y, test_x, test_y = inputs
    sources = {name: _source(_SOURCES[name], seed, x) for name, seed in seeds.items()}
    return function(sources, (x, y), (test_x, test_y))


_SCORED = {
    "test": "You score the sources on the test images. The choice is made with the training images; test only reports.",
    "exp": "The exponentials of the logits are no probabilities: a row does not sum to 1. Take the softmax.",
    "sigmoid": "A sigmoid of each logit makes rows that do not sum to 1. Take the softmax.",
    "columns": "The softmax runs over the images. The probabilities of each image sum to 1: dim=1.",
}


def _verify_clinic(case, output):
    seen = case.truth["seen"]
    if type(output) is not tuple or len(output) != 3:
        return "Return three things: the names, their scores, one accuracy."
    names, scores, accuracy = output
    if type(names) is not list or any(type(name) is not str for name in names) or sorted(names) != sorted(seen):
        return f"names: want a list of the {len(seen)} names of the sources."
    if case.truth["part"] == _RANKING:
        return _verify_ranking(seen, names, scores)
    return _verify_accuracy(seen[names[0]]["accuracies"], accuracy, len(case.inputs[4]))


def _verify_ranking(seen, names, scores):
    if problem := misfit("scores", scores, (len(names),)):
        return problem

    def agrees(key):
        return not differs("", scores, np.array([seen[name]["scores"][key] for name in names]), 1e-3)

    if not agrees(("train", "softmax")):
        for key in next(iter(seen.values()))["scores"]:
            if agrees(key):
                return _SCORED[key[0]] if key[0] == "test" else _SCORED[key[1]]
        if any(float(score) > 0 for score in as_array(scores)):
            return "A score is above 0. LEEP is a mean logarithm of probabilities, so at most 0."
        return "The scores are not LEEP on the training images, in the order of the names."
    if names == _order(seen)[::-1]:
        return "The worst source comes first. A higher LEEP is better: sort in descending order."
    return None if names == _order(seen) else "The sources are not in the order of their scores."


def _verify_accuracy(accuracies, accuracy, images):
    if problem := misfit("accuracy", accuracy, ()):
        return problem
    room = 1.5 / images  # an image may lie on a border
    if not differs("", accuracy, accuracies["right"], room):
        return None
    for mistake, message in (
        (
            "own statistics",
            "The test features are standardised with their own statistics. Take those of the training features.",
        ),
        (
            "positions",
            "You compare positions of classes with class numbers. Position i stands for the i-th of the class numbers.",
        ),
        ("not scaled", "The features are not standardised."),
        ("train", "That is the accuracy on the training images."),
    ):
        if not differs("", accuracy, accuracies[mistake], 1e-6):
            return message
    if not differs("", accuracy, 100 * accuracies["right"], 100 * room):
        return "The accuracy is a percentage. Return a number from 0 to 1."
    return "The accuracy is not that of the nearest class mean, for the source that you rank first, on the test images."


EXERCISES = [
    Exercise("07.1", "LEEP, image by image", 5, "log_expected_predictions", 2, _leep_cases, _verify_leep),
    Exercise("07.2", "The evidence of one class", 5, "class_evidence", 5, _evidence_cases, _verify_evidence),
    Exercise("07.3", "A weighted rank correlation", 5, "rank_agreement", 2, _tau_cases, _verify_tau),
    Exercise("07.4", "Choose a source", 6, "choose_source", 20, _choice_cases, _verify_choice, _observe_choice),
    Exercise(
        "07.5",
        "Bug clinic",
        6,
        "rank_sources",
        10,
        _clinic_cases,
        _verify_clinic,
        _observe_clinic,
        parts={_RANKING: 3, _ACCURACY: 3},
    ),
]
