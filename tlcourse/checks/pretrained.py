"""Exercises of lesson 02: prepare images, cache features, choose a layer, compare networks, count costs, mend a script."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision.transforms._presets import ImageClassification
from torchvision.transforms.v2.functional import resize

from tlcourse import data, models
from tlcourse.checks.compare import as_array, differs, misfit, type_name
from tlcourse.checks.spec import Case, Exercise

# 02.1 Prepare photos as the weights want them


def _photo_cases(rng):
    cases = []
    for height, width, shorter, crop in ((48, 72, 32, 28), (60, 40, 30, 24), (36, 36, 44, 40)):
        coarse = torch.tensor(rng.uniform(0, 255, size=(2, 3, 6, 6)))
        smooth = F.interpolate(coarse, size=(height, width), mode="bilinear")  # photos are smooth, noise is not
        recipe = {
            "resize_size": shorter,
            "crop_size": crop,
            "mean": rng.uniform(0.3, 0.6, size=3).round(3).tolist(),
            "std": rng.uniform(0.15, 0.35, size=3).round(3).tolist(),
        }
        cases.append(Case((smooth.permute(0, 2, 3, 1).round().byte().contiguous(), recipe), {}))
    return cases


def _verify_photos(case, output):
    photos, recipe = case.inputs
    x = photos.permute(0, 3, 1, 2)
    wanted = ImageClassification(
        crop_size=recipe["crop_size"], resize_size=recipe["resize_size"], mean=recipe["mean"], std=recipe["std"]
    )(x)
    if problem := misfit("images", output, wanted.shape):
        return f"{problem} Want one (3, crop_size, crop_size) image for each photo, colours first."
    got = torch.as_tensor(as_array(output))
    # Resizing bytes rounds to whole bytes, resizing floats does not: up to one step of 1/255, divided by std.
    tolerance = 0.035

    def is_this(other, steps=1):
        return (got - other).abs().max() <= steps * tolerance

    if is_this(wanted):
        return None
    mean, std = (torch.tensor(recipe[key]).view(3, 1, 1) for key in ("mean", "std"))
    pixels = wanted * std + mean
    if is_this(pixels):
        return "The pixels are in [0, 1] and not normalised. Subtract mean and divide by std, per channel."
    if is_this((255 * pixels - mean) / std, steps=255):
        return "You normalised bytes. mean and std belong to pixels in [0, 1]: divide by 255 first."
    if is_this(pixels - mean):
        return "You subtracted the mean. Divide by std as well."
    if is_this((pixels - mean.flip(0)) / std.flip(0)):
        return "mean and std are in the order red, green, blue. Yours are reversed."
    size, crop = recipe["resize_size"], recipe["crop_size"]
    for made, message in (
        (
            resize(x, [size, size]),
            "You resized to a square, which bends the picture. Only the shorter side gets resize_size.",
        ),
        (x, "You did not resize. The shorter side gets resize_size before the crop."),
    ):
        if made.shape[-2] >= crop and made.shape[-1] >= crop and is_this(_normalised(_centre(made, crop), mean, std)):
            return message
    if is_this(_normalised(resize(x, [size], antialias=True)[..., :crop, :crop], mean, std)):
        return "You cut out the upper left corner. The crop is at the centre."
    return (
        "The images have the right shape and the wrong values. Resize the shorter side to resize_size, crop the centre, "
        "scale to [0, 1], then normalise each channel."
    )


def _centre(x, side):
    top, left = ((length - side) // 2 for length in x.shape[-2:])
    return x[..., top : top + side, left : left + side]


def _normalised(x, mean, std):
    return (x / 255 - mean) / std


# 02.2 Features of several layers in one pass


def _cache_cases(rng):
    cases = []
    for count, batch_size, chosen in ((7, 3, ["bn1", "layer1", "layer3"]), (4, 4, ["conv1", "layer2", "layer3"])):
        x = torch.tensor(rng.uniform(0, 1, size=(count, 3, 16, 16)), dtype=torch.float32)
        cases.append(Case((int(rng.integers(2**31)), x, chosen, batch_size), {}))
    return cases


def _network_in_training(seed):
    """A network in training mode whose BatchNorm statistics are not those it began with."""
    model = models.tiny_resnet(10, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        model(torch.rand(8, 3, 16, 16, generator=generator))
    return model.train()


def _observe_cache(function, inputs):
    seed, x, layers, batch_size = inputs
    model = _network_in_training(seed)
    passed = 0

    def count(module, arguments):
        nonlocal passed
        passed += len(arguments[0])
        if len(arguments[0]) > batch_size:
            raise ValueError(f"{len(arguments[0])} images at once, with batch_size={batch_size}")
        if passed > len(x):
            raise ValueError(f"more than the {len(x)} images passed through the network: each may pass once")

    with model.register_forward_pre_hook(count):
        features = function(model, x, layers, batch_size)
    with torch.no_grad():  # what comes out now tells the mode and the statistics that the function left
        as_left = model(x)
        evaluated = model.eval()(x)
    return {"features": features, "as_left": as_left, "evaluated": evaluated}


def _verify_cache(case, seen):
    seed, x, layers, batch_size = case.inputs
    features = seen["features"]
    if type(features) is not dict:
        return f"Return a dict from the name of a layer to its features, not {type_name(features)}."
    if features.keys() != set(layers):
        return f"The keys are to be the layers asked for, {layers}; got {sorted(map(str, features))}."
    model = _network_in_training(seed)
    own = _run_layers(model.eval(), x)
    trainee = _network_in_training(seed)
    batches = [_run_layers(trainee, batch) for batch in x.split(batch_size)]
    in_training = {layer: torch.cat([batch[layer] for batch in batches]) for layer in layers}
    for layer in layers:
        wanted = own[layer].mean(dim=(2, 3))
        if problem := misfit(f"features of {layer}", features[layer], wanted.shape):
            return f"{problem} Average over space: one row per image, one number per channel."
        if not differs("", features[layer], wanted, 1e-4):
            continue
        if not differs("", features[layer], in_training[layer].mean(dim=(2, 3)), 1e-4):
            return "These are the features in training mode: BatchNorm used the batch's statistics. Call eval() first."
        if not differs("", features[layer], F.relu(own[layer]).mean(dim=(2, 3)), 1e-4):
            return (
                f"Features of {layer} are those after a later ReLU, which works in place: clone the output in the hook."
            )
        if not differs("", features[layer], own[layer].amax(dim=(2, 3)), 1e-4):
            return f"Features of {layer}: you took the maximum over space. Take the mean."
        return f"Features of {layer} are not right. Are the batches in order, and the network in eval mode?"
    expected = _network_in_training(seed)
    with torch.no_grad():
        as_left = expected(x)
        evaluated = expected.eval()(x)
    if differs("", seen["as_left"], as_left, 1e-4):
        return "The network came in training mode and did not come back so, or its statistics moved. Put the mode back."
    if differs("", seen["evaluated"], evaluated, 1e-4):
        return "The statistics in BatchNorm moved: some pass was in training mode."
    return None


@torch.no_grad()
def _run_layers(model, x):
    """What each layer returns, (N, C, H, W), one after the other."""
    outputs = {"conv1": model.conv1(x)}
    outputs["bn1"] = model.bn1(outputs["conv1"])
    outputs["layer1"] = model.layer1(F.relu(outputs["bn1"]))
    outputs["layer2"] = model.layer2(outputs["layer1"])
    outputs["layer3"] = model.layer3(outputs["layer2"])
    return outputs


# 02.3 Choose a layer on validation data


def _choice_cases(rng):
    cases = []
    for classes, order in ((3, (0, 1, 2)), (4, (2, 0, 1)), (3, (1, 2, 0))):
        y, val_y = np.arange(5 * classes) % classes, rng.permutation(np.arange(20 * classes) % classes)
        centres = rng.normal(0, 1, size=(classes, 4))
        # One layer that tells the classes apart, one with less signal, one so wide that it fits any training labels.
        kinds = {"good": (1.2, 0.9, 4), "weak": (0.3, 0.9, 4), "wide": (0.1, 1.0, 60)}
        names = [list(kinds)[i] for i in order]
        train, val = {}, {}
        for number, kind in enumerate(names):
            strength, noise, width = kinds[kind]
            signal = np.zeros((classes, width))
            signal[:, :4] = strength * centres
            scale = np.exp(rng.normal(0, 1.5, size=width))  # channels differ in scale: standardising matters
            for features, labels in ((train, y), (val, val_y)):
                noisy = signal[labels] + rng.normal(0, noise, size=(len(labels), width))
                features[f"layer{number + 1}"] = torch.tensor(scale * noisy + 3, dtype=torch.float32)
        cases.append(Case((train, torch.tensor(y), val, torch.tensor(val_y)), {}))
    return cases


def _prototype_accuracy(x, y, query, labels, moments):
    """Accuracy of nearest class means after standardising with the moments (mean, std) given."""
    mean, std = moments
    x, query = (x.double() - mean) / std, (query.double() - mean) / std
    centres = torch.stack([x[y == c].mean(dim=0) for c in y.unique()])
    return (torch.cdist(query, centres).argmin(dim=1) == labels).double().mean().item()


def _moments(x):
    return x.double().mean(dim=0), x.double().std(dim=0, correction=0)


def _verify_choice(case, output):
    train, y, val, val_y = case.inputs
    if type(output) is not tuple or len(output) != 2:
        return "Return two things: the name of the layer, and the dict of accuracies."
    name, accuracies = output

    def table(moments_of, query=val, labels=val_y):
        return {layer: _prototype_accuracy(train[layer], y, query[layer], labels, moments_of(layer)) for layer in train}

    wanted = table(lambda layer: _moments(train[layer]))
    tolerance = 1.5 / len(val_y)  # one image may lie on a border, or the deviation divide by n − 1
    if problem := differs("accuracies", accuracies, wanted, tolerance):
        for other, message in (
            (
                table(lambda layer: _moments(train[layer]), train, y),
                "on the training images. Measure on the validation ones.",
            ),
            (
                table(lambda layer: _moments(val[layer])),
                "after standardising with validation statistics. Use those of the training images.",
            ),
            (
                table(lambda layer: (0.0, 1.0)),
                "without standardising. Give every channel mean 0 and deviation 1 first.",
            ),
        ):
            if not differs("", accuracies, other, tolerance):
                return f"These are the accuracies {message}"
        return problem
    best = max(accuracies.values(), key=float)
    if type(name) is not str or name not in train:
        return f"The layer is to be one of the names {list(train)}."
    if float(accuracies[name]) < float(best):
        return "The accuracies are right, but the layer is not the one that has the highest."
    return None


# 02.4 How alike two networks are


def _cka_cases(rng):
    cases = []
    for n, width, share, kernel in ((12, 40, 0.0, "linear"), (20, 6, 0.7, "linear"), (15, 8, 0.4, "rbf")):
        x = rng.normal(size=(n, width))
        y = share * x + (1 - share) * rng.normal(size=(n, width))
        if kernel == "linear":
            grams = (x @ x.T, y @ y.T)
        else:
            grams = (np.exp(-np.square(z[:, None] - z[None]).sum(-1) / width) for z in (x, y))
        cases.append(Case(tuple(torch.tensor(gram) for gram in grams), {}))
    return cases


def _hsic_by_sums(k, m):
    """Unbiased HSIC as the U-statistic over distinct indices, summed out (Song et al. 2012, equation 4)."""
    n = len(k)
    k, m = k - np.diag(np.diag(k)), m - np.diag(np.diag(m))
    pairs = np.einsum("ij,ij->", k, m)
    triples = np.einsum("ij,iq->", k, m) - pairs
    quadruples = k.sum() * m.sum() - 4 * triples - 2 * pairs
    return (
        pairs / (n * (n - 1)) - 2 * triples / (n * (n - 1) * (n - 2)) + quadruples / (n * (n - 1) * (n - 2) * (n - 3))
    )


def _verify_cka(case, output):
    k, m = (as_array(gram) for gram in case.inputs)
    got = as_array(output)
    if got is None or got.shape != ():
        return "Return one number."
    if np.isnan(got):
        return "CKA is NaN. Under the root stands a product of two HSIC of a kernel with itself, which is above 0."
    tolerance = 1e-5

    def close(value):
        return abs(got - value) <= tolerance

    def ratio(hsic):
        return hsic(k, m) / np.sqrt(hsic(k, k) * hsic(m, m))

    def biased(a, b):
        centre = np.eye(len(a)) - 1 / len(a)
        return np.trace(centre @ a @ centre @ b)

    if close(ratio(_hsic_by_sums)):
        return None
    if close(ratio(biased)):
        return "That is the biased CKA, which calls wide features alike when they are not. Use the unbiased HSIC."
    if close(_hsic_by_sums(k, m)):
        return "That is HSIC. Divide it by the root of HSIC(K, K) · HSIC(L, L)."
    if close(_hsic_by_sums(k, m) / (_hsic_by_sums(k, k) * _hsic_by_sums(m, m))):
        return "The root over HSIC(K, K) · HSIC(L, L) is missing."
    if close(ratio(_formula_with_diagonal)):
        return "Set the diagonals of K and L to zero first, both of them, and leave the inputs as they are."
    return (
        "The value is not right. Check the three terms, the divisions by n − 1, n − 2, n − 3, and the zero diagonals."
    )


def _formula_with_diagonal(a, b):
    n = len(a)
    return (np.sum(a * b) + a.sum() * b.sum() / ((n - 1) * (n - 2)) - 2 / (n - 2) * a.sum(axis=0) @ b.sum(axis=0)) / (
        n * (n - 3)
    )


# 02.5 What a network costs

_COUNT, _WORK = "parameters", "multiply-adds"


def _cost_cases(rng):
    cases = []
    for part in (_COUNT, _WORK):
        for side in (32, 40):
            a, b, c = (int(width) for width in 4 * rng.integers(1, 5, size=3))
            kernel, groups, bias = int(rng.choice([3, 5])), int(rng.choice([2, 4])), bool(rng.integers(2))
            layers = [
                ["conv", 3, a, kernel, 2, kernel // 2, 1, bias],
                ["norm", a],
                ["conv", a, b, 3, 1, 0, groups, not bias],
                ["pool", 2],
                ["conv", b, c, 1, 1, 0, 1, bias],
                ["mean"],
                ["linear", c, int(rng.integers(2, 9)), True],
            ]
            cases.append(Case((layers, side), {"part": part}, part))
    return cases


def _build(layers):
    """The network that a list of plain layer descriptions stands for."""
    made = []
    for kind, *sizes in layers:
        if kind == "conv":
            inputs, outputs, kernel, stride, padding, groups, bias = sizes
            made.append(nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=bias))
        elif kind == "norm":
            made += [nn.BatchNorm2d(*sizes), nn.ReLU()]
        elif kind == "pool":
            made.append(nn.MaxPool2d(*sizes))
        elif kind == "mean":
            made += [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        else:
            made.append(nn.Linear(*sizes))
    return nn.Sequential(*made).eval()


def _observe_cost(function, inputs):
    layers, side = inputs
    return function(_build(layers), side)


def _verify_cost(case, output):
    layers, side = case.inputs
    with torch.device("meta"):
        network, x = _build(layers), torch.empty(1, 3, side, side)
    wanted, wide = {}, {}
    for name, layer in network.named_children():
        before, x = x, _count_work(layer, x, wanted, name)
        if isinstance(layer, nn.Conv2d):
            wide[name] = wanted[name][1] * before.shape[-1] ** 2 // x.shape[-1] ** 2
    if type(output) is not dict or output.keys() != wanted.keys():
        keys = sorted(map(str, output)) if type(output) is dict else type_name(output)
        return (
            f"Return a dict whose keys are the names of the convolutions and linear layers, {list(wanted)}; got {keys}."
        )
    for name, (parameters, work) in wanted.items():
        layer = network.get_submodule(name)
        if type(output[name]) is not tuple or misfit(name, output[name], (2,), kind="integers"):
            return f"Layer {name}: want two whole numbers, (parameters, multiply-adds)."
        got_parameters, got_work = output[name]
        if case.truth["part"] == _COUNT and got_parameters != parameters:
            if layer.bias is not None and got_parameters == layer.weight.numel():
                return f"Layer {name}: you left out the bias, {len(layer.bias)} more parameters."
            return f"Layer {name}: {got_parameters} parameters is not right."
        if case.truth["part"] == _WORK and got_work != work:
            if got_work == 2 * work:
                return f"Layer {name}: that is twice the number. Count a multiplication and its addition as one."
            if got_work == wide.get(name):
                return f"Layer {name}: you counted positions of the input. Each *output* position costs one product."
            if isinstance(layer, nn.Conv2d) and got_work == work * layer.groups:
                return f"Layer {name}: with groups, a filter sees only in_channels / groups channels."
            return f"Layer {name}: {got_work} multiply-adds is not right."
    return None


def _count_work(layer, x, wanted, name):
    with FlopCounterMode(display=False) as counter:
        y = layer(x)
    if isinstance(layer, nn.Conv2d | nn.Linear):
        wanted[name] = (sum(p.numel() for p in layer.parameters()), counter.get_total_flops() // 2)
    return y


# 02.6 Bug clinic


class _Denormalise(nn.Module):
    """Makes of a network that takes pixels one that takes pixels normalised by mean and std."""

    def __init__(self, mean, std):
        super().__init__()
        self.register_buffer("mean", mean.view(3, 1, 1))
        self.register_buffer("std", std.view(3, 1, 1))

    def forward(self, x):
        return x * self.std + self.mean


_READ = "letters"


def _clinic_cases(rng):
    cases = []
    for count in (7, 12):
        images = data.glyphs(37, _READ, seed=int(rng.integers(2**31)))[:count]
        photos = (255 * images.x).round().byte().permute(0, 2, 3, 1).contiguous()
        mean, std = (
            torch.tensor(rng.uniform(low, high, size=3), dtype=torch.float32) for low, high in ((0.3, 0.6), (0.2, 0.4))
        )
        cases.append(Case((photos, mean, std, images.classes), {}))
    return cases


def _reader(mean, std):
    return nn.Sequential(_Denormalise(mean, std), models.load(_READ)).train()


def _observe_clinic(function, inputs):
    photos, mean, std, names = inputs
    model = _reader(mean, std)
    answer = function(model, photos, mean, std, names)
    with torch.no_grad():
        return {"answer": answer, "afterwards": model.eval()(_prepared(photos, mean, std))}


def _prepared(photos, mean, std, scale=255):
    return (photos.permute(0, 3, 1, 2) / scale - mean.view(3, 1, 1)) / std.view(3, 1, 1)


def _verify_clinic(case, seen):
    photos, mean, std, names = case.inputs
    x = _prepared(photos, mean, std)
    with torch.no_grad():
        logits = _reader(mean, std).eval()(x)
        in_training = _reader(mean, std)(x)
        bytes_in = _reader(mean, std).eval()(_prepared(photos, mean, std, scale=1))
        moved = _reader(mean, std)
        moved(x)
        moved = moved.eval()(x)
        viewed = _reader(mean, std).eval()(_prepared(photos.view(-1, 3, 32, 32).permute(0, 2, 3, 1), mean, std))
    answer = seen["answer"]
    if type(answer) is not tuple or len(answer) != 2 or type(answer[0]) is not list:
        return "Return two things: a list of names and a tensor of probabilities."
    confidence, index = logits.softmax(dim=1).max(dim=1)
    got = answer[1]
    if problem := misfit("probabilities", got, confidence.shape):
        return problem
    if differs("probabilities", got, confidence, 1e-3):
        for other, message in (
            (
                in_training.softmax(dim=1),
                "The network ran in training mode, so each image depends on its neighbours. Call eval().",
            ),
            (
                moved.softmax(dim=1),
                "A pass in training mode moved the statistics in BatchNorm. Call eval() before the first.",
            ),
            (bytes_in.softmax(dim=1), "The network got bytes. mean and std belong to pixels in [0, 1]."),
            (
                viewed.softmax(dim=1),
                "view only counts the same bytes off anew. Move the colours to the front with permute.",
            ),
            (logits.softmax(dim=0), "The softmax runs over the images. Each image's probabilities add up to 1: dim=1."),
            (logits, "These are logits, not probabilities: there is a softmax missing."),
        ):
            if not differs("", got, other.max(dim=1).values, 1e-3):
                return message
        return "The probabilities are not right. Follow one image through every line, and ask what its numbers are."
    if answer[0] != [names[i] for i in index.tolist()]:
        return "The probabilities are right, but not the names. names[i] belongs to output i."
    if differs("", seen["afterwards"], logits, 1e-3):
        return "The statistics in BatchNorm moved: a pass ran in training mode."
    return None


EXERCISES = [
    Exercise("02.1", "Prepare photos as the weights want them", 4, "prepare", 5, _photo_cases, _verify_photos),
    Exercise(
        "02.2",
        "Features of several layers in one pass",
        5,
        "cache_features",
        5,
        _cache_cases,
        _verify_cache,
        _observe_cache,
    ),
    Exercise("02.3", "Choose a layer on validation data", 4, "choose_layer", 5, _choice_cases, _verify_choice),
    Exercise("02.4", "How alike two networks are", 5, "debiased_cka", 5, _cka_cases, _verify_cka),
    Exercise(
        "02.5",
        "What a network costs",
        5,
        "cost_table",
        5,
        _cost_cases,
        _verify_cost,
        _observe_cost,
        parts={_COUNT: 2, _WORK: 3},
    ),
    Exercise("02.6", "Bug clinic", 7, "classify", 5, _clinic_cases, _verify_clinic, _observe_clinic),
]
