"""Exercises of lesson 04: a gap with intervals, importance weights, a diagnosis, a gate, partial classes, mend a script."""

import numpy as np
import torch
import torch.nn.functional as F
from scipy.stats import norm, sem, t
from torch import nn

from tlcourse.checks.compare import as_array, differs, misfit, project, same_tensors
from tlcourse.checks.spec import Case, Exercise
from tlcourse.models import tiny_resnet

_PIXELS = 16  # a quarter of the work of 32; the network takes any size

# 04.1 The gap, with two intervals

_RUNS, _IMAGES = "runs", "images"


def _gap_cases(rng):
    cases = []
    for part in (_RUNS, _IMAGES):
        for runs, images, is_error in ((6, 300, True), (9, 200, False)):
            shared = rng.normal(0, 1.5, size=images) + rng.normal(0, 0.4, size=(runs, 1))  # hard images, bad draws
            harm = 0.3 + rng.normal(0, 0.8, size=images) + rng.normal(0, 0.15, size=(runs, 1))
            noise = rng.normal(0, 0.4, size=(2, runs, images))
            losses = [np.logaddexp(0, shared + harm + noise[0]), np.logaddexp(0, shared + noise[1])]
            if is_error:
                losses = [(values > 1).astype(np.int64) for values in losses]
            cases.append(Case(tuple(losses), {"part": part}, part))
    return cases


def _pair(value):
    """The two ends of an interval as an array, or None."""
    ends = list(value) if type(value) in (list, tuple) else as_array(value)
    if ends is None or np.ndim(ends) != 1 or len(ends) != 2:
        return None
    ends = [as_array(end) for end in ends]
    return None if any(end is None or end.shape for end in ends) else np.array(ends)


def _verify_gap(case, output):
    with_source, without = (values.astype(float) for values in case.inputs)
    part = case.truth["part"]
    if type(output) is not dict or output.keys() != {"gap", _RUNS, _IMAGES}:
        return 'Return a dict with the keys "gap", "runs" and "images".'
    difference = with_source - without
    gap, (runs, images) = difference.mean(), difference.shape
    if problem := differs("gap", output["gap"], gap):
        if not differs("", output["gap"], -gap):
            return "The sign is wrong: risk with the source minus risk without it, so above zero the source did harm."
        if not differs("", output["gap"], 100 * gap):
            return "The gap is in percent. Leave it in the unit of the losses."
        return problem
    ends = _pair(output[part])
    if ends is None or np.isnan(ends).any():
        return f"{part}: want two numbers, the lower end and the upper end."
    over_runs, over_images = difference.mean(axis=1), difference.mean(axis=0)
    right = {
        _RUNS: t.ppf(0.975, runs - 1) * sem(over_runs),
        _IMAGES: norm.ppf(0.975) * sem(over_images),
    }
    tolerance = {_RUNS: 1e-6, _IMAGES: 0.1 * right[_IMAGES]}

    def fits(ends, half, tolerance):
        return ends is not None and np.abs(ends - [gap - half, gap + half]).max() <= tolerance

    if fits(ends, right[part], tolerance[part]):
        return None
    if fits(ends[::-1], right[part], tolerance[part]):
        return f"{part}: the lower end comes first."
    other = _IMAGES if part == _RUNS else _RUNS
    if fits(ends, right[other], tolerance[other]) and fits(_pair(output[other]), right[part], tolerance[part]):
        return "The two intervals are swapped. The one over runs comes from one mean for each run."
    if part == _RUNS:
        spread = sem(over_runs)
        unpaired = np.hypot(sem(with_source.mean(axis=1)), sem(without.mean(axis=1)))
        for half, message in (
            (1.96 * spread, f"1.96 belongs to the normal distribution. {runs} runs want Student's t."),
            (
                t.ppf(0.975, runs - 1) * unpaired,
                "The runs are paired. Subtract run by run, then take the standard error.",
            ),
            (t.ppf(0.975, 2 * runs - 2) * unpaired, "The runs are paired: no test of two independent samples."),
            (spread, "That is one standard error to each side. A 95% interval takes t times that."),
            (t.ppf(0.95, runs - 1) * spread, "That leaves 5% on each side. A 95% interval leaves 2.5%."),
            (t.ppf(0.975, runs) * spread, f"{runs} differences leave {runs - 1} degrees of freedom."),
            (right[_RUNS] * np.sqrt(runs), "That is the spread of the runs. Divide by the root of their number."),
            (right[_RUNS] * np.sqrt((runs - 1) / runs), "The standard deviation divides by n − 1: ddof=1."),
            (
                t.ppf(0.975, difference.size - 1) * sem(difference, axis=None),
                "Images of one run are not runs. Average over the images first.",
            ),
        ):
            if fits(ends, half, 1e-4 * half):  # 1.96 is 1.959964
                return f"runs: {message}"
        if ends[1] - ends[0] < 1.9 * right[_RUNS]:
            return "runs: the interval is too narrow. With so few runs a bootstrap is; take Student's t."
        return "runs: these are not the ends of the paired interval with Student's t."
    unpaired = np.hypot(sem(with_source.mean(axis=0)), sem(without.mean(axis=0)))
    for half, message in (
        (norm.ppf(0.975) * unpaired, "Both sides saw the same images. Subtract image by image first."),
        (
            norm.ppf(0.975) * sem(difference, axis=None),
            "The same image in another run is no new image. Average over the runs first.",
        ),
        (right[_IMAGES] * np.sqrt(images), "That is the spread of the images. Divide by the root of their number."),
        (sem(over_images), "That is one standard error to each side. A 95% interval takes 1.96 times that."),
        (norm.ppf(0.975) * sem(difference[0]), "That is one run. Average over all runs first."),
    ):
        if fits(ends, half, 0.05 * half):
            return f"images: {message}"
    return "images: these are not the ends of the paired interval over the means of each image."


# 04.2 Importance weights


def _weights_cases(rng):
    cases = []
    for n_source, n_target, clip in ((1000, 6000, 2.0), (5000, 1250, 1.5)):
        direction = rng.normal(size=3)
        direction *= rng.uniform(1.2, 1.5) / np.linalg.norm(direction)
        centre = rng.normal(size=3)
        source = centre + rng.normal(size=(n_source, 3))
        target = centre + direction + rng.normal(size=(n_target, 3))
        ratio = np.exp((source - centre) @ direction - direction @ direction / 2)  # of two Gaussians
        cases.append(Case((source, target, clip), {"ratio": ratio}))
    return cases


def _verify_weights(case, output):
    source, target, clip = case.inputs
    ratio = case.truth["ratio"]
    if problem := misfit("weights", output, (len(source),)):
        return problem
    weights = as_array(output)
    if not (weights > 0).all() or not np.isfinite(weights).all():
        return "Weights are above 0 and finite."

    def scaled(values):
        return np.log(values / values.mean())

    def distance(values):
        return np.sqrt(np.mean((scaled(weights) - scaled(values)) ** 2))

    prior = len(target) / len(source)
    right = np.minimum(ratio, clip)
    others = (
        (np.minimum(ratio * prior, clip), "The sizes of the two sets are still in the odds. Multiply by n_s / n_t."),
        (np.minimum(ratio * prior**2, clip), "Your correction for the sizes is upside down. Multiply by n_s / n_t."),
        (np.minimum(1 / ratio, clip), "The ratio is upside down: it is target over source."),
        (np.minimum(prior**2 / ratio, clip), "The ratio is upside down: it is target over source."),
        (ratio, "Nothing is clipped. No ratio counts for more than clip."),
        (
            ratio * prior / (1 + ratio * prior),
            "These are probabilities. The ratio of densities wants the odds, p / (1 − p).",
        ),
        (ratio / (1 + ratio), "These are probabilities. The ratio of densities wants the odds, p / (1 − p)."),
        (np.ones(len(ratio)), "All weights are about the same. Does the classifier see which image comes from where?"),
    )
    nearest, message = min(others, key=lambda other: distance(other[0]))
    if distance(right) > 0.25:  # a classifier's own error is below 0.2
        if distance(nearest) < 0.25:
            return message
        return (
            "The weights do not follow the ratio of the densities. Fit one classifier on both sets, and take its odds."
        )
    if abs(weights.mean() - 1) > 1e-6:
        return (
            f"The mean of the weights is {weights.mean():.3g}. Clip first and divide by the mean last, so that it is 1."
        )
    return None


# 04.3 Diagnosis

_CAUSES = ("features", "labels", "inputs", "algorithm")
_CLASSES, _DIMENSIONS = 5, 12
_MISTAKEN = {
    (
        "features",
        "inputs",
    ): "An unrelated source looks different as well. First ask whether its features tell the target's classes apart.",
    (
        "features",
        "labels",
    ): "In useless features every classifier contradicts the labels. First ask whether they tell the target's classes apart.",
    ("features", "algorithm"): "No prediction falls on a class that the target lacks.",
    (
        "labels",
        "features",
    ): "A classifier trained on the target's own labels does well in these features, so they are not the trouble.",
    (
        "labels",
        "inputs",
    ): "Within the classes that both have, nothing tells source and target apart. Leave out the source's other classes.",
    ("labels", "algorithm"): "The target lacks a class here, but the predictions do not fall on it.",
    (
        "inputs",
        "features",
    ): "A classifier trained on the target's own labels does well in these features, so they are not the trouble.",
    (
        "inputs",
        "labels",
    ): "A shift moves the source out of the target's classes, so a classifier contradicts right labels too. Look for the shift first.",
    ("inputs", "algorithm"): "The target lacks a class here, but the predictions do not fall on it.",
    (
        "algorithm",
        "features",
    ): "A classifier trained on the target's own labels does well in these features, so they are not the trouble.",
    (
        "algorithm",
        "labels",
    ): "In the classes that both have, a classifier trained on the target agrees with the source's labels.",
    (
        "algorithm",
        "inputs",
    ): "The source has classes that the target lacks, and these look different. Compare the classes that both have.",
}


def _spread(rng, n, classes):
    """Labels with every class in them, some more often than others."""
    share = rng.uniform(0.7, 1.3, size=len(classes))
    counts = np.maximum(1, np.round(n * share / share.sum())).astype(int)
    counts[0] += n - counts.sum()
    return rng.permutation(np.repeat(classes, counts))


def _draw_run(rng, cause):
    centres = rng.normal(0, 1.3, size=(_CLASSES, _DIMENSIONS))
    order = rng.permutation(_CLASSES)
    present = order[: {"features": 5, "algorithm": 2}.get(cause, 4)]
    source_y, target_y = _spread(rng, 250, np.arange(_CLASSES)), _spread(rng, 150, present)
    source_x = centres[source_y] + rng.normal(size=(250, _DIMENSIONS))
    target_x = centres[target_y] + rng.normal(size=(150, _DIMENSIONS))
    truth = _spread(rng, 300, present)
    predicted = np.where(rng.uniform(size=300) < 0.25, rng.choice(present, size=300), truth)
    lost = rng.uniform(size=300) < 0.02
    if cause == "features":
        target_x = rng.normal(0, 1.6, size=(150, _DIMENSIONS))
        predicted = rng.integers(_CLASSES, size=300)
    if cause in ("features", "inputs"):
        offset = rng.normal(size=_DIMENSIONS)
        source_x = source_x * rng.uniform(0.7, 1.4, size=_DIMENSIONS) + 14 * offset / np.linalg.norm(offset)
    if cause == "labels":  # three classes that the target has go by each other's names
        names = np.arange(_CLASSES)
        names[present[:3]] = present[[1, 2, 0]]
        source_y, predicted = names[source_y], np.where(rng.uniform(size=300) < 0.5, names[predicted], predicted)
    if cause == "algorithm":
        lost = rng.uniform(size=300) < 0.35
    if len(present) < _CLASSES:
        predicted[lost] = rng.choice(order[len(present) :], size=lost.sum())
    slips = rng.uniform(size=250) < 0.04
    source_y = np.where(slips, rng.integers(_CLASSES, size=250), source_y)
    return {
        "source_x": source_x,
        "source_y": source_y,
        "target_x": target_x,
        "target_y": target_y,
        "predicted": predicted,
    }


def _diagnosis_cases(rng):
    cases = []
    for cause in _CAUSES:
        for _ in range(2):
            truth = [_CAUSES[i] for i in rng.permutation(4)]
            cases.append(Case(([_draw_run(rng, name) for name in truth],), {"causes": truth, "part": cause}, cause))
    return cases


def _verify_diagnosis(case, output):
    causes, part = case.truth["causes"], case.truth["part"]
    if type(output) not in (list, tuple) or len(output) != 4 or any(type(name) is not str for name in output):
        return "Return a list of four names, each a str."
    if unknown := [name for name in output if name not in _CAUSES]:
        return f"{unknown[0]!r:.40} is no cause. The names are {', '.join(_CAUSES)}."
    wrong = [i for i in range(4) if output[i] != causes[i] and part in (output[i], causes[i])]
    if not wrong:
        return None
    first = min(wrong, key=lambda i: causes[i] != part)
    return f"A run is named {output[first]} and is not. {_MISTAKEN[causes[first], output[first]]}"


# 04.4 The gate

_WEIGHTS = (0.0, 0.1, 0.3, 1.0, 3.0)


def _gate_cases(rng):
    """The gains are multiples of one standard error of a loss difference with deviation 1."""
    n = 200
    scenarios = (
        ((14 * 0.08, 0.05), (-2, 0.5), (-3, 0.5), (-1, 0.5)),  # a small gain, and the same on every image
        ((0.5, 0.1), (1.2, 0.4), (-1, 0.5), (-2, 0.5)),  # two that pass
        ((0.3, 0.2), (-1, 0.5), (0.1, 0.5), (-2, 0.5)),  # passes by 1.5 standard errors
        ((2.1, 3.0), (0.8, 0.2), (-1, 0.5), (-2, 0.5)),  # the best on average is noise, the second is not
        ((0.3, 0.5), (-1, 0.5), (-0.5, 0.5), (-2, 0.5)),  # none passes
    )
    cases = []
    for scenario in scenarios:
        tables = []
        for rows in (scenario, scenario[::-1]):  # on the test images the order is another one
            base = np.exp(rng.normal(0, 0.7, size=n))
            table = [base]
            for gain, deviation in rows:
                noise = rng.normal(size=n)
                noise = (noise - noise.mean()) / noise.std(ddof=1)
                table.append(base - gain / np.sqrt(n) + deviation * noise)
            tables.append(np.stack(table))
        order = rng.permutation(5)
        weights = np.array([0.0, *rng.permutation(_WEIGHTS[1:])])
        cases.append(Case((weights[order], tables[0][order], tables[1][order]), {}))
    return cases


def _choose(weights, losses, error=lambda ahead, rows: sem(ahead), margin=1.0, best=np.mean, only_first=False):
    """A weight by the rule of the task, or by another one like it."""
    without = losses[weights == 0][0]
    passed = {}
    for weight, row in zip(weights, losses, strict=True):
        ahead = without - row
        asked = weight != 0 and (not only_first or row.mean() == losses.mean(axis=1).min())
        if asked and ahead.mean() > margin * error(ahead, (without, row)):
            passed[float(weight)] = best(ahead)
    return max(passed, key=passed.get) if passed else 0.0


def _verify_gate(case, output):
    weights, val, test = case.inputs
    if type(output) is not tuple or len(output) != 2:
        return "Return two numbers: the weight and the gap."
    weight, gap = output
    if misfit("weight", weight, ()) or float(as_array(weight)) not in weights:
        return "The weight is to be one of those in `weights`."
    weight, right = float(as_array(weight)), _choose(weights, val)
    if weight != right:
        for other, message in (
            (
                _choose(weights, val, margin=0.0),
                "You take the lowest mean. The source is used only where it wins by more than one standard error.",
            ),
            (
                _choose(weights, val, only_first=True),
                "You look only at the lowest mean. A weight with another mean may pass the gate.",
            ),
            (_choose(weights, val, margin=1.96), "The margin is one standard error, not 1.96 of them."),
            (
                _choose(weights, val, error=lambda ahead, rows: ahead.std(ddof=1)),
                "That is a margin of a standard deviation. Divide by the root of the number of images.",
            ),
            (
                _choose(weights, val, error=lambda ahead, rows: np.hypot(*(sem(row) for row in rows))),
                "The images are the same. Subtract image by image first, then take the standard error.",
            ),
            (
                _choose(weights, val, best=lambda ahead: ahead.mean() / sem(ahead)),
                "Of the weights that pass, take the one with the lowest mean loss, not the surest.",
            ),
            (_choose(weights, test), "You chose on the test images. They are for the report."),
            (_choose(weights, test, margin=0.0), "You chose on the test images. They are for the report."),
            (
                _choose(weights, val, margin=-1e9),
                "A weight has to win. None passes here, so the source is left out: 0.",
            ),
        ):
            if weight == other:
                return message
        return "Another weight passes the gate. Is the row without the source the one at weight 0?"

    def gap_on(losses):
        return losses[weights == right][0].mean() - losses[weights == 0][0].mean()

    if problem := differs("gap", gap, gap_on(test), 1e-9):
        if not differs("", gap, -gap_on(test), 1e-9):
            return "The sign of the gap is wrong: risk with the source minus risk without it."
        if not differs("", gap, gap_on(val), 1e-9):
            return "This gap is on the validation images. The choice used them up, so report it on the test images."
        return problem
    return None


# 04.5 Partial classes

_CLASS_LOSS, _ALIGNMENT = "class loss", "alignment"


def _partial_cases(rng):
    def draw(*shape):
        return torch.tensor(rng.normal(size=shape), dtype=torch.float64)

    cases = []
    for part in (_CLASS_LOSS, _ALIGNMENT):
        for classes, absent in ((5, 2), (4, 1)):
            labels = torch.tensor(rng.permutation(np.resize(np.arange(classes), 14)))
            scores = 2 * draw(11, classes)
            scores[:, torch.tensor(rng.permutation(classes)[:absent])] -= 5
            inputs = (draw(14, classes), labels, draw(14, 6), draw(9, 6), scores.softmax(dim=1))
            cases.append(Case(inputs, {"part": part}, part))
    return cases


def _observe_partial(function, inputs):
    logits, labels, features, target_features, probs = inputs
    leaves = [value.clone().requires_grad_() for value in (logits, features, target_features, probs)]
    output = function(leaves[0], labels, *leaves[1:])
    if type(output) is not tuple or len(output) != 2:
        return {"kind": "other"}
    seen = {"kind": "pair", "losses": list(output), "gradients": []}
    for loss in output:
        has_gradient = isinstance(loss, torch.Tensor) and loss.dim() == 0 and loss.requires_grad
        gradients = torch.autograd.grad(loss, leaves, retain_graph=True, allow_unused=True) if has_gradient else ()
        seen["gradients"].append(list(gradients))
    return seen


def _partial_parts(logits, labels, features, target_features, weights, total=None):
    """The two losses of the task, for given weights of the classes."""
    each = weights[labels]
    class_loss = (each * F.cross_entropy(logits, labels, reduction="none")).sum() / (total or len(labels))
    centre = (each[:, None] * features).sum(dim=0) / (total or each.sum())
    return class_loss, (centre - target_features.mean(dim=0)).square().sum()


def _verify_partial(case, seen):
    logits, labels, features, target_features, probs = case.inputs
    part = case.truth["part"]
    if seen["kind"] != "pair":
        return "Return two losses: that of the classes and that of the alignment."
    which = (_CLASS_LOSS, _ALIGNMENT).index(part)
    mean = probs.mean(dim=0)
    weights = mean / mean.max()
    n, classes = len(labels), len(mean)
    leaves = [value.clone().requires_grad_() for value in (logits, features, target_features)]
    wanted = _partial_parts(leaves[0], labels, *leaves[1:], weights)[which]
    got = seen["losses"][which]
    if problem := differs(part, got, wanted.detach(), 1e-9):
        counted = F.one_hot(probs.argmax(dim=1), classes).double().mean(dim=0)
        per_image = (probs / probs.max(dim=1, keepdim=True).values).mean(dim=0)
        ones = torch.ones_like(mean)

        def with_weights(weights, total=None):
            return _partial_parts(logits, labels, features, target_features, weights, total)[which]

        others = [
            (with_weights(ones), "Nothing is weighted. The classes that the target lacks are to count for little."),
            (with_weights(counted / counted.max()), "You count predicted classes. Take the mean of the probabilities."),
            (with_weights(per_image), "Normalise after the mean, not each image by its own maximum."),
            (
                with_weights(per_image / per_image.max()),
                "Normalise after the mean, not each image by its own maximum.",
            ),
        ]
        if part == _CLASS_LOSS:
            others += [
                (with_weights(mean), "The weights are not divided by their maximum."),
                (with_weights(mean * classes), "The weights are divided by their mean. Divide them by their maximum."),
                (
                    with_weights(weights, weights[labels].sum()),
                    "You divide by the sum of the weights, as F.cross_entropy(weight=…) does. Divide by the number of images.",
                ),
                (n * with_weights(weights), "Take the mean over the source images, not the sum."),
            ]
        else:
            right = with_weights(weights)
            others += [
                (
                    with_weights(weights, n),
                    "A weighted mean divides by the sum of the weights, not by the number of images.",
                ),
                (right.sqrt(), "The distance is to be squared."),
                (right / features.shape[1], "Sum over the features, where you took a mean."),
            ]
        for other, message in others:
            if not differs("", got, other):
                return message
        return f"{problem} Each source image has the weight of its own label's class."
    gradients = seen["gradients"][which]
    if not gradients:
        return f"{part}: it has no gradient. Stay with tensors: no item(), no torch.no_grad()."
    if gradients[3] is not None and gradients[3].abs().max() > 0:
        return f"{part}: a gradient flows into the predictions. The weights are constants: detach them."
    expected = torch.autograd.grad(wanted, leaves, allow_unused=True)
    for name, gradient, right in zip(("logits", "features", "target_features"), gradients, expected, strict=False):
        if (gradient is None or not gradient.abs().max() > 0) and right is None:
            continue
        if gradient is None or right is None or differs(name, gradient, right, 1e-9):
            return f"{part}: the value is right, but the gradient of {name} is not. Did you detach something?"
    return None


# 04.6 Bug clinic

_STEPS, _RATES = 5, (0.05, 0.4, 2.0)
_ARMS = ("with", "without")


def _clinic_model(seed):
    """A network as the script gets it: in evaluation mode, everything but the head frozen."""
    model = tiny_resnet(4, seed=seed).eval().requires_grad_(False)
    model.fc.requires_grad_(True)
    return model


def _clinic_features(model, x):
    values = []
    with model.fc.register_forward_pre_hook(lambda module, inputs: values.append(inputs[0])), torch.no_grad():
        model(x)
    return values[0]


def _clinic_head(start, sets, lr, steps=_STEPS):
    """The head after gradient descent on the sum of the mean cross-entropies of some (features, labels)."""
    weight, bias = start["weight"], start["bias"]
    for _ in range(steps):
        errors = [(F.linear(x, weight, bias).softmax(dim=1) - F.one_hot(y, 4)) / len(y) for x, y in sets]
        weight = weight - lr * sum(error.T @ x for error, (x, _) in zip(errors, sets, strict=True))
        bias = bias - lr * sum(error.sum(dim=0) for error in errors)
    return {"weight": weight, "bias": bias}


def _predict(head, features):
    return F.linear(features, head["weight"], head["bias"]).argmax(dim=1)


def _clinic_images(rng, labels):
    n = len(labels)
    x = torch.tensor(rng.uniform(0, 1, size=(n, 3, _PIXELS, _PIXELS)), dtype=torch.float32)
    x[torch.arange(n), labels % 3] *= 0.3  # something to learn
    x[labels == 3] *= 0.5
    return x


def _clinic_cases(rng):
    """On validation one rate is the best, on test another, in both arms; and between the best the source helps."""
    cases = []
    for best, lucky in (
        ({"with": 1, "without": 2}, {"with": 2, "without": 0}),
        ({"with": 2, "without": 1}, {"with": 1, "without": 0}),
    ):
        case = None
        while case is None:
            case = _draw_clinic(rng, best, lucky)
        cases.append(case)
    return cases


def _draw_clinic(rng, best, lucky):
    """One case, or None where ten draws of the source's wrong labels bring none."""
    seed = int(rng.integers(2**31))
    model = _clinic_model(seed)
    y, clean_y, pool_y = (torch.tensor(rng.permutation(np.resize(np.arange(4), n))) for n in (8, 16, 160))
    x, source_x, pool = (_clinic_images(rng, labels) for labels in (y, clean_y, pool_y))
    on_x, on_source, on_pool = (_clinic_features(model, images) for images in (x, source_x, pool))
    for _ in range(10):
        wrong = torch.tensor(rng.uniform(size=16) < 0.4)
        source_y = torch.where(wrong, torch.tensor(rng.integers(4, size=16)), clean_y)
        heads = _clinic_heads(model, (on_x, y), (on_source, source_y))
        predicted = {key: _predict(head, on_pool) for key, head in heads.items()}
        val, val_y, ahead = _pick_images(predicted, np.arange(80), best)
        test, test_y, ahead_on_test = _pick_images(predicted, np.arange(80, 160), lucky)
        right = {arm: (predicted[arm, best[arm]][test] == test_y).sum() for arm in _ARMS}
        if ahead >= 3 and ahead_on_test >= 1 and right["with"] >= right["without"] + 4:
            return Case((seed, source_x, source_y, x, y, pool[val], val_y, pool[test], test_y), {})
    return None


def _pick_images(predicted, rows, wanted):
    """Choose 40 images and labels that a wanted rate of each arm reads best; and by how many images, at least."""
    kept, labels = [], []
    for focus in _ARMS:  # half of the images tell the rates of one arm apart, half those of the other
        votes = torch.zeros(len(rows), 4)
        for (arm, i), classes in predicted.items():
            votes += F.one_hot(classes[rows], 4) * (2 if i == wanted[arm] else -1) * (1.0 if arm == focus else 0.4)
        votes[kept] = -torch.inf
        value, names = votes.max(dim=1)
        kept += value.argsort(descending=True, stable=True)[:20].tolist()
        labels += names[kept[-20:]].tolist()
    chosen, labels = rows[kept], torch.tensor(labels)
    right = {key: (classes[chosen] == labels).sum().item() for key, classes in predicted.items()}
    ahead = [right[arm, wanted[arm]] - right[arm, i] for arm, i in predicted if i != wanted[arm]]
    return chosen, labels, min(ahead)


def _clinic_heads(model, target, source):
    """(arm, number of the rate) → head, trained as the task says on (features, labels) of the two sets."""
    start, sets = model.fc.state_dict(), {"with": [target, source], "without": [target]}
    return {(arm, i): _clinic_head(start, sets[arm], lr) for arm in _ARMS for i, lr in enumerate(_RATES)}


def _observe_clinic(function, inputs):
    seed, source_x, source_y, x, y, val_x, val_y, test_x, test_y = inputs
    model = _clinic_model(seed)
    answer = function(model, (source_x, source_y), (x, y), (val_x, val_y), (test_x, test_y), list(_RATES), _STEPS)
    if type(answer) is not tuple or len(answer) != 3:
        return {"kind": "other"}
    gap, *arms = answer
    if any(type(arm) is not tuple or len(arm) != 2 or not isinstance(arm[1], nn.Module) for arm in arms):
        return {"kind": "other"}
    return {
        "kind": "tuple",
        "gap": gap,
        "rates": [lr for lr, _ in arms],
        "states": [project(network)["state"] for _, network in arms],
        "given": project(model)["state"],
    }


def _verify_clinic(case, seen):
    seed, source_x, source_y, x, y, val_x, val_y, test_x, test_y = case.inputs
    if seen["kind"] != "tuple":
        return "Return three things: the gap, and for each arm a pair (learning rate, network), that with the source first."
    model = _clinic_model(seed)
    start = project(model)["state"]
    if not same_tensors(seen["given"], start):
        return "The network that you were given was changed. Every trial trains a copy.deepcopy of it."
    target, source = (_clinic_features(model, x), y), (_clinic_features(model, source_x), source_y)
    heads = _clinic_heads(model, target, source)
    val, test = _clinic_features(model, val_x), _clinic_features(model, test_x)
    risks = {}
    for arm, lr, state in zip(_ARMS, seen["rates"], seen["states"], strict=True):
        name = f"The arm {arm} the source"
        body = [key for key in start if not key.startswith("fc.")]
        if state.keys() != start.keys() or not same_tensors({k: state[k] for k in body}, {k: start[k] for k in body}):
            return f"{name}: its body changed. Only the head trains, in evaluation mode."
        if misfit("lr", lr, ()) or float(as_array(lr)) not in _RATES:
            return f"{name}: the learning rate is to be one of {list(_RATES)}."
        chosen = _RATES.index(float(as_array(lr)))
        got = {key: state[f"fc.{key}"] for key in ("weight", "bias")}
        if problem := _explain_head(got, arm, chosen, heads, model, target, source, (val, val_y)):
            return f"{name}: {problem}"
        on_val = [(_predict(heads[arm, i], val) != val_y).double().mean().item() for i in range(len(_RATES))]
        on_test = [(_predict(heads[arm, i], test) != test_y).double().mean().item() for i in range(len(_RATES))]
        if on_val[chosen] > min(on_val) + 1.5 / len(val_y):  # an image may lie on a border
            if on_test[chosen] == min(on_test):
                return f"{name}: this is the best rate on the test images. Choose on validation, in both arms."
            return f"{name}: another rate has a lower risk on validation. Both arms are tuned, and in the same way."
        risks[arm] = {"test": on_test[chosen], "val": on_val[chosen]}
    gap = risks["with"]["test"] - risks["without"]["test"]
    tolerance = 2.5 / len(test_y)
    if differs("gap", seen["gap"], gap, tolerance):
        for other, message in (
            (-gap, "The sign of the gap is wrong: risk with the source minus risk without it."),
            (
                risks["with"]["val"] - risks["without"]["val"],
                "This gap is on the validation images. The choice used them up, so report it on the test images.",
            ),
        ):
            if not differs("", seen["gap"], other, 1e-6):
                return message
        return "The gap is not that of the two returned networks: share of wrong test images with the source minus without."
    return None


def _explain_head(got, arm, chosen, heads, model, target, source, val):
    """What is wrong with the head of an arm, or None."""

    def agrees(head):
        return not any(differs(key, got[key], head[key], 1e-3) for key in head)

    if agrees(heads[arm, chosen]):
        return None
    start, lr = model.fc.state_dict(), _RATES[chosen]
    own = [target, source] if arm == "with" else [target]
    for factor in (2, 3):
        if agrees(_clinic_head(start, own, lr, factor * _STEPS)):
            return f"it takes {factor * _STEPS} steps. Both arms take {_STEPS}."
    if agrees(heads["without" if arm == "with" else "with", chosen]):
        return "it trained on the source." if arm == "without" else "it never saw the source."
    if agrees(_clinic_head(start, [_joined(target, val), *own[1:]], lr)):
        return "it learned from the validation images as well. Both arms get the same labelled images."
    if arm == "with":
        if agrees(_clinic_head(start, [source], lr)):
            return "it trained on the source alone. It gets the target's images as well."
        if agrees(_clinic_head(start, [_joined(target, source)], lr)):
            return "its loss is one mean over all images. It is the sum of two means, one for each set."
    elif any(agrees(_clinic_head(heads["with", i], own, lr)) for i in range(len(_RATES))):
        return "it starts from the network that the source has trained. Both arms start from the one you were given."
    return (
        f"its head is not what {_STEPS} steps at lr {lr} make of the head you were given. Both arms start from that head, "
        "and every trial does."
    )


def _joined(*sets):
    return tuple(torch.cat(parts) for parts in zip(*sets, strict=True))


EXERCISES = [
    Exercise(
        "04.1",
        "The gap, with two intervals",
        5,
        "gap_with_intervals",
        5,
        _gap_cases,
        _verify_gap,
        parts={_RUNS: 3, _IMAGES: 2},
    ),
    Exercise("04.2", "Importance weights", 5, "importance_weights", 5, _weights_cases, _verify_weights),
    Exercise(
        "04.3",
        "Diagnosis",
        6,
        "diagnose",
        20,
        _diagnosis_cases,
        _verify_diagnosis,
        parts={"features": 1, "labels": 2, "inputs": 1, "algorithm": 2},
    ),
    Exercise("04.4", "The gate", 4, "gate", 2, _gate_cases, _verify_gate),
    Exercise(
        "04.5",
        "Partial classes",
        5,
        "partial_losses",
        2,
        _partial_cases,
        _verify_partial,
        _observe_partial,
        parts={_CLASS_LOSS: 3, _ALIGNMENT: 2},
    ),
    Exercise("04.6", "Bug clinic", 6, "measure_gap", 10, _clinic_cases, _verify_clinic, _observe_clinic),
]
