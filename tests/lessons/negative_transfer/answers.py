"""Answers to the exercises of lesson 04: right ones, written differently, and wrong ones with what they must hear."""

import copy

import numpy as np
import torch
import torch.nn.functional as F
from scipy import stats
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestCentroid
from torch import nn

from tlcourse.measure import knn_accuracy, negative_transfer_gap


def gap_by_scipy(with_source, without_source):
    runs = stats.ttest_rel(with_source.mean(axis=1), without_source.mean(axis=1)).confidence_interval(0.95)
    over_images = with_source.mean(axis=0) - without_source.mean(axis=0)
    images = stats.norm.interval(0.95, loc=over_images.mean(), scale=stats.sem(over_images))
    return {"gap": with_source.mean() - without_source.mean(), "runs": tuple(runs), "images": images}


def gap_by_the_course(with_source, without_source):
    gap = negative_transfer_gap(with_source.mean(axis=0), without_source.mean(axis=0))
    d = torch.tensor(with_source - without_source).double().mean(dim=1)
    half = stats.t.isf(0.025, len(d) - 1) * d.std() / len(d) ** 0.5
    return {"gap": gap.gap, "runs": [d.mean() - half, d.mean() + half], "images": np.array([gap.low, gap.high])}


def gap_with(
    sign=1,
    unit=1,
    quantile=lambda n: stats.t.ppf(0.975, n - 1),
    paired=True,
    ddof=1,
    root=True,
    swap=False,
    pooled=False,
    image_quantile=1.96,
    unpaired_images=False,
    runs=slice(None),
):
    def gap_with_intervals(with_source, without_source):
        d = sign * unit * (with_source - without_source)
        gap, means = d.mean(), d.mean(axis=1)
        n = len(means)
        spread = means.std(ddof=ddof)
        if not paired:
            spread = np.hypot(with_source.mean(axis=1).std(ddof=1), without_source.mean(axis=1).std(ddof=1))
        half = quantile(n) * spread / (np.sqrt(n) if root else 1)
        over_images = stats.sem(d, axis=None) if pooled else stats.sem(d[runs].mean(axis=0))
        if unpaired_images:
            over_images = np.hypot(stats.sem(with_source.mean(axis=0)), stats.sem(without_source.mean(axis=0)))
        intervals = [(gap - half, gap + half), (gap - image_quantile * over_images, gap + image_quantile * over_images)]
        if swap:
            intervals.reverse()
        return {"gap": gap, "runs": intervals[0], "images": intervals[1]}

    return gap_with_intervals


def gap_by_bootstrap_over_runs(with_source, without_source):
    answer = gap_by_scipy(with_source, without_source)
    runs = negative_transfer_gap(with_source.mean(axis=1), without_source.mean(axis=1))
    return answer | {"runs": (runs.low, runs.high)}


def weights_by_discriminant(source, target, clip):
    """LDA with equal priors: its odds are the ratio of the densities."""
    x = np.concatenate([target, source])
    y = np.repeat([0, 1], [len(target), len(source)])
    logs = LinearDiscriminantAnalysis(priors=[0.5, 0.5]).fit(x, y).predict_log_proba(source)
    ratio = np.exp(logs[:, 0] - logs[:, 1]).clip(max=clip)
    return torch.tensor(ratio * len(ratio) / ratio.sum())


def weights_by_balanced_regression(source, target, clip):
    x, y = np.vstack([source, target]), np.r_[np.zeros(len(source)), np.ones(len(target))]
    model = LogisticRegression(C=100, class_weight="balanced").fit(x, y)
    ratio = np.minimum(np.exp(model.decision_function(source)), clip)
    return ratio / np.mean(ratio)


def weights_by_torch(source, target, clip):
    x = torch.tensor(np.concatenate([source, target]))
    y = torch.cat([torch.zeros(len(source)), torch.ones(len(target))]).double()
    layer = nn.Linear(x.shape[1], 1).double()
    optimizer = torch.optim.LBFGS(layer.parameters(), max_iter=50)

    def closure():
        optimizer.zero_grad()
        loss = F.binary_cross_entropy_with_logits(layer(x)[:, 0], y)
        loss.backward()
        return loss

    optimizer.step(closure)
    ratio = layer(x[: len(source)])[:, 0].detach().exp() * len(source) / len(target)
    ratio = ratio.clamp(max=clip)
    return ratio / ratio.mean()


def weights_with(prior=1, inverse=False, odds=True, clipped="before", normalise="mean"):
    def importance_weights(source, target, clip):
        x, y = np.vstack([source, target]), np.r_[np.zeros(len(source)), np.ones(len(target))]
        p = LogisticRegression().fit(x, y).predict_proba(source)[:, 1]
        p = 1 - p if inverse else p
        w = p / (1 - p) if odds else p
        w = w * (len(source) / len(target)) ** (-prior if inverse else prior)
        if clipped == "before":
            w = np.minimum(w, clip)
        if normalise == "mean":
            w = w / w.mean()
        if normalise == "sum":
            w = w / w.sum()
        if clipped == "after":
            w = np.minimum(w, clip)
        return w

    return importance_weights


def diagnose_one_by_one(runs):
    """Rule the causes out in order, each by a bound of its own."""
    return [_name(**run) for run in runs]


def _name(source_x, source_y, target_x, target_y, predicted):
    if knn_accuracy(target_x, target_y) < 0.5:
        return "features"
    if (~np.isin(predicted, target_y)).mean() > 0.15:
        return "algorithm"
    shared = source_x[np.isin(source_y, target_y)]
    x = np.concatenate([shared, target_x])
    d = np.repeat([0, 1], [len(shared), len(target_x)])
    domain = LinearDiscriminantAnalysis(priors=[0.5, 0.5]).fit(x[::2], d[::2]).score(x[1::2], d[1::2])
    return "inputs" if domain > 0.85 else "labels"


def diagnose_by_ranks(runs):
    """Give each cause the run that shows its sign the most, the surest sign first."""
    left, names = set(range(4)), [None] * 4

    def nearest(run):
        model = NearestCentroid().fit(run["target_x"][:75], run["target_y"][:75])
        return model.score(run["target_x"][75:], run["target_y"][75:])

    def lost(run):
        return -len([c for c in run["predicted"] if c not in set(run["target_y"])])

    def moved(run):
        both = np.isin(run["source_y"], np.unique(run["target_y"]))
        return -np.linalg.norm(run["source_x"][both].mean(axis=0) - run["target_x"].mean(axis=0))

    for cause, score in (("features", nearest), ("algorithm", lost), ("inputs", moved)):
        i = min(left, key=lambda i: score(runs[i]))
        names[i] = cause
        left.remove(i)
    names[left.pop()] = "labels"
    return names


def diagnose_by_contradiction(runs):
    """The labels cause is measured, not left over: labels contradicted after each domain is standardised."""
    names = []
    for run in runs:
        x, y = run["target_x"], run["target_y"]
        half = len(x) // 2
        model = LogisticRegression(max_iter=1000)
        both = np.isin(run["source_y"], y)
        source, source_y = run["source_x"][both], run["source_y"][both]
        if model.fit(x[:half], y[:half]).score(x[half:], y[half:]) < 0.6:
            names.append("features")
        elif np.mean([c not in y for c in run["predicted"]]) > 0.1:
            names.append("algorithm")
        else:
            z = (source - source.mean(axis=0)) / source.std(axis=0)
            model.fit((x - x.mean(axis=0)) / x.std(axis=0), y)
            names.append("labels" if (model.predict(z) != source_y).mean() > 0.35 else "inputs")
    return names


def diagnose_with(order=("features", "algorithm", "inputs"), restrict=True, lacking=False):
    signs = {
        "features": lambda r: knn_accuracy(r["target_x"], r["target_y"]) < 0.5,
        "algorithm": lambda r: lacking_class(r) if lacking else (~np.isin(r["predicted"], r["target_y"])).mean() > 0.1,
        "inputs": lambda r: tells_apart(r) > (0.9 if restrict else 0.65),
        "labels": lambda r: contradicts(r) > 0.35,
    }

    def lacking_class(r):
        return len(np.unique(r["target_y"])) < 5

    def tells_apart(r):
        shared = r["source_x"][np.isin(r["source_y"], r["target_y"])] if restrict else r["source_x"]
        x, d = np.vstack([shared, r["target_x"]]), np.repeat([0, 1], [len(shared), len(r["target_x"])])
        model = LinearDiscriminantAnalysis(priors=[0.5, 0.5])
        return model.fit(x[::2], d[::2]).score(x[1::2], d[1::2])

    def contradicts(r):
        both = np.isin(r["source_y"], r["target_y"])
        model = NearestCentroid().fit(r["target_x"], r["target_y"])
        return 1 - model.score(r["source_x"][both], r["source_y"][both])

    def diagnose(runs):
        others = [cause for cause in ("labels", "features", "inputs", "algorithm") if cause not in order]
        return [next((cause for cause in order if signs[cause](run)), others[0]) for run in runs]

    return diagnose


def gate_by_table(weights, val, test):
    base = int(np.flatnonzero(weights == 0)[0])
    gains = val[base] - val
    errors = np.array([stats.sem(g) if i != base else np.inf for i, g in enumerate(gains)])
    means = np.where(gains.mean(axis=1) > errors, gains.mean(axis=1), 0.0)
    means[base] = 1e-12
    chosen = int(means.argmax())
    return weights[chosen], np.mean(test[chosen] - test[base])


def gate_by_sorting(weights, val, test):
    rows = {float(w): i for i, w in enumerate(weights)}
    for w in sorted(rows, key=lambda w: val[rows[w]].mean()):
        d = torch.tensor(val[rows[w]] - val[rows[0.0]])
        if w and d.mean() + d.std() / len(d) ** 0.5 < 0:
            return w, float(test[rows[w]].mean() - test[rows[0.0]].mean())
    return 0.0, 0.0


def gate_with(
    margin=1.0, paired=True, root=True, first=False, on="val", report="test", sign=1, surest=False, always=False
):
    def gate(weights, val, test):
        losses = {"val": val, "test": test}
        table, base = losses[on], int(np.flatnonzero(weights == 0)[0])
        passed = {}
        for i, row in enumerate(table):
            d = table[base] - row
            error = d.std(ddof=1) if paired else np.hypot(row.std(ddof=1), table[base].std(ddof=1))
            error = error / np.sqrt(len(d)) if root else error
            best = i == table.mean(axis=1).argmin()
            if i != base and (always or d.mean() > margin * error) and (best or not first):
                passed[i] = d.mean() / error if surest else d.mean()
        i = max(passed, key=passed.get) if passed else base
        return weights[i], sign * (losses[report][i].mean() - losses[report][base].mean())

    return gate


def partial_by_hand(logits, labels, features, target_features, target_probs):
    with torch.no_grad():
        share = target_probs.sum(dim=0)
        w = (share / share.max()).take(labels)
    class_loss = -(w * logits.log_softmax(dim=1)[torch.arange(len(w)), labels]).mean()
    d = torch.einsum("i,ij->j", w / w.sum(), features) - target_features.mean(0)
    return class_loss, d @ d


def partial_by_functions(logits, labels, features, target_features, target_probs):
    weights = target_probs.detach().mean(dim=0)
    weights = weights / weights.max()
    class_loss = F.cross_entropy(logits, labels, weight=weights, reduction="sum") / len(labels)
    each = weights[labels].unsqueeze(1)
    centre = (features * each).mean(dim=0) / each.mean()
    return class_loss, F.mse_loss(centre, target_features.mean(dim=0), reduction="sum")


def partial_with(
    weigh=lambda p: p.mean(dim=0) / p.mean(dim=0).max(),
    detach=True,
    classes="mean",
    total="weights",
    distance=lambda d: d.square().sum(),
    cut=False,
    item=False,
):
    def partial_losses(logits, labels, features, target_features, target_probs):
        weights = weigh(target_probs.detach() if detach else target_probs)
        w = weights[labels]
        each = w * F.cross_entropy(logits, labels, reduction="none")
        class_loss = {"mean": each.mean(), "sum": each.sum(), "weights": each.sum() / w.sum()}[classes]
        features = features.detach() if cut else features
        centre = (w[:, None] * features).sum(dim=0) / (w.sum() if total == "weights" else len(w))
        alignment = distance(centre - target_features.mean(dim=0))
        return (class_loss.item(), alignment.item()) if item else (class_loss, alignment)

    return partial_losses


def clinic_by_cached_features(model, source, train, val, test, learning_rates, steps):
    body = copy.deepcopy(model)
    body.fc = nn.Identity()
    with torch.no_grad():
        features = {n: body(s[0]) for n, s in {"s": source, "t": train, "val": val, "test": test}.items()}

    def gradient(weight, bias, x, y):
        error = ((x @ weight.T + bias).softmax(1) - F.one_hot(y, len(bias))) / len(x)
        return error.T @ x, error.sum(0)

    def wrong(weight, bias, name, y):
        return float(((features[name] @ weight.T + bias).argmax(1) != y).double().mean())

    arms = []
    for sets in ([("t", train[1]), ("s", source[1])], [("t", train[1])]):
        tried = []
        for lr in learning_rates:
            weight, bias = (p.detach().clone() for p in model.fc.parameters())
            for _ in range(steps):
                gradients = [gradient(weight, bias, features[name], y) for name, y in sets]
                weight = weight - lr * sum(g[0] for g in gradients)
                bias = bias - lr * sum(g[1] for g in gradients)
            tried.append((wrong(weight, bias, "val", val[1]), lr, weight, bias))
        _, lr, weight, bias = min(tried, key=lambda trial: trial[0])
        network = copy.deepcopy(model)
        network.fc.load_state_dict({"weight": weight, "bias": bias})
        arms.append((lr, network, wrong(weight, bias, "test", test[1])))
    return arms[0][2] - arms[1][2], arms[0][:2], arms[1][:2]


def clinic_with(
    source_on="with",
    more=1,
    choose=None,
    fresh_head=False,
    extra=False,
    tuned=True,
    chain=False,
    body=False,
    copied=True,
    sign=1,
    report="test",
    one_mean=False,
    only_source=False,
):
    def measure_gap(model, source, train, val, test, learning_rates, steps):
        images = {"val": val, "test": test}

        def risk(network, name):
            with torch.no_grad():
                return (network(images[name][0]).argmax(dim=1) != images[name][1]).double().mean().item()

        arms, start = {}, model
        for arm in ("with", "without"):
            best = None
            for lr in learning_rates if tuned or arm == "without" else learning_rates[:1]:
                network = copy.deepcopy(start) if copied else model
                if fresh_head and arm == "with":
                    network.fc.reset_parameters()
                network.train(body)
                data = train
                if extra and arm == "without":
                    data = (torch.cat([train[0], val[0]]), torch.cat([train[1], val[1]]))
                sets = [data, source] if arm == source_on or source_on == "both" else [data]
                if one_mean and len(sets) == 2:
                    sets = [tuple(torch.cat(pair) for pair in zip(*sets))]
                if only_source and arm == "with":
                    sets = [source]
                optimizer = torch.optim.SGD(network.fc.parameters(), lr=lr)
                for _ in range(steps * (more if arm == "without" else 1)):
                    optimizer.zero_grad()
                    sum(F.cross_entropy(network(x), y) for x, y in sets).backward()
                    optimizer.step()
                score = risk(network, choose or "val")
                if best is None or score < best[0]:
                    best = (score, lr, network)
            arms[arm] = best[1:]
            start = best[2] if chain else model
        gap = risk(arms["with"][1], report) - risk(arms["without"][1], report)
        return sign * gap, arms["with"], arms["without"]

    return measure_gap


RIGHT = [
    ("04.1", gap_by_scipy),
    ("04.1", gap_by_the_course),
    ("04.1", gap_with()),
    ("04.2", weights_by_discriminant),
    ("04.2", weights_by_balanced_regression),
    ("04.2", weights_by_torch),
    ("04.2", weights_with()),
    ("04.3", diagnose_one_by_one),
    ("04.3", diagnose_by_ranks),
    ("04.3", diagnose_by_contradiction),
    ("04.3", diagnose_with()),
    ("04.4", gate_by_table),
    ("04.4", gate_by_sorting),
    ("04.4", gate_with()),
    ("04.5", partial_by_hand),
    ("04.5", partial_by_functions),
    ("04.5", partial_with()),
    ("04.6", clinic_by_cached_features),
    ("04.6", clinic_with()),
]

WRONG = [
    ("04.1", gap_with(sign=-1), "The sign is wrong"),
    ("04.1", gap_with(unit=100), "in percent"),
    ("04.1", gap_with(quantile=lambda n: 1.96), "1.96 belongs to the normal"),
    ("04.1", gap_with(quantile=lambda n: stats.norm.ppf(0.975)), "1.96 belongs to the normal"),
    ("04.1", gap_with(quantile=lambda n: 1), "one standard error"),
    ("04.1", gap_with(quantile=lambda n: stats.t.ppf(0.95, n - 1)), "leaves 5% on each side"),
    ("04.1", gap_with(quantile=lambda n: stats.t.ppf(0.975, n)), "degrees of freedom"),
    ("04.1", gap_with(paired=False), "Subtract run by run"),
    ("04.1", gap_with(ddof=0), "ddof=1"),
    ("04.1", gap_with(root=False), "the root of their number"),
    ("04.1", gap_with(swap=True), "swapped"),
    ("04.1", gap_with(pooled=True), "in another run is no new image"),
    ("04.1", gap_with(unpaired_images=True), "Subtract image by image"),
    ("04.1", gap_with(image_quantile=1), "1.96 times that"),
    ("04.1", gap_with(runs=slice(1)), "That is one run"),
    ("04.1", gap_by_bootstrap_over_runs, "With so few runs a bootstrap is"),
    ("04.1", lambda a, b: (a - b).mean(), "Return a dict"),
    ("04.2", weights_with(prior=0), "The sizes of the two sets are still in the odds"),
    ("04.2", weights_with(prior=-1), "upside down. Multiply by n_s"),
    ("04.2", weights_with(inverse=True), "it is target over source"),
    ("04.2", weights_with(odds=False, prior=0, clipped=None), "wants the odds"),
    ("04.2", weights_with(clipped=None), "Nothing is clipped"),
    ("04.2", weights_with(clipped="after"), "Clip first and divide by the mean last"),
    ("04.2", weights_with(normalise=None), "Clip first and divide by the mean last"),
    ("04.2", weights_with(normalise="sum"), "Clip first and divide by the mean last"),
    ("04.2", lambda source, target, clip: np.ones(len(source)), "All weights are about the same"),
    ("04.2", lambda source, target, clip: np.ones(len(target)), "want shape"),
    ("04.2", lambda source, target, clip: source[:, 0], "above 0"),
    ("04.3", diagnose_with(order=("inputs", "features", "algorithm")), "An unrelated source looks different as well"),
    ("04.3", diagnose_with(order=("labels", "features", "algorithm")), "every classifier contradicts the labels"),
    ("04.3", diagnose_with(order=("features", "algorithm", "labels")), "contradicts right labels too"),
    (
        "04.3",
        diagnose_with(order=("features", "inputs", "algorithm"), restrict=False),
        "Compare the classes that both have",
    ),
    ("04.3", diagnose_with(lacking=True), "but the predictions do not fall on it"),
    ("04.3", lambda runs: ["labels"] * 4, "A run is named labels and is not"),
    ("04.3", lambda runs: "labels", "Return a list of four names"),
    ("04.3", lambda runs: ["features", "labels", "input", "algorithm"], "'input' is no cause"),
    ("04.4", gate_with(margin=0.0), "You take the lowest mean"),
    ("04.4", gate_with(first=True), "only at the lowest mean"),
    ("04.4", gate_with(root=False), "a margin of a standard deviation"),
    ("04.4", gate_with(paired=False), "Subtract image by image"),
    ("04.4", gate_with(margin=1.96), "not 1.96 of them"),
    ("04.4", gate_with(surest=True), "not the surest"),
    ("04.4", gate_with(on="test"), "You chose on the test images"),
    ("04.4", gate_with(always=True), "The source is used only where it wins"),
    ("04.4", gate_with(report="val"), "This gap is on the validation images"),
    ("04.4", gate_with(sign=-1), "The sign of the gap"),
    ("04.4", lambda weights, val, test: 0.0, "Return two numbers"),
    ("04.4", lambda weights, val, test: (2.0, 0.0), "one of those in"),
    ("04.5", partial_with(weigh=lambda p: torch.ones(p.shape[1])), "Nothing is weighted"),
    ("04.5", partial_with(weigh=lambda p: p.mean(dim=0)), "not divided by their maximum"),
    ("04.5", partial_with(weigh=lambda p: p.mean(dim=0) * p.shape[1]), "divided by their mean"),
    (
        "04.5",
        partial_with(weigh=lambda p: p.argmax(1).bincount(minlength=p.shape[1]) / p.argmax(1).bincount().max()),
        "You count predicted classes",
    ),
    ("04.5", partial_with(weigh=lambda p: (p / p.max(dim=1, keepdim=True).values).mean(0)), "after the mean"),
    ("04.5", partial_with(classes="weights"), "as F.cross_entropy(weight=…) does"),
    ("04.5", partial_with(classes="sum"), "not the sum"),
    ("04.5", partial_with(total="n"), "A weighted mean divides by the sum"),
    ("04.5", partial_with(distance=lambda d: d.square().mean()), "where you took a mean"),
    ("04.5", partial_with(distance=lambda d: d.norm()), "squared"),
    ("04.5", partial_with(detach=False), "detach them"),
    ("04.5", partial_with(cut=True), "the gradient of features is not"),
    ("04.5", partial_with(item=True), "has no gradient"),
    ("04.5", lambda *arguments: 1.0, "Return two losses"),
    ("04.6", clinic_with(more=2), "it takes 10 steps"),
    ("04.6", clinic_with(tuned=False), "with the source: another rate has a lower risk on validation"),
    ("04.6", clinic_with(choose="test"), "the best rate on the test images. Choose on validation"),
    ("04.6", clinic_with(fresh_head=True), "Both arms start from that head"),
    ("04.6", clinic_with(extra=True), "it learned from the validation images"),
    ("04.6", clinic_with(chain=True), "it starts from the network that the source has trained"),
    ("04.6", clinic_with(source_on="without"), "it never saw the source"),
    ("04.6", clinic_with(source_on="both"), "without the source: it trained on the source"),
    ("04.6", clinic_with(one_mean=True), "one mean over all images"),
    ("04.6", clinic_with(only_source=True), "on the source alone"),
    ("04.6", clinic_with(body=True), "its body changed"),
    ("04.6", clinic_with(copied=False), "The network that you were given was changed"),
    ("04.6", clinic_with(report="val"), "This gap is on the validation images"),
    ("04.6", clinic_with(sign=-1), "The sign of the gap"),
    ("04.6", lambda *arguments: 0.0, "Return three things"),
]
