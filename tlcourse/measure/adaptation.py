"""The worlds of lesson 06, and every method of adaptation measured in one of them: a task, a target, a seed."""

import copy
import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from scipy.stats import ttest_rel
from torch import nn

from tlcourse import adapt, data, models, training

STEPS, LR, BATCH = 300, 3e-3, 64  # of every training from random weights
MORE_STEPS, MORE_LR = 150, 1e-3  # of methods that begin from the model trained on the source alone

TARGETS = ("closed", "skewed", "partial")
SKEW = tuple(range(10, 0, -1))  # 0 occurs ten times as often as 9
PRESENT = tuple(range(5))  # the classes of the partial target


def _printed(n, seed, coarse=0.6):
    return data.glyphs(n, "digits", seed=seed, coarse=coarse)


def _plain(seed):
    source, held_out = (_printed(n, start + seed, coarse=0.0) for n, start in ((6000, 200_000), (500, 230_000)))
    return source, held_out, data.digits("train"), data.digits("test")


def _randomised(seed):
    drawn = (_printed(n, start + seed) for n, start in ((6000, 200_000), (500, 230_000)))
    source, held_out = (adapt.vary_strokes(images, seed=seed) for images in drawn)
    return source, held_out, data.digits("train"), data.digits("test")


def _photographed(seed):
    everyone, background = data.digits("train"), data.Shift(background=0.3, seed=seed)
    source, others = everyone[torch.arange(450)], everyone[torch.arange(450, 900)]
    return source, data.digits("val"), background(others), background(data.digits("test"))


def _noisy(seed):
    source, held_out = (_printed(n, start + seed) for n, start in ((6000, 200_000), (500, 230_000)))
    noise = data.Shift(noise=0.4, seed=seed)
    return source, held_out, noise(_printed(900, 210_000 + seed)), noise(_printed(900, 220_000 + seed))


TASKS = {
    "printed → handwritten": _plain,
    "randomised → handwritten": _randomised,
    "handwritten → on photographs": _photographed,
    "clean → noisy": _noisy,
}


def adaptation_sets(task, target, seed):
    """Draw a task -> (source, held-out source, unlabelled target, test), four Images of 16×16.

    Args:
        task: a key of TASKS.
        target: "closed" (the source's classes in equal shares), "skewed" (0 ten times as frequent as 9) or "partial"
            (0 to 4 only). The test images have the target's shares.
        seed: draws the images.

    Raises:
        ValueError: no such task or target.
    """
    if task not in TASKS or target not in TARGETS:
        raise ValueError(f"task={task!r}, target={target!r}: choose from {', '.join(TASKS)}; and {', '.join(TARGETS)}")
    source, held_out, *both = (data.halve(images) for images in TASKS[task](seed))
    if target == "partial":
        both = [images[torch.isin(images.y, torch.tensor(PRESENT))] for images in both]
    elif target == "skewed":
        both = [_skewed(images, seed + i) for i, images in enumerate(both)]
    return source, held_out, *both


def _skewed(images, seed):
    counts = torch.bincount(images.y, minlength=10)
    n = int((counts * sum(SKEW) / torch.tensor(SKEW)).min())
    return data.skew(images, SKEW, n, seed=seed)


def train_source(source, seed):
    """A tiny_resnet trained on the source alone, and nothing of the target: the floor, and where warm starts begin."""
    model = models.tiny_resnet(10, seed=seed)
    epochs = max(1, round(STEPS / math.ceil(len(source) / BATCH)))  # whole epochs, so about 300 steps
    training.fit(model, source, epochs=epochs, lr=LR, batch_size=BATCH, seed=seed)
    return model


def measure_adaptations(task, target, seed, only=None):
    """Every method on one draw of a task.

    The budget of the methods that begin from random weights is 300 steps; the others begin from the source's model, and
    take 150 more. The settings are the same for all tasks and targets. Two were chosen with a look at target labels: the
    weight of CORAL, in lesson 04, and that DANN passes the domains apart. The others were set once and not tuned.

    Args:
        task, target, seed: as adaptation_sets takes them.
        only: names of methods, as METHODS has them; by default all.

    Returns:
        dict from the method to a dict: "accuracy" on the test images, in [0, 1]; and the validators of
        adapt.validate_unlabelled, by name.

    Raises:
        ValueError: no such task or target.
    """
    source, held_out, unlabelled, test = adaptation_sets(task, target, seed)
    plain = train_source(source, seed)
    found = {}
    for name in METHODS if only is None else only:
        model = METHODS[name](_Draw(source, unlabelled, plain, seed))
        found[name] = {"accuracy": training.evaluate(model, test)} | adapt.validate_unlabelled(
            model, held_out, unlabelled
        )
    return found


def gains_over_source(table, task, target):
    """What each method adds to the accuracy of the source alone, in the same seeds.

    Args:
        table: as teach.load_results("adaptation") returns.
        task, target: a task and a target that the table has.

    Returns:
        dict from the method to (mean, low, high) in [−1, 1]: the 95% interval of the mean by Student's paired t.

    Raises:
        ValueError: the table has no such task or target.
    """
    accuracy = accuracies_of(table, task, target)
    floor = accuracy.pop("source alone")
    gains = {}
    for method, values in accuracy.items():
        low, high = ttest_rel(values, floor).confidence_interval()
        gains[method] = (sum(values) / len(values) - sum(floor) / len(floor), float(low), float(high))
    return gains


def accuracies_of(table, task, target):
    """The accuracies of one task and target -> dict from the method to a list with one number a seed; see gains_over_source."""
    found = {r["method"]: r["accuracy"] for r in table["rows"] if (r["task"], r["target"]) == (task, target)}
    if not found:
        raise ValueError(
            f"task={task!r}, target={target!r}: the table has {', '.join(TASKS)}; and {', '.join(TARGETS)}"
        )
    return found


@dataclass(frozen=True)
class _Draw:
    """What a method starts from: the images, and the model that was trained on the source alone."""

    source: data.Images
    unlabelled: data.Images
    plain: nn.Module
    seed: int


def _train(draw, model, source, method, weight=1.0, source_weights=None, apart=False, *, steps, lr):
    adapt.train_adapted(
        model,
        source,
        draw.unlabelled,
        method=method,
        weight=weight,
        source_weights=source_weights,
        apart=apart,
        steps=steps,
        lr=lr,
        schedule="one-cycle",
        batch_size=BATCH,
        seed=draw.seed,
    )
    return model


def _joint(draw, method=None, weight=1.0, source=None, source_weights=None, apart=False):
    """Train from random weights on both domains."""
    model = models.tiny_resnet(10, seed=draw.seed)
    source = draw.source if source is None else source
    return _train(draw, model, source, method, weight, source_weights, apart, steps=STEPS, lr=LR)


def _further(draw, method, weight=1.0, source=None, prepare=lambda model: model):
    """Begin from the source's model; without a source, adapt by the target alone."""
    model = prepare(copy.deepcopy(draw.plain))
    return _train(draw, model, source, method, weight, steps=MORE_STEPS, lr=MORE_LR)


def _importance(draw):
    features = (training.extract_features(draw.plain, images) for images in (draw.source, draw.unlabelled))
    return _joint(draw, source_weights=adapt.importance_weights(*features))


def _weighed_classes(draw):
    weights = adapt.class_weights(draw.plain, draw.unlabelled)[draw.source.y]
    return _joint(draw, adapt.deep_coral, 100.0, source_weights=weights)


def _few_labels(draw):
    """Three labelled target images of each class that the target has, beside the source."""
    y = draw.unlabelled.y
    few = draw.unlabelled[torch.cat([(y == label).nonzero().squeeze(1)[:3] for label in y.unique()])]

    def supervised(batch):
        device = batch.target_logits.device
        return F.cross_entropy(batch.model(few.x.to(device)), few.y.to(device))

    return _further(draw, supervised, source=draw.source)


def _frozen_head(model):
    model.fc.requires_grad_(False)
    return model


METHODS = {
    "source alone": lambda draw: draw.plain,
    "both in BatchNorm": _joint,
    "AdaBN": lambda draw: adapt.adapt_batchnorm(draw.plain, draw.unlabelled),
    "TENT": lambda draw: _further(draw, adapt.entropy_minimisation, prepare=adapt.only_batchnorm),
    "style of the target": lambda draw: _joint(
        draw, source=adapt.match_style(draw.source, draw.unlabelled, seed=draw.seed)
    ),
    "importance weights": _importance,
    "Deep CORAL": lambda draw: _joint(draw, adapt.deep_coral, 100.0),
    "DAN": lambda draw: _joint(draw, adapt.dan),
    "DANN": lambda draw: _joint(draw, adapt.DANN(128, seed=draw.seed), 0.3, apart=True),
    "naive self-training": lambda draw: _further(draw, adapt.naive_self_training),
    "balanced self-training": lambda draw: _further(
        draw, adapt.balanced_self_training(draw.unlabelled), source=draw.source
    ),
    "information maximisation": lambda draw: _further(draw, adapt.information_maximisation, 0.3, source=draw.source),
    "SHOT": lambda draw: _further(draw, adapt.shot(draw.unlabelled), prepare=_frozen_head),
    "CORAL with class weights": _weighed_classes,
    "3 target labels a class": _few_labels,
    "target labels": lambda draw: train_source(draw.unlabelled, draw.seed),
}
