"""Exercises of lesson 01: measure a gain, read a learning curve, fit a probe, change a head, mend a script."""

import copy
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from scipy.stats import sem

from tlcourse import data, models
from tlcourse.checks.compare import (
    as_array,
    as_plain,
    differs,
    misfit,
    named_tensors,
    project,
    same_tensors,
    short_name,
    type_name,
)
from tlcourse.checks.spec import Case, Exercise
from tlcourse.models import tiny_resnet

# 01.1 The gain, with its uncertainty


def _gain_cases(rng):
    cases = []
    for counts, seeds in ((4, 5), (1, 3), (3, 12)):
        luck = rng.normal(0, 0.08, size=(counts, seeds))  # a good label sample helps both arms: pairing matters
        scratch = np.clip(0.5 + luck + rng.normal(0, 0.02, size=luck.shape), 0, 1)
        transferred = np.clip(0.6 + luck + rng.normal(0, 0.02, size=luck.shape), 0, 1)
        cases.append(Case((scratch, transferred), {}))
    return cases


def _verify_gain(case, output):
    scratch, transferred = case.inputs
    difference = 100 * (transferred - scratch)
    if type(output) is not tuple or len(output) != 2:
        return "Return two arrays: gain, error."
    gain, error = output
    wanted_gain, wanted_error = difference.mean(axis=1), sem(difference, axis=1)
    if differs("gain", gain, wanted_gain):
        if not differs("gain", gain, wanted_gain / 100):
            return "The gain is a fraction. Percentage points are 100 times that."
        if not differs("gain", gain, -wanted_gain):
            return "The gain has the wrong sign: it is positive when transfer is better than scratch."
        if not differs("gain", gain, difference.mean(axis=0)):
            return "You averaged over the label counts. Rows are label counts, columns are seeds: average over seeds."
        return differs("gain", gain, wanted_gain)
    if differs("error", error, wanted_error):
        if not differs("error", error, sem(difference, axis=1, ddof=0)):
            return "The error divides by n where n − 1 belongs: a sample's standard deviation has ddof=1."
        if not differs("error", error, difference.std(axis=1, ddof=1)):
            return "That is the standard deviation. The standard error of the mean divides it by the root of the seeds."
        unpaired = 100 * np.hypot(sem(scratch, axis=1), sem(transferred, axis=1))
        if not differs("error", error, unpaired):
            return "The two arms share their seeds. Take the difference seed by seed first, then its standard error."
        return differs("error", error, wanted_error)
    return None


# 01.2 How many labels a gain is worth

_INSIDE, _BEYOND = "targets on the curve", "targets beyond its ends"


def _labels_cases(rng):
    cases = []
    for size in (4, 5, 7):
        labels = np.cumsum(rng.integers(1, 30, size=size)).astype(np.float64)
        accuracies = np.sort(rng.uniform(0.2, 0.95, size=size))
        inside = accuracies[0] + rng.uniform(0.1, 0.9) * (accuracies[-1] - accuracies[0])
        for target in (inside, accuracies[1]):
            cases.append(Case((labels, accuracies, float(target)), {}, _INSIDE))
        for target in (accuracies[-1] + 0.01, accuracies[0] - 0.05):
            cases.append(Case((labels, accuracies, float(target)), {}, _BEYOND))
    return cases


def _verify_labels(case, output):
    labels, accuracies, target = case.inputs
    got = as_array(output)
    if got is None or got.shape != ():
        return "Return one number."
    if target > accuracies[-1]:
        return None if np.isposinf(got) else "The curve never reaches this target. The honest answer is infinity."
    if target < accuracies[0]:
        if differs("labels", output, labels[0].reshape(()), 1e-6):
            return "The smallest number of labels on the curve already reaches the target: return that number."
        return None
    wanted = np.exp(np.interp(target, accuracies, np.log(labels)))
    if differs("labels", output, np.asarray(wanted), 1e-6 * wanted):
        if not differs("labels", output, np.asarray(np.interp(target, accuracies, labels)), 1e-6 * wanted):
            return "You interpolated on the number of labels. Interpolate its logarithm."
        return "Between two points of the curve, interpolate log(labels) linearly in the accuracy."
    return None


# 01.3 A linear probe


def _probe_cases(rng):
    cases = []
    for n, width, classes, l2 in ((60, 6, 3, 0.1), (40, 4, 2, 0.3), (90, 8, 5, 0.05)):
        centres = rng.normal(0, 1, size=(classes, width))
        labels = np.arange(n) % classes
        features = centres[labels] + rng.normal(0, 0.7, size=(n, width))
        inputs = (torch.tensor(features, dtype=torch.float32), torch.tensor(labels), classes, l2)
        cases.append(Case(inputs, {}))
    return cases


def _probe_gradient(case, weight, bias, l2, bias_l2=0.0):
    """Largest entry of the objective's gradient at (weight, bias), for some strength of the penalty."""
    features, labels, _, _ = case.inputs
    weight, bias = (torch.tensor(value, requires_grad=True) for value in (weight, bias))
    loss = F.cross_entropy(features.double() @ weight.T + bias, labels)
    (loss + l2 / 2 * weight.square().sum() + bias_l2 / 2 * bias.square().sum()).backward()
    return max(weight.grad.abs().max().item(), bias.grad.abs().max().item())


def _verify_probe(case, output):
    features, _, classes, l2 = case.inputs
    if type(output) is not tuple or len(output) != 2:
        return "Return two tensors: weight, bias."
    weight, bias = map(as_array, output)
    if weight is None or weight.shape != (classes, features.shape[1]):
        return f"weight: want shape (num_classes, D) = {(classes, features.shape[1])}, one row per class."
    if bias is None or bias.shape != (classes,):
        return f"bias: want shape (num_classes,) = {(classes,)}."
    if not (np.isfinite(weight).all() and np.isfinite(bias).all()):
        return "The weights are not finite. Lower the learning rate."
    # The objective is convex: its gradient vanishes at the one right answer and nowhere else.
    tolerance = 2e-3
    if _probe_gradient(case, weight, bias, l2) <= tolerance:
        return None
    if _probe_gradient(case, weight, bias, 0.0) <= tolerance:
        return "You minimised the cross-entropy alone. The penalty l2/2 · ‖weight‖² is missing."
    if _probe_gradient(case, weight, bias, 2 * l2) <= tolerance:
        return "Your penalty is twice too strong: it is l2/2 · ‖weight‖², with the one half."
    if _probe_gradient(case, weight, bias, l2, bias_l2=l2) <= tolerance:
        return "You penalised the bias too. Only the weight is penalised."
    if _probe_gradient(case, weight, bias, l2 / len(features)) <= tolerance:
        return "You summed the cross-entropy over the images. Take its mean, or the penalty means something else."
    return "The objective is not at its minimum: its gradient is not zero. Train for longer, or with another learning rate."


# 01.4 A new head on a frozen body

_HEAD_LR, _HEAD_STEPS = 0.1, 2
_HEAD_PIXELS = 16  # a quarter of the work of 32; the network takes any size


def _head_cases(rng):
    cases = []
    for source_classes, classes in ((10, 10), (37, 3)):
        x = torch.tensor(rng.uniform(0, 1, size=(4, 3, _HEAD_PIXELS, _HEAD_PIXELS)), dtype=torch.float32)
        y = torch.tensor(rng.integers(classes, size=4))
        cases.append(Case((int(rng.integers(2**31)), source_classes, classes, x, y), {}))
    return cases


def _source_network(seed, classes):
    """A network whose BatchNorm statistics are not at their initial values, so that losing them shows."""
    model = tiny_resnet(classes, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    for name, buffer in model.named_buffers():
        if buffer.is_floating_point():
            centre = 1.0 if name.endswith("running_var") else 0.0  # a mean far from 0 would silence every ReLU
            buffer.copy_(centre + 0.2 * torch.rand(buffer.shape, generator=generator) - 0.1)
    return model.eval()


@lru_cache(maxsize=16)
def _untouched_source(seed, classes):
    return _source_network(seed, classes)


def _observe_head(function, inputs):
    seed, source_classes, classes, x, y = inputs
    source = _source_network(seed, source_classes)
    model = function(source, classes)
    if not isinstance(model, torch.nn.Module):
        return {"kind": type_name(as_plain(model))}
    seen = {"kind": "network", "source": project(source), "model": project(model, x)}
    # What is frozen shows in what training moves: flags can be told wrong, the outcome of two steps cannot.
    if trainable := [parameter for parameter in named_tensors(model)[0].values() if parameter.requires_grad]:
        _train(model, torch.optim.SGD(trainable, lr=_HEAD_LR), x, y)
    return {**seen, "trained": project(model)["state"]}


def _train(model, optimizer, x, y):
    for _ in range(_HEAD_STEPS):
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()


def _verify_head(case, seen):
    seed, source_classes, classes, x, y = case.inputs
    untouched = _untouched_source(seed, source_classes)
    source = untouched.state_dict()
    if seen["kind"] != "network":
        return f"Return the network; you returned {short_name(seen['kind'])}."
    if not same_tensors(seen["source"]["state"], source):
        return "The source network itself was changed. Work on a copy.deepcopy of it."
    if seen["source"]["trainable"] != sorted(name for name, _ in untouched.named_parameters()):
        return "The source network is frozen now too: yours shares parts with it. Work on a copy.deepcopy of it."
    model = seen["model"]
    state = model["state"]
    if state.keys() != source.keys():
        return "The network has other layers than the source. Replace fc and nothing else."
    weight, bias = state["fc.weight"], state["fc.bias"]
    if weight.shape != (classes, 128) or bias.shape != (classes,):
        return f"fc: want a linear layer from 128 features to {classes} classes, got weight {tuple(weight.shape)}."
    # A fresh row of 128 random weights is nowhere near an old one, nor near another new one.
    if torch.cdist(weight, source["fc.weight"], p=torch.inf).min() < 0.01:
        return "The head still has weights of the old one. The new classes are others: start from a fresh nn.Linear."
    if weight.std(dim=1).min() < 1e-3 or torch.pdist(weight, p=torch.inf).min() < 1e-3:
        return "Weights of the head are equal. A fresh nn.Linear is random."
    if not same_tensors(_body(state), _body(source)):
        return "The body is not the source's. Copy its weights and its BatchNorm statistics unchanged."
    if model["trainable"] != ["fc.bias", "fc.weight"]:
        if "fc.weight" not in model["trainable"]:
            return "The head is frozen. Put the new head on after you have frozen the rest, or thaw it."
        return "More than the head is trainable. Set requires_grad = False on every other parameter."
    if model["training"]:
        return "The network is in training mode. Call eval(), so that BatchNorm uses the source's statistics."
    rebuilt = tiny_resnet(classes)
    rebuilt.load_state_dict(state)
    rebuilt.eval().requires_grad_(False)
    rebuilt.fc.requires_grad_(True)
    with torch.no_grad():
        wanted = rebuilt(x)
    if differs("logits", model["output"], wanted, 1e-4):
        return "The network does not compute what its weights say. Keep the forward pass of the source."
    _train(rebuilt, torch.optim.SGD(rebuilt.fc.parameters(), lr=_HEAD_LR), x, y)
    trained, wanted = seen["trained"], rebuilt.state_dict()
    if (wanted["fc.bias"] - bias).abs().max() < 1e-3:
        return "The head does not learn: its weights are far larger than those of a fresh nn.Linear."
    head_agrees = all(not differs(name, trained[name], wanted[name], 1e-4) for name in ("fc.weight", "fc.bias"))
    if not head_agrees or not same_tensors(_body(trained), _body(source)):
        return "Two steps of training moved something else than the head. Freeze the body and call eval()."
    return None


def _body(state):
    return {name: value for name, value in state.items() if not name.startswith("fc.")}


# 01.5 Bug clinic

# No bundled network and no data set knows these, and which symbol has which number is drawn anew for each case.
_SYMBOLS = "#$%&@?!+=*<>~/"
_KINDS, _LABELLED, _QUERIES = 5, 4, 8  # symbols in a case; images of each with and without a label


@lru_cache(maxsize=1)
def _letters():
    return models.load("letters")


def _clinic_cases(rng):
    chosen = "".join(rng.permutation(list(_SYMBOLS))[:_KINDS])
    pool = data.glyphs(_KINDS * (_LABELLED + _QUERIES), classes=chosen, seed=int(rng.integers(2**31)))
    place = torch.argsort(pool.y, stable=True).view(_KINDS, -1)  # one row of positions per symbol
    labelled = torch.tensor(rng.permutation(place[:, :_LABELLED].flatten().numpy()))
    query = torch.tensor(rng.permutation(place[:, _LABELLED:].flatten().numpy()))
    return [Case((pool.x[labelled], pool.y[labelled], pool.x[query]), {"labels": pool.y[query]})]


def _observe_clinic(function, inputs):
    x, y, query = inputs
    source = models.load("letters")
    predicted = function(source, x, y, query)
    return {"predicted": predicted, "source": project(source)["state"]}


def _verify_clinic(case, seen):
    labels = case.truth["labels"]
    problem = misfit("labels", seen["predicted"], labels.shape, kind="integers")
    if problem:
        return f"{problem} Return one label per query image: look at the dimension of argmax."
    source, after = copy.deepcopy(_letters()), seen["source"]
    body = _body(source.state_dict())
    moved = [name for name in body if not same_tensors({name: after.get(name)}, {name: body[name]})]
    if any(name.endswith(("running_mean", "running_var", "num_batches_tracked")) for name in moved):
        return "The source's BatchNorm statistics moved: it computed features in training mode."
    if moved:
        return "The weights of the body moved. Only the head is to be trained."
    weight, bias = after.get("fc.weight"), after.get("fc.bias")
    if misfit("fc.weight", weight, (_KINDS, 128)) or misfit("fc.bias", bias, (_KINDS,)):
        return f"source.fc is to be the trained head, from 128 features to {_KINDS} classes, with finite weights."
    predicted = torch.as_tensor(as_array(seen["predicted"]))
    accuracy = (predicted == labels).double().mean().item()
    if accuracy < 0.4:
        return (
            f"Accuracy {accuracy:.2f} on new images, far too low. Ask which parameters the optimiser holds, "
            "and whether images and labels stay in the same order."
        )
    source.fc = torch.nn.Linear(128, _KINDS)
    source.load_state_dict(after)
    with torch.inference_mode():
        own = source(case.inputs[2]).argmax(dim=1)
    if (own != predicted).sum() > 1:  # one image may lie on the border between two labels
        return "The labels are not what the frozen body gives with the head that you left in source.fc."
    if accuracy < 0.6:
        return f"Accuracy {accuracy:.2f} on new images; the mended script reaches more than 0.6. Train the head for longer."
    return None


EXERCISES = [
    Exercise("01.1", "The gain, with its uncertainty", 4, "transfer_gain", 2, _gain_cases, _verify_gain),
    Exercise(
        "01.2",
        "How many labels a gain is worth",
        5,
        "labels_needed",
        2,
        _labels_cases,
        _verify_labels,
        parts={_INSIDE: 3, _BEYOND: 2},
    ),
    Exercise("01.3", "A linear probe", 7, "fit_linear_probe", 10, _probe_cases, _verify_probe),
    Exercise("01.4", "A new head on a frozen body", 7, "transplant_head", 5, _head_cases, _verify_head, _observe_head),
    Exercise("01.5", "Bug clinic", 9, "transfer", 10, _clinic_cases, _verify_clinic, _observe_clinic),
]
