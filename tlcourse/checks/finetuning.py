"""Exercises of lesson 03: parameter groups, freezing, a schedule, LoRA, L2-SP, an honest choice, mend a script."""

from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from scipy.stats import norm, sem, t
from torch import nn

from tlcourse.checks.compare import as_plain, differs, misfit, project, same_tensors, short_name, type_name
from tlcourse.checks.spec import Case, Exercise
from tlcourse.models import tiny_resnet
from tlcourse.training import freeze, list_parts

_PIXELS = 16  # a quarter of the work of 32; the network takes any size


def _network(seed, classes=5):
    """A network whose BatchNorm has weights and statistics of its own, so that what happens to them shows."""
    model = tiny_resnet(classes, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    for name, value in model.state_dict().items():
        if value.dim() == 1 and value.is_floating_point() and not name.startswith("fc."):
            centre = 0.0 if name.endswith(("bias", "running_mean")) else 1.0
            value.copy_(centre + 0.4 * torch.rand(value.shape, generator=generator) - 0.2)
    return model.eval()


def _images(rng, n, classes=5):
    x = torch.tensor(rng.uniform(0, 1, size=(n, 3, _PIXELS, _PIXELS)), dtype=torch.float32)
    return x, torch.tensor(rng.integers(classes, size=n))


# 03.1 Parameter groups


def _groups_cases(rng):
    return [
        Case((int(rng.integers(2**31)), *_images(rng, 4), lr, decay, weight_decay), {})
        for lr, decay, weight_decay in ((0.1, 0.5, 0.2), (0.05, 0.3, 0.5))
    ]


def _observe_groups(function, inputs):
    seed, x, y, lr, decay, weight_decay = inputs
    model = _network(seed).double()
    groups = function(model, lr, decay, weight_decay)
    F.cross_entropy(model(x.double()), y).backward()
    torch.optim.SGD(groups, lr=1e6).step()  # a group without a rate of its own would get this one
    return project(model)["state"]


def _verify_groups(case, state):
    seed, x, y, lr, decay, weight_decay = case.inputs

    def stepped(rate=lambda depth: lr * decay**depth, spared=lambda name, value: value.dim() == 1):
        model = _network(seed).double()
        F.cross_entropy(model(x.double()), y).backward()
        parts = list_parts(model)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                depth = len(parts) - 1 - parts.index(name.split(".")[0])
                pull = 0.0 if spared(name, parameter) else weight_decay * parameter
                parameter -= rate(depth) * (parameter.grad + pull)
        return model.state_dict()

    right = stepped()
    if type(state) is not dict or state.keys() != right.keys():
        return "The network has other layers than before. Leave it as it is, and only put its parameters into groups."

    def agrees(wanted):
        return all(not differs(name, state[name], wanted[name], 1e-7) for name in wanted)

    if agrees(right):
        return None
    for wanted, message in (
        (stepped(rate=lambda depth: lr), "Every part has the same learning rate. It falls by decay from part to part."),
        (stepped(spared=lambda name, value: False), "BatchNorm and biases decay too. Give them weight_decay 0."),
        (
            stepped(spared=lambda name, value: True),
            "Nothing decays. Give tensors of two or more dimensions weight_decay.",
        ),
        (
            stepped(spared=lambda name, value: name.endswith("bias")),
            "BatchNorm's weights decay too. They have one dimension, like biases: weight_decay 0.",
        ),
        (
            stepped(rate=lambda depth: lr * decay ** (depth + 1)),
            "The head has lr · decay. It is zero steps from itself: its rate is lr.",
        ),
        (
            stepped(rate=lambda depth: lr * decay ** (5 - depth)),
            "The rates run the wrong way: the head has the highest, the first layer the lowest.",
        ),
        (stepped(rate=lambda depth: lr * decay * depth), "The rate is lr · decay to the power of the distance."),
    ):
        if agrees(wanted):
            return message
    start = _network(seed).double()
    for name, parameter in start.named_parameters():
        if torch.equal(state[name], parameter):
            return f"{name} did not move, so it is in no group. Every parameter belongs to exactly one group."
    if any(state[name].abs().max() > 1e3 for name, _ in start.named_parameters()):
        return "A group has no learning rate of its own. Give every group the keys params, lr and weight_decay."
    return "One step of SGD on your groups does not do what it should. Count the distance from the head in parts."


# 03.2 True freezing

_WEIGHTS, _STATISTICS = "weights", "BatchNorm statistics"


def _freeze_cases(rng):
    cases = []
    for part in (_WEIGHTS, _STATISTICS):
        for count in (2, 4):
            cases.append(Case((int(rng.integers(2**31)), *_images(rng, 6), count), {"part": part}, part))
    return cases


def _train_hard(model, x, y):
    """Two steps as a training loop makes them, with a switch of modes between."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=0.1)
    for _ in range(2):
        model.train()
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
        model.eval()
    return project(model)["state"]


def _observe_freeze(function, inputs):
    seed, x, y, count = inputs
    model = _network(seed)
    function(model, count)
    at_once = project(model)["state"]
    if not any(parameter.requires_grad for parameter in model.parameters()):
        return {"all frozen": True}
    return {"at once": at_once, "trained": _train_hard(model, x, y)}


def _verify_freeze(case, seen):
    seed, x, y, count = case.inputs
    if seen.get("all frozen"):
        return "Nothing is left to train. Only the first `count` parts are frozen."
    before = _network(seed)
    start = before.state_dict()
    parts = list_parts(before)
    if seen["at once"].keys() != start.keys() or not same_tensors(seen["at once"], start):
        return "Freezing changed the network's weights or buffers. It only decides what training may move."
    trained = seen["trained"]
    if trained.keys() != start.keys():
        return "The network has other layers than before. Leave them as they are."
    parameters = {name for name, _ in before.named_parameters()}
    moved = {name for name in start if not same_tensors({name: trained[name]}, {name: start[name]})}
    frozen = {name for name in start if name.split(".")[0] in parts[:count]}
    if case.truth["part"] == _WEIGHTS:
        if wrong := sorted(moved & parameters & frozen):
            return f"{wrong[0]} moved in training, though it belongs to the first {count} parts."
        if still := sorted(parameters - frozen - moved):
            return f"{still[0]} did not move in training. Only the first {count} parts are frozen."
        return None
    if wrong := sorted((moved & frozen) - parameters):
        return (
            f"{wrong[0]} moved in training: BatchNorm follows the batches whatever requires_grad says, and a loop calls "
            "model.train() in every epoch. Hold these layers in eval mode for good."
        )
    if still := sorted(start.keys() - parameters - frozen - moved):
        return f"{still[0]} did not move in training. The BatchNorm of the parts that train follows the batches."
    wanted = _train_hard(freeze(before, train=tuple(parts[count:])), x, y)
    if any(differs(name, trained[name], wanted[name], 1e-4) for name in wanted):
        return "The parts that train do not compute what they should in training mode."
    return None


# 03.3 A gradual schedule


def _schedule_cases(rng):
    cases = []
    for count, epochs in ((4, 8), (6, 4), (3, 5), (5, 1)):
        parts = [f"part{number}" for number in rng.permutation(20)[:count]]
        cases.append(Case((parts, epochs, float(rng.uniform(0.001, 0.1)), float(rng.uniform(0.2, 0.8))), {}))
    return cases


def _schedule(parts, epochs, lr, decay, opened=None, from_head=True):
    opened = opened or (lambda epoch: -(-len(parts) * (epoch + 1) // epochs))
    order = parts[::-1] if from_head else parts
    return [{name: lr * decay**i for i, name in enumerate(order[: opened(epoch)])} for epoch in range(epochs)]


def _verify_schedule(case, output):
    parts, epochs, lr, _ = case.inputs
    if type(output) is not list or len(output) != epochs or any(type(entry) is not dict for entry in output):
        return f"Return a list with one dict for each of the {epochs} epochs."
    problem = differs("schedule", output, _schedule(*case.inputs), 1e-9)
    if problem is None:
        return None
    number = len(parts)
    for other, message in (
        (
            _schedule(*case.inputs, from_head=False),
            "The order is the wrong way round. The head, the last part, begins.",
        ),
        (
            _schedule(parts, epochs, lr, 1.0),
            "Every part has the head's rate. Multiply by decay for each step away from the head.",
        ),
        (
            _schedule(*case.inputs, opened=lambda epoch: number * (epoch + 1) // epochs),
            "Round the number of open parts up: with as many epochs as you like, the head trains from the first one.",
        ),
        (
            _schedule(*case.inputs, opened=lambda epoch: min(number, epoch + 1)),
            "You open one part an epoch. Spread the openings evenly over all epochs.",
        ),
    ):
        if not differs("", output, other, 1e-9):
            return message
    if any(not before.keys() <= after.keys() for before, after in pairwise(output)):
        return "A part that was open is closed again. Open parts stay open."
    return problem


# 03.4 A LoRA layer


def _draw(rng, *shape):
    return torch.tensor(rng.normal(size=shape), dtype=torch.float64)


def _lora_cases(rng):
    cases = []
    for inputs, outputs, rank, alpha, bias in ((7, 5, 2, 6.0, True), (6, 9, 4, 2.0, False)):
        weight, offset = _draw(rng, outputs, inputs), _draw(rng, outputs) if bias else None
        cases.append(
            Case(
                (
                    weight,
                    offset,
                    rank,
                    alpha,
                    _draw(rng, rank, inputs),
                    _draw(rng, outputs, rank),
                    _draw(rng, 8, inputs),
                ),
                {},
            )
        )
    return cases


def _observe_lora(function, inputs):
    weight, bias, rank, alpha, down, up, x = inputs
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(weight)
        if bias is not None:
            layer.bias.copy_(bias)
    adapter = function(layer, rank, alpha)
    if not isinstance(adapter, nn.Module):
        return {"kind": type_name(as_plain(adapter))}
    trainable = [parameter for parameter in adapter.parameters() if parameter.requires_grad]
    seen = {
        "kind": "network",
        "trainable": [list(parameter.shape) for parameter in trainable],
        "at first": adapter(x),
        "largest": {str(list(parameter.shape)): parameter.abs().max() for parameter in trainable},
    }
    wanted = {tuple(value.shape): value for value in (down, up)}
    if sorted(wanted) != sorted(tuple(parameter.shape) for parameter in trainable):
        return seen
    with torch.no_grad():
        for parameter in trainable:
            parameter.copy_(wanted[tuple(parameter.shape)])
    seen["afterwards"] = adapter(x)
    merged = adapter.merged()
    seen["merged type"] = type(merged).__name__
    if type(merged) is nn.Linear:
        seen |= {"weight": merged.weight, "bias": merged.bias}
    return seen


def _verify_lora(case, seen):
    weight, bias, rank, alpha, down, up, x = case.inputs
    if seen["kind"] != "network":
        return f"Return an nn.Module; you returned {short_name(seen['kind'])}."
    plain, product = F.linear(x, weight, bias), up @ down
    shapes = [list(down.shape), list(up.shape)]
    if sorted(seen["trainable"]) != sorted(shapes):
        if len(seen["trainable"]) > 2:
            return "More than A and B is trainable. Freeze the layer's own weight and bias."
        return f"Want two trainable tensors, A (rank, in) and B (out, rank), here {shapes}; got {seen['trainable']}."
    if differs("output", seen["at first"], plain, 1e-9):
        return "A new adapter changes what the layer computes. Start B at zero."
    largest = seen["largest"]
    if not max(float(value) for value in largest.values()) > 0:
        return "A and B are both zero, so neither ever gets a gradient. Draw A at random."
    if float(largest[str(shapes[1])]) > 0:
        return "B is the one that starts at zero, and A the random one."
    scale = alpha / rank**0.5
    if differs("output", seen["afterwards"], plain + scale * x @ product.T, 1e-9):
        for other, message in (
            (alpha / rank, "The scale is α/r. This exercise asks for rank stabilisation: α/√r."),
            (1.0, "The scale α/√r is missing."),
            (alpha, "The scale is α alone. Divide it by √r."),
        ):
            if not differs("", seen["afterwards"], plain + other * x @ product.T, 1e-9):
                return message
        return "The output is not W x + b + α/√r · B A x."
    if seen["merged type"] != "Linear":
        return f"merged() is to return an nn.Linear, not {short_name(seen['merged type'])}."
    if bias is None and seen["bias"] is not None:
        return "The layer had no bias, so the merged one has none."
    if differs("weight", seen["weight"], weight + scale * product, 1e-9):
        if not differs("", seen["weight"], weight, 1e-9):
            return "merged() returns the layer as it was. Its weight is W + α/√r · BA."
        return "The merged weight is not W + α/√r · BA."
    if bias is not None and differs("bias", seen["bias"], bias, 1e-9):
        return "The merged layer has another bias than the layer."
    return None


# 03.5 The L2-SP loss


def _l2sp_cases(rng):
    cases = []
    for classes, source_classes in ((3, 7), (4, 4), (2, 6)):
        state = {
            "conv": _draw(rng, 2, 3, 2, 2),
            "norm": _draw(rng, 5),
            "fc": _draw(rng, classes, 5),
            "gate": _draw(rng, 3),
        }
        start = {"norm": _draw(rng, 5), "conv": _draw(rng, 2, 3, 2, 2), "fc": _draw(rng, source_classes, 5)}
        if classes == source_classes:  # the old head then goes by another name
            start["old"] = start.pop("fc")
        labels = torch.tensor(rng.integers(classes, size=6))
        alpha, beta = (float(value) for value in rng.uniform(0.05, 0.5, size=2))
        cases.append(Case((_draw(rng, 6, classes), labels, state, start, alpha, beta), {}))
    return cases


def _observe_l2sp(function, inputs):
    logits, labels, state, start, alpha, beta = inputs
    leaves = {name: value.clone().requires_grad_() for name, value in state.items()}
    scores = logits.clone().requires_grad_()
    loss = function(scores, labels, leaves, start, alpha, beta)
    if not isinstance(loss, torch.Tensor) or loss.dim() or not loss.requires_grad:
        return {"loss": as_plain(loss), "gradients": None}
    gradients = torch.autograd.grad(loss, [scores, *leaves.values()], allow_unused=True)
    return {"loss": loss, "gradients": [None if g is None else g for g in gradients]}


def _verify_l2sp(case, seen):
    logits, labels, state, start, alpha, beta = case.inputs
    if problem := misfit("loss", seen["loss"], ()):
        return problem
    if seen["gradients"] is None:
        return "The loss has no gradient. Stay with tensors: no item(), no detach(), no torch.no_grad()."
    data = F.cross_entropy(logits, labels)
    shared = [name for name in state if name in start and start[name].shape == state[name].shape]
    new = [name for name in state if name not in shared]
    moved = sum((state[name] - start[name]).square().sum() for name in shared)
    norm_of_shared = sum(state[name].square().sum() for name in shared)
    norm_of_new = sum(state[name].square().sum() for name in new)
    right = data + alpha / 2 * moved + beta / 2 * norm_of_new
    if differs("loss", seen["loss"], right, 1e-9):
        summed = F.cross_entropy(logits, labels, reduction="sum")
        for other, message in (
            (data + alpha * moved + beta * norm_of_new, "The penalties are twice too large: α/2 and β/2."),
            (data + alpha / 2 * moved, "What is new is not penalised. It has β/2 · ‖w‖²."),
            (
                data + alpha / 2 * norm_of_shared + beta / 2 * norm_of_new,
                "The shared weights are drawn to zero: that is weight decay. Draw them to where they started.",
            ),
            (data + beta / 2 * moved + alpha / 2 * norm_of_new, "α and β are swapped."),
            (data + alpha / 2 * (moved + norm_of_new), "What is new has the strength β, not α."),
            (summed + alpha / 2 * moved + beta / 2 * norm_of_new, "Take the mean of the cross-entropy, not its sum."),
            (
                data + alpha / 2 * moved.sqrt() + beta / 2 * norm_of_new.sqrt(),
                "The norms are to be squared.",
            ),
        ):
            if not differs("", seen["loss"], other, 1e-9):
                return message
        return "The loss is not right. Which weights have the same name and shape at the start?"
    wanted = [(logits.softmax(1) - F.one_hot(labels, logits.shape[1])) / len(labels)]
    wanted += [alpha * (state[n] - start[n]) if n in shared else beta * state[n] for n in state]
    for name, gradient, expected in zip(["logits", *state], seen["gradients"], wanted, strict=True):
        if gradient is None or differs(name, gradient, expected, 1e-9):
            return f"The value is right, but the gradient of {name} is not. Did you detach something?"
    return None


# 03.6 Choose on validation, report with an interval

_CHOICE, _INTERVAL = "choice", "interval"


def _report_cases(rng):
    cases = []
    for part in (_CHOICE, _INTERVAL):
        for strategies, trials, seeds in ((3, 4, 5), (4, 3, 8)):
            luck = rng.normal(0, 0.06, size=seeds)  # a good draw of images helps all: pairing matters
            level = rng.uniform(0.6, 0.8, size=(strategies, trials, 1))
            val = np.clip(level + luck + rng.normal(0, 0.03, size=(strategies, trials, seeds)), 0, 1)
            worst = val.mean(axis=2).argmin(axis=1)
            val[np.arange(strategies), worst, 0] = np.minimum(val.max(axis=(1, 2)) + 0.02, 1)  # one lucky seed
            test = np.clip(level + luck + rng.normal(0, 0.03, size=val.shape), 0, 1)
            best = val.mean(axis=2).argmax(axis=1)
            for row, column in enumerate(best):  # another trial looks best on test
                other = (column + 1) % trials
                test[row, other] = np.clip(test[row].max(axis=0) + 0.05, 0, 1)
            cases.append(Case((val, test, int(rng.integers(strategies))), {"part": part}, part))
    return cases


def _paired(val, test, baseline, choose_by=None):
    chosen = (val if choose_by is None else choose_by).mean(axis=2).argmax(axis=1)
    picked = test[np.arange(len(test)), chosen]
    return chosen, 100 * (picked - picked[baseline])


def _verify_report(case, output):
    val, test, baseline = case.inputs
    if type(output) is not tuple or len(output) != 4:
        return "Return four arrays: chosen, difference, low, high."
    chosen, *numbers = output
    wanted, gaps = _paired(val, test, baseline)
    if case.truth["part"] == _CHOICE:
        if problem := misfit("chosen", chosen, wanted.shape, kind="integers"):
            return problem
        if not differs("chosen", chosen, wanted):
            return None
        if not differs("", chosen, test.mean(axis=2).argmax(axis=1)):
            return "You chose on the test accuracies. They are for the report; choose on validation."
        if not differs("", chosen, val.max(axis=2).argmax(axis=1)):
            return "You chose the trial with one lucky seed. Choose by the mean over the seeds."
        return "Choose for each strategy the trial with the highest mean validation accuracy over the seeds."
    seeds = gaps.shape[1]
    half = t.ppf(0.975, seeds - 1) * sem(gaps, axis=1)
    want = (gaps.mean(axis=1), gaps.mean(axis=1) - half, gaps.mean(axis=1) + half)
    names = ("difference", "low", "high")
    if problem := differs(names[0], numbers[0], want[0]):
        if not differs("", numbers[0], want[0] / 100):
            return "The difference is a fraction. Percentage points are 100 times that."
        if not differs("", numbers[0], -want[0]):
            return "The sign is wrong: positive means better than the baseline."
        if not differs("", numbers[0], _paired(val, test, baseline, test)[1].mean(axis=1)):
            return "These are the differences of the trials that look best on test. Report the trials chosen on validation."
        if not differs("", numbers[0], _paired(val, val, baseline)[1].mean(axis=1)):
            return "These are validation accuracies. The choice used them up, so report the test accuracies."
        return problem
    picked = 100 * test[np.arange(len(test)), wanted]
    width = sem(picked, axis=1)
    unpaired = t.ppf(0.975, seeds - 1) * np.hypot(width, width[baseline])
    for other, message in (
        (half, None),
        (
            norm.ppf(0.975) * sem(gaps, axis=1),
            f"That is the normal quantile. With {seeds} seeds take Student's t with {seeds - 1} degrees of freedom.",
        ),
        (1.96 * sem(gaps, axis=1), f"1.96 belongs to the normal distribution. With {seeds} seeds take Student's t."),
        (unpaired, "The seeds are shared. Subtract seed by seed first, then take the standard error."),
        (sem(gaps, axis=1), "That is one standard error to each side. A 95% interval takes t times that."),
        (t.ppf(0.95, seeds - 1) * sem(gaps, axis=1), "That leaves 5% on each side. A 95% interval leaves 2.5%."),
        (
            t.ppf(0.975, seeds - 1) * gaps.std(axis=1, ddof=1),
            "That is the spread of the seeds. Divide by the root of their number.",
        ),
        (half * np.sqrt((seeds - 1) / seeds), "The standard deviation divides by n − 1: ddof=1."),
        (t.ppf(0.975, seeds) * sem(gaps, axis=1), f"{seeds} differences leave {seeds - 1} degrees of freedom."),
    ):
        if not differs("", numbers[1], want[0] - other) and not differs("", numbers[2], want[0] + other):
            return message
    return differs("low", numbers[1], want[1]) or differs("high", numbers[2], want[2])


# 03.7 Bug clinic

_STEPS, _RATES = 6, (0.01, 0.3, 1.0)


def _clinic_model(seed):
    """A network as the script gets it: in training mode, the body trainable, the head frozen."""
    model = _network(seed)
    model.fc.requires_grad_(False)
    return model.train()


def _clinic_cases(rng):
    cases = []
    for best, lucky in ((0, 1), (2, 1)):
        seed = int(rng.integers(2**31))
        x, y = _images(rng, 10)
        x[torch.arange(10), y % 3] *= 0.3  # something to learn
        sets = {}
        for name, count, rate in (("val", 40, _RATES[best]), ("test", 30, _RATES[lucky])):
            images, noise = _images(rng, count)
            images[torch.arange(count), noise % 3] *= 0.3
            # Labels that the network trained at this rate reads best, a fifth of them wrong: the right choice and the
            # choice on test are then two different rates in every case.
            network = _tuned(seed, x, y, rate)
            with torch.no_grad():
                labels = network(images).argmax(dim=1)
            wrong = torch.tensor(rng.uniform(size=count) < 0.2)
            sets[name] = (images, torch.where(wrong, noise, labels))
        cases.append(Case((seed, x, y, *sets["val"], *sets["test"]), {}))
    return cases


def _tuned(seed, x, y, lr):
    """Train the head on the frozen body: full batch, plain gradient descent."""
    model = _clinic_model(seed).eval().requires_grad_(False)
    model.fc.requires_grad_(True)
    optimizer = torch.optim.SGD(model.fc.parameters(), lr=lr)
    for _ in range(_STEPS):
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    return model


def _observe_clinic(function, inputs):
    seed, x, y, val_x, val_y, test_x, test_y = inputs
    model = _clinic_model(seed)
    answer = function(model, (x, y), (val_x, val_y), (test_x, test_y), list(_RATES), _STEPS)
    if type(answer) is not tuple or len(answer) != 3 or not isinstance(answer[1], nn.Module):
        return {"kind": "other"}
    lr, network, accuracy = answer
    return {
        "kind": "tuple",
        "lr": lr,
        "state": project(network)["state"],
        "accuracy": accuracy,
        "given": project(model)["state"],
    }


def _verify_clinic(case, seen):
    seed, x, y, val_x, val_y, test_x, test_y = case.inputs
    if seen["kind"] != "tuple":
        return "Return three things: the learning rate, the network, its test accuracy."
    start = _clinic_model(seed).state_dict()
    if not same_tensors(seen["given"], start):
        return "The network that you were given was changed. Train a copy.deepcopy of it."
    state = seen["state"]
    if state.keys() != start.keys():
        return "The network has other layers than the one you were given."
    statistics = [name for name in start if "running" in name or "num_batches" in name]
    if not same_tensors({n: state[n] for n in statistics}, {n: start[n] for n in statistics}):
        return "BatchNorm's statistics moved: the frozen body ran in training mode."
    body = [name for name in start if name not in statistics and not name.startswith("fc.")]
    if not same_tensors({n: state[n] for n in body}, {n: start[n] for n in body}):
        return "The weights of the body moved. Only the head is to be trained."
    if same_tensors({"fc.weight": state["fc.weight"]}, {"fc.weight": start["fc.weight"]}):
        if same_tensors({"fc.bias": state["fc.bias"]}, {"fc.bias": start["fc.bias"]}):
            return "The head did not move at all. Which parameters did the optimiser get, and when?"
        return "Only the bias of the head moved. Its weight is still frozen, or not in the optimiser."

    networks = {lr: _tuned(seed, x, y, lr) for lr in _RATES}
    with torch.no_grad():
        on_val = {lr: (networks[lr](val_x).argmax(dim=1) == val_y).double().mean().item() for lr in _RATES}
        on_test = {lr: (networks[lr](test_x).argmax(dim=1) == test_y).double().mean().item() for lr in _RATES}
    if misfit("lr", seen["lr"], ()) or float(seen["lr"]) not in _RATES:
        return f"The learning rate is to be one of {list(_RATES)}."
    lr = float(seen["lr"])
    heads = {n: networks[lr].state_dict()[n] for n in ("fc.weight", "fc.bias")}
    if any(differs(n, state[n], heads[n], 1e-3) for n in heads):
        return (
            f"The head is not what {_STEPS} steps of plain gradient descent at lr {lr} make of it. Begin every trial "
            "from the network that you were given, with the loss on all training images at once."
        )
    margin = 1.5 / len(val_y)  # an image may lie on a border
    if on_val[lr] < max(on_val.values()) - margin:
        on_which = (
            "on the test images it is this one" if on_test[lr] == max(on_test.values()) else "measured in eval mode"
        )
        return (
            f"Another rate reads more validation images; {on_which}. Choose on validation, and begin every trial from the "
            "network that you were given."
        )
    if differs("accuracy", seen["accuracy"], on_test[lr], 1.5 / len(test_y)):
        return (
            "The accuracy is not that of the returned network on the test images, a number from 0 to 1, in eval mode."
        )
    return None


EXERCISES = [
    Exercise("03.1", "Parameter groups", 5, "parameter_groups", 5, _groups_cases, _verify_groups, _observe_groups),
    Exercise(
        "03.2",
        "True freezing",
        5,
        "freeze_first",
        5,
        _freeze_cases,
        _verify_freeze,
        _observe_freeze,
        parts={_WEIGHTS: 2, _STATISTICS: 3},
    ),
    Exercise("03.3", "A gradual schedule", 4, "unfreezing_schedule", 2, _schedule_cases, _verify_schedule),
    Exercise("03.4", "A LoRA layer", 6, "add_adapter", 2, _lora_cases, _verify_lora, _observe_lora),
    Exercise("03.5", "The L2-SP loss", 4, "l2_sp_loss", 2, _l2sp_cases, _verify_l2sp, _observe_l2sp),
    Exercise(
        "03.6",
        "Choose on validation, report with an interval",
        5,
        "report_choice",
        2,
        _report_cases,
        _verify_report,
        parts={_CHOICE: 2, _INTERVAL: 3},
    ),
    Exercise("03.7", "Bug clinic", 7, "tune_head", 10, _clinic_cases, _verify_clinic, _observe_clinic),
]
