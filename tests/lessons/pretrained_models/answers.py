"""Answers to the exercises of lesson 02: right ones, written differently, and wrong ones with what they must hear."""

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.neighbors import NearestCentroid
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models.feature_extraction import create_feature_extractor
from torchvision.transforms._presets import ImageClassification
from torchvision.transforms.v2 import functional as transforms

from tlcourse.training import extract_features


def prepare_by_preset(photos, recipe):
    return ImageClassification(**recipe)(photos.permute(0, 3, 1, 2))


def prepare_with(scaled=True, shorter=True, resized=True, centred=True, subtracted=True, divided=True, order=(0, 1, 2)):
    def prepare(photos, recipe):
        x = photos.permute(0, 3, 1, 2).float() / (255 if scaled else 1)
        size, crop = recipe["resize_size"], recipe["crop_size"]
        if resized:
            height, width = x.shape[-2:]
            factor = size / min(height, width)
            target = (round(factor * height), round(factor * width)) if shorter else (size, size)
            x = F.interpolate(x, size=target, mode="bilinear", antialias=True)
        x = transforms.center_crop(x, [crop]) if centred else x[..., :crop, :crop]
        mean, std = (torch.tensor(recipe[key])[list(order)].view(3, 1, 1) for key in ("mean", "std"))
        x = x - mean if subtracted else x
        return x / std if divided else x

    return prepare


def cache_by_torchvision(model, x, layers, batch_size):
    extractor = create_feature_extractor(model.eval(), {name: name for name in layers})
    parts = []
    with torch.inference_mode():
        for batch in x.split(batch_size):
            parts.append(extractor(batch))
    model.train()
    return {name: torch.cat([part[name] for part in parts]).mean(dim=(2, 3)) for name in layers}


def cache_by_walking(model, x, layers, batch_size):
    model.eval()
    parts = {name: [] for name in layers}
    for batch in torch.split(x, batch_size):
        for name, child in list(model.named_children())[:-2]:
            batch = child(batch).detach()
            if name in parts:
                parts[name].append(batch.mean(dim=-1).mean(dim=-1))
    model.train()
    return {name: torch.cat(part) for name, part in parts.items()}


def cache_with(
    evaluating=True, restored=True, cloned=True, pool=lambda t: t.mean(dim=(2, 3)), batch=None, once=True, reset=True
):
    def cache_features(model, x, layers, batch_size):
        caught = {name: [] for name in layers}

        def remember(name):
            def hook(module, inputs, output):
                caught[name].append(output.detach().clone() if cloned else output.detach())

            return hook

        handles = [model.get_submodule(name).register_forward_hook(remember(name)) for name in layers]
        model.train(not evaluating)
        for _ in range(1 if once else 2):
            for part in x.split(batch or batch_size):
                model(part)
        model.train(restored)
        for handle in handles:
            handle.remove()
        return {name: pool(torch.cat(parts)[: len(x)]) for name, parts in caught.items()}

    return cache_features


def choose_by_sklearn(train, train_y, val, val_y):
    table = {}
    for name, x in train.items():
        classifier = make_pipeline(StandardScaler(), NearestCentroid()).fit(x, train_y)
        table[name] = float(classifier.score(val[name], val_y))
    return sorted(table, key=table.get, reverse=True)[0], table


def choose_with(moments="train", measured="val", choose=max):
    def choose_layer(train, train_y, val, val_y):
        table = {}
        for name in train:
            reference = {"train": train, "val": val}.get(moments)
            mean, std = (reference[name].mean(0), reference[name].std(0)) if reference else (0, 1)
            centres = torch.stack(
                [((train[name] - mean) / std)[train_y == c].mean(0) for c in range(train_y.max() + 1)]
            )
            query, labels = (val[name], val_y) if measured == "val" else (train[name], train_y)
            distances = (((query - mean) / std).unsqueeze(1) - centres).square().sum(dim=2)
            table[name] = (distances.argmin(dim=1) == labels).double().mean()
        return choose(table, key=table.get), {name: value.item() for name, value in table.items()}

    return choose_layer


def cka_by_numpy(K, L):
    n = len(K)
    off = 1 - np.eye(n)
    k, m = K.numpy() * off, L.numpy() * off
    one = np.ones(n)

    def hsic(a, b):
        total = (
            np.trace(a @ b) + (one @ a @ one) * (one @ b @ one) / (n - 1) / (n - 2) - 2 * (one @ a @ b @ one) / (n - 2)
        )
        return total / n / (n - 3)

    return float(hsic(k, m) / np.sqrt(hsic(k, k) * hsic(m, m)))


def cka_by_centring(K, L):
    """Unbiased HSIC as an inner product of U-centred matrices (Székely and Rizzo 2014)."""

    def centred(a):
        n = len(a)
        a = a.clone().fill_diagonal_(0)
        rows = a.sum(dim=1, keepdim=True) / (n - 2)
        return (a - rows - rows.T + a.sum() / ((n - 1) * (n - 2))).fill_diagonal_(0)

    k, m = centred(K), centred(L)
    return F.cosine_similarity(k.flatten(), m.flatten(), dim=0)


def cka_with(diagonal=False, unbiased=True, normalised=True, root=True, in_place=False):
    def debiased_cka(K, L):
        n = len(K)
        if not diagonal:
            K, L = (K, L) if in_place else (K.clone(), L.clone())
            K.fill_diagonal_(0), L.fill_diagonal_(0)

        def hsic(a, b):
            if not unbiased:
                centre = torch.eye(n, dtype=a.dtype) - 1 / n
                return torch.trace(centre @ a @ centre @ b)
            value = (a * b).sum() + a.sum() * b.sum() / ((n - 1) * (n - 2)) - 2 / (n - 2) * a.sum(0) @ b.sum(0)
            return value / (n * (n - 3))

        own = hsic(K, K) * hsic(L, L)
        return hsic(K, L) / ((own.sqrt() if root else own) if normalised else 1)

    return debiased_cka


def cost_by_counter(network, side):
    table, x = {}, torch.zeros(1, 3, side, side)
    for name, layer in network.named_children():
        with FlopCounterMode(display=False) as counter:
            x = layer(x)
        if type(layer) in (nn.Conv2d, nn.Linear):
            table[name] = (sum(map(torch.numel, layer.parameters())), counter.get_total_flops() // 2)
    return table


def cost_with(bias=True, groups=True, output=True, factor=1, everything=False):
    def cost_table(network, side):
        table, x = {}, torch.zeros(1, 3, side, side)
        for name, layer in network.named_children():
            before, x = x, layer(x)
            if isinstance(layer, nn.Conv2d):
                seen = layer.in_channels // (layer.groups if groups else 1)
                area = layer.kernel_size[0] * layer.kernel_size[1]
                places = (x if output else before).shape[-1] ** 2
                weights = layer.out_channels * layer.in_channels // layer.groups * area
                table[name] = (
                    weights + bias * (layer.bias is not None) * layer.out_channels,
                    factor * places * layer.out_channels * seen * area,
                )
            elif isinstance(layer, nn.Linear):
                products = layer.in_features * layer.out_features
                table[name] = (products + bias * layer.out_features, factor * products)
            elif everything:
                table[name] = (0, 0)
        return table

    return cost_table


def classify_one_by_one(model, photos, mean, std, names):
    model.eval()
    found, sure = [], []
    for photo in photos:
        x = transforms.normalize(photo.permute(2, 0, 1).float().div(255), mean.tolist(), std.tolist())
        scores = F.softmax(model(x.unsqueeze(0))[0], dim=0)
        found.append(names[int(scores.argmax())])
        sure.append(scores.max().item())
    return found, torch.tensor(sure)


def classify_with(
    permuted=True, scaled=True, evaluating=True, dim=1, softmax=True, shifted=0, before=False, after=False
):
    def classify(model, photos, mean, std, names):
        x = photos.permute(0, 3, 1, 2) if permuted else photos.view(-1, 3, 32, 32)
        x = (x / (255 if scaled else 1) - mean.view(3, 1, 1)) / std.view(3, 1, 1)
        if before:
            model(x)
        model.train(not evaluating)
        logits = model(x)
        if after:
            model.train()(x)
        scores, index = (logits.softmax(dim) if softmax else logits).max(dim=1)
        return [names[(i + shifted) % len(names)] for i in index], scores

    return classify


RIGHT = [
    ("02.1", prepare_by_preset),
    ("02.1", prepare_with()),
    ("02.2", cache_by_walking),
    ("02.2", cache_with()),
    ("02.2", cache_with(batch=1)),
    ("02.3", choose_by_sklearn),
    ("02.3", choose_with()),
    ("02.4", cka_by_numpy),
    ("02.4", cka_by_centring),
    ("02.4", cka_with()),
    ("02.5", cost_by_counter),
    ("02.5", cost_with()),
    ("02.6", classify_one_by_one),
    ("02.6", classify_with()),
]

WRONG = [
    ("02.1", prepare_with(scaled=False), "divide by 255 first"),
    ("02.1", prepare_with(shorter=False), "Only the shorter side"),
    ("02.1", prepare_with(resized=False), "You did not resize"),
    ("02.1", prepare_with(centred=False), "crop is at the centre"),
    ("02.1", prepare_with(subtracted=False, divided=False), "not normalised"),
    ("02.1", prepare_with(divided=False), "Divide by std"),
    ("02.1", prepare_with(order=(2, 1, 0)), "reversed"),
    ("02.1", lambda p, r: prepare_with()(p, r).permute(0, 2, 3, 1), "colours first"),
    ("02.1", lambda p, r: torch.rand_like(prepare_with()(p, r)), "wrong values"),
    ("02.2", cache_with(evaluating=False), "training mode"),
    ("02.2", cache_with(restored=False), "Put the mode back"),
    ("02.2", cache_with(cloned=False), "clone the output"),
    ("02.2", cache_by_torchvision, "clone the output"),
    ("02.2", cache_with(pool=lambda t: t.amax(dim=(2, 3))), "Take the mean"),
    ("02.2", cache_with(pool=lambda t: t.flatten(1)), "Average over space"),
    ("02.2", cache_with(pool=lambda t: t.mean(dim=(2, 3)).flip(0)), "Are the batches in order"),
    ("02.2", cache_with(once=False), "each may pass once"),
    ("02.2", cache_with(batch=100), "images at once"),
    (
        "02.2",
        lambda m, x, layers, b: {n: extract_features(m, x, n, batch_size=b) for n in layers},
        "each may pass once",
    ),
    ("02.2", lambda m, x, layers, b: [1], "Return a dict"),
    ("02.2", lambda m, x, layers, b: cache_with()(m, x, [*layers, "fc"][:1], b), "keys are to be the layers"),
    ("02.3", choose_with(moments="val"), "validation statistics"),
    ("02.3", choose_with(moments=None), "without standardising"),
    ("02.3", choose_with(measured="train"), "on the training images"),
    ("02.3", choose_with(choose=min), "not the one that has the highest"),
    ("02.3", lambda *a: choose_with()(*a)[0], "Return two things"),
    ("02.4", cka_with(unbiased=False, diagonal=True), "biased CKA"),
    ("02.4", cka_with(diagonal=True), "diagonals"),
    ("02.4", cka_with(normalised=False), "That is HSIC"),
    ("02.4", cka_with(root=False), "root over"),
    ("02.4", lambda K, L: 0.5, "value is not right"),
    ("02.4", lambda K, L: K, "one number"),
    ("02.5", cost_with(bias=False), "left out the bias"),
    ("02.5", cost_with(groups=False), "with groups"),
    ("02.5", cost_with(output=False), "positions of the input"),
    ("02.5", cost_with(factor=2), "twice the number"),
    ("02.5", cost_with(everything=True), "names of the convolutions"),
    ("02.5", lambda n, s: {k: list(v) for k, v in cost_with()(n, s).items()}, "two whole numbers"),
    ("02.6", classify_with(permuted=False), "permute"),
    ("02.6", classify_with(scaled=False), "network got bytes"),
    ("02.6", classify_with(evaluating=False), "training mode"),
    ("02.6", classify_with(dim=0), "dim=1"),
    ("02.6", classify_with(softmax=False), "softmax missing"),
    ("02.6", classify_with(shifted=1), "not the names"),
    ("02.6", classify_with(before=True), "Call eval() before the first"),
    ("02.6", classify_with(after=True), "statistics in BatchNorm moved"),
    ("02.6", lambda m, p, *rest: ["a"] * len(p), "Return two things"),
]
