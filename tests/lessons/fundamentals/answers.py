"""Answers to the exercises of lesson 01: right ones, written differently, and wrong ones with what they must hear."""

import copy

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression
from torch import nn

from tlcourse import models, training


def gain_by_scipy(scratch, transferred):
    from scipy.stats import sem

    return np.mean(transferred - scratch, axis=-1) * 100, sem((transferred - scratch) * 100, axis=-1)


def gain_by_loops(scratch, transferred):
    gain, error = [], []
    for a, b in zip(scratch, transferred, strict=True):
        d = [100 * (y - x) for x, y in zip(a, b, strict=True)]
        mean = sum(d) / len(d)
        gain.append(mean)
        error.append((sum((x - mean) ** 2 for x in d) / (len(d) - 1) / len(d)) ** 0.5)
    return torch.tensor(gain), torch.tensor(error)


def labels_by_scan(labels, accuracies, target):
    if target <= accuracies[0]:
        return labels[0]
    for i in range(1, len(labels)):
        if target <= accuracies[i]:
            share = (target - accuracies[i - 1]) / (accuracies[i] - accuracies[i - 1])
            return labels[i - 1] * (labels[i] / labels[i - 1]) ** share
    return np.inf


def labels_by_log10(labels, accuracies, target):
    return torch.tensor(10 ** np.interp(target, accuracies, np.log10(labels), right=np.inf))


def probe_by_sklearn(features, labels, num_classes, l2):
    # scikit-learn minimises the sum of the losses + ‖weight‖²/(2C), with two classes as one logit
    classifier = LogisticRegression(C=1 / (l2 * len(labels)), tol=1e-8, max_iter=2000)
    if num_classes == 2:  # one logit w stands for rows −w/2 and w/2, whose penalty is half as large
        classifier.C *= 2
        classifier.fit(features, labels)
        return np.vstack([-classifier.coef_, classifier.coef_]) / 2, np.hstack(
            [-classifier.intercept_, classifier.intercept_]
        ) / 2
    classifier.fit(features, labels)
    return classifier.coef_, classifier.intercept_


def probe_by_gradient_descent(features, labels, num_classes, l2):
    weight = torch.zeros(num_classes, features.shape[1])
    bias = torch.zeros(num_classes)
    one_hot = F.one_hot(labels, num_classes).float()
    for _ in range(3000):
        error = (F.softmax(features @ weight.T + bias, dim=1) - one_hot) / len(labels)
        weight, bias = weight - 0.3 * (error.T @ features + l2 * weight), bias - 0.3 * error.sum(dim=0)
    return weight, bias


def head_by_state_dict(source, num_classes):
    model = models.tiny_resnet(num_classes, seed=1)
    body = {name: value for name, value in source.state_dict().items() if not name.startswith("fc.")}
    model.load_state_dict(body, strict=False)
    model.requires_grad_(False)
    model.fc.requires_grad_(True)
    return model.eval()


def head_by_freeze(source, num_classes):
    model = copy.deepcopy(source)
    model.set_submodule("fc", nn.Linear(128, num_classes))
    return training.freeze(model, train=("fc",)).eval()


def clinic_by_cached_features(source, x, y, query):
    features = training.extract_features(source, x)
    classifier = LogisticRegression(max_iter=2000).fit(features, y)
    source.fc = nn.Linear(128, 5)
    with torch.no_grad():
        source.fc.weight.copy_(torch.tensor(classifier.coef_))
        source.fc.bias.copy_(torch.tensor(classifier.intercept_))
    return classifier.predict(training.extract_features(source, query))


def clinic_with(
    lr=0.05, steps=12, late_optimizer=True, train_mode=False, same_order=True, unfrozen=False, restored=False
):
    def transfer(source, x, y, query):
        torch.manual_seed(0)
        stale = torch.optim.Adam(source.fc.parameters(), lr=lr)
        source.fc = nn.Linear(128, 5)
        parameters = source.parameters() if unfrozen else source.fc.parameters()
        optimizer = torch.optim.Adam(parameters, lr=lr) if late_optimizer else stale
        source.train(train_mode)
        for _ in range(steps):
            order = torch.randperm(len(x))
            logits = source(x[order])
            loss = F.cross_entropy(logits, y[order] if same_order else y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        predicted = source(query).argmax(dim=1)
        if restored:
            source.load_state_dict({**models.load("letters", num_classes=5).state_dict()})
        return predicted

    return transfer


def clinic_by_pixels(source, x, y, query):
    source.fc = nn.Linear(128, 5)
    return LogisticRegression(max_iter=500).fit(x.flatten(1), y).predict(query.flatten(1))


def head_with(copied=True, fresh=True, frozen=True, thawed=True, evaluating=True, random=True):
    def transplant_head(source, num_classes):
        model = copy.deepcopy(source) if copied else source
        if frozen:
            model.requires_grad_(False)
        old = model.fc
        model.fc = nn.Linear(128, num_classes)
        if not fresh:
            with torch.no_grad():
                n = min(num_classes, len(old.weight))
                model.fc.weight[:n] = old.weight[:n]
        if not random:
            nn.init.zeros_(model.fc.weight)
        model.fc.requires_grad_(thawed)
        return model.train(not evaluating)

    return transplant_head


def head_that_hides_an_open_body(source, num_classes):
    model = head_with(frozen=False)(source, num_classes)

    class Liar(type(model)):
        def named_parameters(self, *args, **kwargs):
            return [(n, p) for n, p in super().named_parameters(*args, **kwargs) if n.startswith("fc.")]

        def parameters(self, recurse=True):
            return [p for _, p in super().named_parameters()]

    model.__class__ = Liar
    return model


def head_that_hides_training_mode(source, num_classes):
    model = head_with(evaluating=False)(source, num_classes)

    class Liar(type(model)):
        def modules(self):
            return iter(())

        def forward(self, x):
            return super().forward(x) if torch.is_grad_enabled() else copy.deepcopy(self).eval().super_forward(x)

        def super_forward(self, x):
            return super().forward(x)

    model.__class__ = Liar
    return model


def head_that_thaws_when_it_runs(source, num_classes):
    model = head_with()(source, num_classes)
    model.layer1.register_forward_hook(lambda module, inputs, output: module.train() and None)
    return model


def head_like_the_old(change):
    def transplant_head(source, num_classes):
        model = head_with()(source, num_classes)
        with torch.no_grad():
            model.fc.weight.copy_(change(source.fc.weight)[:num_classes])
            if model.fc.weight.abs().max() > 10:  # so sure of itself that no gradient is left
                model.fc.bias.copy_(1e6 * torch.arange(num_classes))
        return model

    return transplant_head


def head_on_a_shared_body(source, num_classes):
    model = copy.copy(source)
    model._modules = dict(source._modules)
    source.requires_grad_(False)
    model.fc = nn.Linear(128, num_classes)
    return model.eval()


def head_with_a_hook(source, num_classes):
    model = head_with()(source, num_classes)
    model.layer3.register_forward_hook(lambda module, inputs, output: 2 * output)
    return model


def probe_with(factor=1.0, sum_loss=False, bias_penalty=False, steps=3000):
    def fit_linear_probe(features, labels, num_classes, l2):
        def objective(flat):
            parameters = torch.tensor(flat, requires_grad=True)
            weight, bias = parameters[:-num_classes].view(num_classes, -1), parameters[-num_classes:]
            loss = F.cross_entropy(features.double() @ weight.T + bias, labels, reduction="sum" if sum_loss else "mean")
            loss = loss + factor * l2 / 2 * weight.square().sum() + bias_penalty * l2 / 2 * bias.square().sum()
            loss.backward()
            return loss.item(), parameters.grad.numpy()

        start = np.zeros(num_classes * (features.shape[1] + 1))
        best = minimize(
            objective, start, jac=True, method="L-BFGS-B", options={"maxiter": steps, "ftol": 1e-14, "gtol": 1e-9}
        ).x
        return best[:-num_classes].reshape(num_classes, -1), best[-num_classes:]

    return fit_linear_probe


RIGHT = [
    ("01.1", gain_by_scipy),
    ("01.1", gain_by_loops),
    ("01.2", labels_by_scan),
    ("01.2", labels_by_log10),
    ("01.3", probe_by_sklearn),
    ("01.3", probe_by_gradient_descent),
    ("01.3", probe_with()),
    ("01.4", head_by_state_dict),
    ("01.4", head_by_freeze),
    ("01.4", head_with()),
    ("01.5", clinic_by_cached_features),
    ("01.5", clinic_with()),
]

WRONG = [
    ("01.1", lambda s, t: ((t - s).mean(1), (t - s).std(1, ddof=1) / s.shape[1] ** 0.5), "fraction"),
    ("01.1", lambda s, t: gain_by_scipy(t, s), "wrong sign"),
    ("01.1", lambda s, t: gain_by_scipy(s.T, t.T), "average over seeds"),
    ("01.1", lambda s, t: (gain_by_scipy(s, t)[0], 100 * (t - s).std(1) / s.shape[1] ** 0.5), "ddof=1"),
    ("01.1", lambda s, t: (gain_by_scipy(s, t)[0], 100 * (t - s).std(1, ddof=1)), "root of the seeds"),
    (
        "01.1",
        lambda s, t: (gain_by_scipy(s, t)[0], 100 * np.sqrt((s.var(1, ddof=1) + t.var(1, ddof=1)) / s.shape[1])),
        "share their seeds",
    ),
    ("01.1", lambda s, t: gain_by_scipy(s, t)[0], "Return two arrays"),
    ("01.1", lambda s, t: (np.full(len(s), np.nan), np.zeros(len(s))), "NaN"),
    ("01.2", lambda n, a, t: np.interp(t, a, n, right=np.inf), "logarithm"),
    ("01.2", lambda n, a, t: np.exp(np.interp(t, a, np.log(n))), "infinity"),
    ("01.2", lambda n, a, t: np.exp(np.interp(t, a, np.log(n), left=-np.inf, right=np.inf)), "smallest number"),
    ("01.2", lambda n, a, t: n[np.searchsorted(a, t)] if t <= a[-1] else np.inf, "interpolate"),
    ("01.2", lambda n, a, t: [1.0, 2.0], "one number"),
    ("01.3", probe_with(factor=0), "is missing"),
    ("01.3", probe_with(factor=2), "twice too strong"),
    ("01.3", probe_with(sum_loss=True), "Take its mean"),
    ("01.3", probe_with(bias_penalty=True), "penalised the bias"),
    ("01.3", probe_with(steps=1), "not at its minimum"),
    ("01.3", lambda f, y, c, l2: (torch.zeros(f.shape[1], c), torch.zeros(c)), "one row per class"),
    ("01.4", head_with(copied=False), "source network itself"),
    ("01.4", head_with(fresh=False), "weights of the old one"),
    ("01.4", head_with(frozen=False), "More than the head"),
    ("01.4", head_with(thawed=False), "head is frozen"),
    ("01.4", head_with(evaluating=False), "training mode"),
    ("01.4", head_with(random=False), "equal"),
    ("01.4", head_like_the_old(lambda old: old.roll(1, 0)), "weights of the old one"),
    ("01.4", head_like_the_old(lambda old: old + 1e-3), "weights of the old one"),
    ("01.4", head_like_the_old(lambda old: 1e-9 * torch.randn_like(old)), "equal"),
    ("01.4", head_like_the_old(lambda old: 100 * torch.randn_like(old)), "does not learn"),
    ("01.4", head_on_a_shared_body, "shares parts"),
    ("01.4", lambda source, n: models.tiny_resnet(n).eval(), "body is not the source's"),
    ("01.4", lambda source, n: nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, n)), "other layers"),
    ("01.4", lambda source, n: None, "NoneType"),
    ("01.4", head_that_hides_an_open_body, "More than the head is trainable"),
    ("01.4", head_that_hides_training_mode, "training mode"),
    ("01.4", head_that_thaws_when_it_runs, "Two steps of training moved something else"),
    ("01.4", head_with_a_hook, "does not compute what its weights say"),
    ("01.5", clinic_with(late_optimizer=False), "which parameters the optimiser holds"),
    ("01.5", clinic_with(same_order=False), "same order"),
    ("01.5", clinic_with(train_mode=True), "training mode"),
    ("01.5", clinic_with(unfrozen=True), "weights of the body moved"),
    ("01.5", clinic_with(steps=3, lr=0.005), "for longer"),
    ("01.5", clinic_with(train_mode=True, restored=True), "not what the frozen body gives"),
    ("01.5", clinic_by_pixels, "not what the frozen body gives"),
    ("01.5", lambda source, x, y, query: clinic_with()(source, x, y, query).float(), "whole numbers"),
    ("01.5", lambda source, x, y, query: source(query), "argmax"),
]
