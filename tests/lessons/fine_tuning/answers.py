"""Answers to the exercises of lesson 03: right ones, written differently, and wrong ones with what they must hear."""

import copy
import math

import numpy as np
import torch
import torch.nn.functional as F
from scipy import stats
from torch import nn
from torch.nn.utils import parametrize

from tlcourse.training import freeze


def groups_one_each(model, lr, decay, weight_decay):
    parts = [name for name, child in model.named_children() if any(True for _ in child.parameters())]
    return [
        {
            "params": [parameter],
            "lr": lr * math.exp(math.log(decay) * (len(parts) - 1 - parts.index(name.partition(".")[0]))),
            "weight_decay": weight_decay if parameter.ndim >= 2 else 0,
        }
        for name, parameter in model.named_parameters()
    ]


def groups_with(
    rate=lambda lr, decay, distance: lr * decay**distance, spared=lambda name, p: p.dim() == 1, skip=(), bare=()
):
    def parameter_groups(model, lr, decay, weight_decay):
        groups = []
        parts = [(name, child) for name, child in model.named_children() if any(True for _ in child.parameters())]
        for distance, (part, child) in enumerate(reversed(parts)):
            for name, parameter in child.named_parameters():
                group = {"params": [parameter], "lr": rate(lr, decay, distance)}
                group["weight_decay"] = 0.0 if spared(name, parameter) else weight_decay
                if part in bare:
                    del group["lr"]
                if part not in skip:
                    groups.append(group)
        return groups

    return parameter_groups


def freeze_by_hook(model, count):
    """Before every forward pass, put the frozen parts' BatchNorm back into eval mode."""
    parts = [child for child in model.children() if list(child.parameters())][:count]
    for part in parts:
        for parameter in part.parameters():
            parameter.requires_grad = False
    layers = [m for part in parts for m in part.modules() if isinstance(m, nn.BatchNorm2d)]
    model.register_forward_pre_hook(lambda module, inputs: [layer.eval() for layer in layers] and None)


def freeze_by_the_course(model, count):
    parts = [name for name, child in model.named_children() if list(child.parameters())]
    freeze(model, train=parts[count:])


def freeze_by_momentum(model, count):
    """Computes with the statistics of the batch, and does not keep them: not frozen."""
    parts = [child for child in model.children() if list(child.parameters())][:count]
    for part in parts:
        part.requires_grad_(False)
        for layer in part.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.momentum = 0.0


def freeze_with(flags=True, eval_once=False, everywhere=False, count_by=0, all_layers=False, reset=False):
    def freeze_first(model, count):
        parts = [child for child in model.children() if list(child.parameters())]
        for i, part in enumerate(parts):
            if i < count + count_by or all_layers:
                if flags:
                    part.requires_grad_(False)
                if eval_once:
                    part.eval()
            if everywhere or (i < count + count_by and not eval_once and everywhere is not None):
                for layer in part.modules():
                    if isinstance(layer, nn.BatchNorm2d):
                        layer.eval()
                        layer.train = lambda mode=True, layer=layer: layer
                        if reset:
                            layer.reset_running_stats()

    return freeze_first


def schedule_by_counting(parts, epochs, lr, decay):
    rates = {name: lr * decay ** (len(parts) - 1 - i) for i, name in enumerate(parts)}
    result = []
    for epoch in range(1, epochs + 1):
        opened = next(k for k in range(len(parts) + 1) if k * epochs >= len(parts) * epoch)
        result.append({name: rates[name] for name in parts[len(parts) - opened :]})
    return result


def schedule_by_table(parts, epochs, lr, decay):
    table = [{} for _ in range(epochs)]
    rate = np.float64(lr)
    for i, name in enumerate(reversed(parts)):
        for epoch in range(epochs):
            if epoch + 1 > i * epochs / len(parts):
                table[epoch][name] = rate
        rate = rate * decay
    return table


def schedule_with(opened, order=-1, power=1):
    def unfreezing_schedule(parts, epochs, lr, decay):
        names = parts[::order]
        return [
            {name: lr * decay ** (power * i) for i, name in enumerate(names[: opened(len(parts), epoch, epochs)])}
            for epoch in range(epochs)
        ]

    return unfreezing_schedule


def _up(n, epoch, epochs):
    return -(-n * (epoch + 1) // epochs)


def adapter_by_parametrization(layer, rank, alpha):
    class Low(nn.Module):
        def __init__(self):
            super().__init__()
            self.up = nn.Parameter(layer.weight.new_zeros(layer.out_features, rank))
            self.down = nn.Parameter(
                torch.rand_like(layer.weight)[:rank, :].new_empty(rank, layer.in_features).uniform_(-1, 1)
            )

        def forward(self, weight):
            return weight + alpha / math.sqrt(rank) * self.up @ self.down

    class Wrapped(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = copy.deepcopy(layer).requires_grad_(False)
            parametrize.register_parametrization(self.inner, "weight", Low())
            self.inner.parametrizations.weight.original.requires_grad_(False)

        def forward(self, x):
            return self.inner(x)

        def merged(self):
            whole = nn.Linear(layer.in_features, layer.out_features, layer.bias is not None, dtype=layer.weight.dtype)
            whole.weight = nn.Parameter(self.inner.weight.detach())
            if layer.bias is not None:
                whole.bias = nn.Parameter(layer.bias.detach().clone())
            return whole

    return Wrapped()


def adapter_with(
    scale=lambda alpha, rank: alpha / rank**0.5,
    zero="B",
    frozen=True,
    merged="right",
    bias=None,
    rows=None,
    copied=False,
):
    def add_adapter(layer, rank, alpha):
        class Adapter(nn.Module):
            def __init__(self):
                super().__init__()
                self.base = copy.deepcopy(layer) if copied else layer
                self.base.requires_grad_(not frozen)
                kind = layer.weight.dtype
                self.down = nn.Linear(layer.in_features, rows or rank, bias=False, dtype=kind)
                self.up = nn.Linear(rows or rank, layer.out_features, bias=False, dtype=kind)
                for name, part in (("A", self.down), ("B", self.up)):
                    if name in zero:
                        nn.init.zeros_(part.weight)

            def forward(self, x):
                return self.base(x) + scale(alpha, rank) * self.up(self.down(x))

            def merged(self):
                if merged == "tensor":
                    return self.base.weight + scale(alpha, rank) * self.up.weight @ self.down.weight
                whole = copy.deepcopy(self.base)
                with torch.no_grad():
                    if merged == "right":
                        whole.weight.addmm_(self.up.weight, self.down.weight, alpha=scale(alpha, rank))
                    if merged == "twice":
                        whole.weight += 2 * scale(alpha, rank) * self.up.weight @ self.down.weight
                    if bias is not None:
                        whole.bias = nn.Parameter(torch.full((layer.out_features,), bias, dtype=layer.weight.dtype))
                return whole

        return Adapter()

    return add_adapter


def l2sp_by_norms(logits, labels, state, start, alpha, beta):
    shared = {n for n, w in state.items() if tuple(start.get(n, torch.empty(0)).shape) == tuple(w.shape)}
    body = torch.cat([(state[n] - start[n]).flatten() for n in shared])
    new = torch.cat([state[n].flatten() for n in state if n not in shared])
    nll = -logits.log_softmax(dim=1)[torch.arange(len(labels)), labels].mean()
    return nll + 0.5 * alpha * body @ body + 0.5 * beta * new @ new


def l2sp_by_parts(logits, labels, state, start, alpha, beta):
    penalties = [
        alpha * F.mse_loss(w, start[n], reduction="sum")
        if n in start and start[n].shape == w.shape
        else beta * torch.linalg.vector_norm(w) ** 2
        for n, w in state.items()
    ]
    return nn.CrossEntropyLoss()(logits, labels) + torch.stack(penalties).sum() / 2


def l2sp_with(
    half=0.5,
    reduction="mean",
    toward=1.0,
    new=True,
    swap=False,
    same_strength=False,
    detach=False,
    root=False,
    item=False,
):
    def l2_sp_loss(logits, labels, state, start, alpha, beta):
        alpha, beta = (beta, alpha) if swap else (alpha, beta)
        beta = alpha if same_strength else beta
        body, head = 0.0, 0.0
        for name, w in state.items():
            w = w.detach() if detach and name == "conv" else w
            if name in start and start[name].shape == w.shape:
                body = body + (w - toward * start[name]).square().sum()
            else:
                head = head + w.square().sum()
        if root:
            body, head = body.sqrt(), head.sqrt()
        loss = F.cross_entropy(logits, labels, reduction=reduction) + half * alpha * body + half * beta * head * new
        return loss.item() if item else loss

    return l2_sp_loss


def report_by_scipy(val, test, baseline):
    chosen = np.array([np.argmax(table.mean(axis=1)) for table in val])
    picked = np.stack([table[i] for table, i in zip(test, chosen)])
    rows = []
    for row in picked:
        gaps = 100 * (row - picked[baseline])
        if not gaps.any():
            rows.append((0.0, 0.0, 0.0))
            continue
        low, high = stats.ttest_1samp(gaps, 0).confidence_interval(0.95)
        rows.append((gaps.mean(), low, high))
    difference, low, high = np.array(rows).T
    return chosen, difference, low, high


def report_by_torch(val, test, baseline):
    val, test = torch.tensor(val), torch.tensor(test)
    chosen = val.mean(dim=2).argmax(dim=1)
    picked = torch.stack([test[i, c] for i, c in enumerate(chosen.tolist())])
    gaps = (picked - picked[baseline]) * 100
    mean, n = gaps.mean(dim=1), gaps.shape[1]
    half = gaps.std(dim=1) / n**0.5 * float(stats.t(n - 1).isf(0.025))
    return chosen, mean, mean - half, mean + half


def report_with(
    choose="val", measured="test", unit=100, sign=1, paired=True, quantile=None, ddof=1, root=True, by=np.mean
):
    def report_choice(val, test, baseline):
        chosen = by(val if choose == "val" else test, axis=2).argmax(axis=1)
        reported = (test if measured == "test" else val)[np.arange(len(val)), chosen]
        gaps = sign * unit * (reported - reported[baseline])
        n = gaps.shape[1]
        spread = gaps.std(axis=1, ddof=ddof)
        if not paired:
            own = unit * reported.std(axis=1, ddof=1)
            spread = np.hypot(own, own[baseline])
        half = (quantile(n) if quantile else stats.t.ppf(0.975, n - 1)) * spread / (np.sqrt(n) if root else 1)
        mean = gaps.mean(axis=1)
        return chosen, mean, mean - half, mean + half

    return report_choice


def clinic_by_cached_features(model, train, val, test, learning_rates, steps):
    body = copy.deepcopy(model).eval()
    body.fc = nn.Identity()
    with torch.no_grad():
        features = {name: body(x) for name, (x, _) in {"train": train, "val": val, "test": test}.items()}
    results = []
    for lr in learning_rates:
        weight, bias = model.fc.weight.detach().clone(), model.fc.bias.detach().clone()
        for _ in range(steps):
            error = (features["train"] @ weight.T + bias).softmax(1) - F.one_hot(train[1], len(bias))
            weight, bias = (
                weight - lr * error.T @ features["train"] / len(error),
                bias - lr * error.mean(0),
            )
        on = {
            n: ((features[n] @ weight.T + bias).argmax(1) == y).double().mean()
            for n, y in (("val", val[1]), ("test", test[1]))
        }
        results.append((lr, weight, bias, on))
    lr, weight, bias, on = max(results, key=lambda result: result[3]["val"])
    network = copy.deepcopy(model)
    with torch.no_grad():
        network.fc.weight.copy_(weight)
        network.fc.bias.copy_(bias)
    return lr, network, float(on["test"])


def clinic_with(
    early=False,
    weight=True,
    training=False,
    choose="val",
    report="test",
    on_copy=True,
    more=0,
    body=False,
    fresh=True,
    unit=1.0,
):
    def tune_head(model, train, val, test, learning_rates, steps):
        best = (None, None, -1.0)
        network = model if not on_copy else copy.deepcopy(model)
        for lr in learning_rates:
            if on_copy and fresh:
                network = copy.deepcopy(model)
            if early:
                optimizer = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=lr)
            for name, parameter in network.named_parameters():
                parameter.requires_grad = name == "fc.bias" or (weight and name == "fc.weight") or body
            if not early:
                optimizer = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=lr)
            network.train(training)
            for _ in range(steps + more):
                optimizer.zero_grad()
                F.cross_entropy(network(train[0]), train[1]).backward()
                optimizer.step()
            with torch.no_grad():
                on = {
                    name: (network(x).argmax(1) == y).float().mean().item()
                    for name, (x, y) in (("train", train), ("val", val), ("test", test))
                }
            if on[choose] > best[2]:
                best = (lr, copy.deepcopy(network), on[choose])
                reported = on[report]
        return best[0], best[1], unit * reported

    return tune_head


RIGHT = [
    ("03.1", groups_one_each),
    ("03.1", groups_with()),
    ("03.2", freeze_by_hook),
    ("03.2", freeze_by_the_course),
    ("03.2", freeze_with()),
    ("03.3", schedule_by_counting),
    ("03.3", schedule_by_table),
    ("03.4", adapter_by_parametrization),
    ("03.4", adapter_with()),
    ("03.4", adapter_with(copied=True)),
    ("03.5", l2sp_by_norms),
    ("03.5", l2sp_by_parts),
    ("03.6", report_by_scipy),
    ("03.6", report_by_torch),
    ("03.7", clinic_by_cached_features),
    ("03.7", clinic_with()),
]

WRONG = [
    ("03.1", groups_with(rate=lambda lr, decay, d: lr), "Every part has the same learning rate"),
    ("03.1", groups_with(rate=lambda lr, decay, d: lr * decay ** (d + 1)), "The head has lr · decay"),
    ("03.1", groups_with(rate=lambda lr, decay, d: lr * decay ** (5 - d)), "the wrong way"),
    ("03.1", groups_with(rate=lambda lr, decay, d: lr * decay * d), "to the power of the distance"),
    ("03.1", groups_with(spared=lambda name, p: False), "BatchNorm and biases decay too"),
    ("03.1", groups_with(spared=lambda name, p: True), "Nothing decays"),
    ("03.1", groups_with(spared=lambda name, p: name.endswith("bias")), "BatchNorm's weights decay too"),
    ("03.1", groups_with(skip=("bn1",)), "bn1.weight did not move"),
    ("03.1", groups_with(bare=("layer2",)), "no learning rate of its own"),
    ("03.1", lambda model, lr, decay, weight_decay: model.parameters(), "no learning rate of its own"),
    ("03.2", freeze_with(everywhere=None), "BatchNorm follows the batches whatever requires_grad says"),
    ("03.2", freeze_with(eval_once=True), "Hold these layers in eval mode for good"),
    ("03.2", freeze_by_momentum, "moved in training: BatchNorm follows"),
    ("03.2", freeze_with(everywhere=True), "follows the batches"),
    ("03.2", freeze_with(count_by=1), "did not move in training. Only the first"),
    ("03.2", freeze_with(count_by=-1), "moved in training, though it belongs to the first"),
    ("03.2", freeze_with(flags=False), "moved in training, though"),
    ("03.2", freeze_with(all_layers=True), "Nothing is left to train"),
    ("03.2", freeze_with(reset=True), "changed the network's weights or buffers"),
    ("03.3", schedule_with(_up, order=1), "wrong way round"),
    ("03.3", schedule_with(_up, power=0), "Multiply by decay"),
    ("03.3", schedule_with(lambda n, e, epochs: n * (e + 1) // epochs), "Round the number of open parts up"),
    ("03.3", schedule_with(lambda n, e, epochs: min(n, e + 1)), "one part an epoch"),
    ("03.3", lambda parts, epochs, lr, decay: {parts[-1]: lr}, "one dict for each of the"),
    (
        "03.3",
        lambda parts, epochs, lr, decay: [{parts[-1 - e % len(parts)]: lr} for e in range(epochs)],
        "closed again",
    ),
    ("03.4", adapter_with(scale=lambda alpha, rank: alpha / rank), "rank stabilisation"),
    ("03.4", adapter_with(scale=lambda alpha, rank: 1.0), "is missing"),
    ("03.4", adapter_with(scale=lambda alpha, rank: alpha), "α alone"),
    ("03.4", adapter_with(scale=lambda alpha, rank: alpha * rank), "The output is not"),
    ("03.4", adapter_with(zero=""), "Start B at zero"),
    ("03.4", adapter_with(zero="AB"), "both zero"),
    ("03.4", adapter_with(zero="A"), "B is the one that starts at zero"),
    ("03.4", adapter_with(frozen=False), "More than A and B"),
    ("03.4", adapter_with(rows=1), "two trainable tensors"),
    ("03.4", adapter_with(merged="not"), "returns the layer as it was"),
    ("03.4", adapter_with(merged="twice"), "merged weight is not"),
    ("03.4", adapter_with(merged="tensor"), "return an nn.Linear"),
    ("03.4", adapter_with(bias=1.5), "another bias"),
    ("03.4", lambda layer, rank, alpha: layer.weight, "Return an nn.Module"),
    ("03.5", l2sp_with(half=1.0), "twice too large"),
    ("03.5", l2sp_with(reduction="sum"), "mean of the cross-entropy"),
    ("03.5", l2sp_with(toward=0.0), "that is weight decay"),
    ("03.5", l2sp_with(new=False), "What is new is not penalised"),
    ("03.5", l2sp_with(swap=True), "swapped"),
    ("03.5", l2sp_with(same_strength=True), "strength β"),
    ("03.5", l2sp_with(root=True), "squared"),
    ("03.5", l2sp_with(detach=True), "the gradient of conv is not"),
    ("03.5", l2sp_with(item=True), "has no gradient"),
    (
        "03.5",
        lambda logits, labels, state, start, alpha, beta: F.cross_entropy(logits, labels),
        "The loss is not right",
    ),
    ("03.5", lambda logits, labels, state, *rest: "low", "loss: want an array"),
    ("03.6", report_with(choose="test"), "You chose on the test accuracies"),
    ("03.6", report_with(by=np.max), "one lucky seed"),
    ("03.6", report_with(measured="val"), "These are validation accuracies"),
    ("03.6", report_with(unit=1), "a fraction"),
    ("03.6", report_with(sign=-1), "The sign is wrong"),
    ("03.6", report_with(paired=False), "Subtract seed by seed"),
    ("03.6", report_with(quantile=lambda n: stats.norm.ppf(0.975)), "normal quantile"),
    ("03.6", report_with(quantile=lambda n: 1.96), "1.96"),
    ("03.6", report_with(quantile=lambda n: 1), "one standard error"),
    ("03.6", report_with(quantile=lambda n: stats.t.ppf(0.95, n - 1)), "5% on each side"),
    ("03.6", report_with(quantile=lambda n: stats.t.ppf(0.975, n)), "degrees of freedom"),
    ("03.6", report_with(root=False), "the root of their number"),
    ("03.6", report_with(ddof=0), "ddof=1"),
    ("03.6", lambda val, test, baseline: val, "Return four arrays"),
    ("03.7", clinic_with(early=True), "did not move at all"),
    ("03.7", clinic_with(weight=False), "Only the bias"),
    ("03.7", clinic_with(training=True), "BatchNorm's statistics moved"),
    ("03.7", clinic_with(choose="test"), "on the test images it is this one. Choose on validation"),
    ("03.7", clinic_with(body=True), "The weights of the body moved"),
    ("03.7", clinic_with(on_copy=False), "The network that you were given was changed"),
    ("03.7", clinic_with(more=3), "steps of plain gradient descent"),
    ("03.7", clinic_with(fresh=False), "begin every trial"),
    ("03.7", clinic_with(report="train"), "The accuracy is not that of"),
    ("03.7", clinic_with(unit=100), "The accuracy is not that of"),
    ("03.7", lambda *arguments: (0.1, None, 0.5), "Return three things"),
]
