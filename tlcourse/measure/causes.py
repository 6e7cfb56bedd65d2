"""The four causes of negative transfer of lesson 04, each as one paired run, and what every remedy makes of it."""

import copy
import math
from functools import partial

import torch

from tlcourse import data, models, training
from tlcourse.adapt import (
    adapt_batchnorm,
    class_weights,
    deep_coral,
    importance_weights,
    mmd_loss,
    train_adapted,
)
from tlcourse.measure.transferability import logme

CAUSES = ("unrelated features", "conflicting labels", "shifted inputs", "alignment on a partial target")
REMEDIES = (
    "nothing",
    "validate against none",
    "choose among three sources",
    "weigh images by a domain classifier",
    "weigh the source by 0.1",
    "tune the source's weight on validation",
    "transfer the first layers only",
    "fine-tune all, held by L2-SP",
    "fine-tune all, free",
    "fine-tune all, BSS",
    "AdaBN",
    "class weights",
)

SHUFFLED = ("shuffled", "shuffled-seed1", "shuffled-seed2")  # the seeds take these in turn
STEPS, LR, BATCH = 100, 3e-3, 20  # of joint training and of fine-tuning, with the source and without
ADAPT_STEPS, ADAPT_BATCH = 150, 64
ALIGNMENT = 100.0  # weight of the CORAL loss; a weight of 30 helps a whole target as much and harms a partial one less
PARTIAL = range(5)  # the classes that the partial target has

# What a joint source shows under the ten labels of the digits.
_SHIFTS = {
    "printed digits": data.Shift(),
    "digits turned by 45°": data.Shift(rotation=0.5),
    "digits turned by 90°": data.Shift(rotation=1),
    "inverted digits": data.Shift(polarity=1),
    "letters A to K": data.Shift(),
}
SOURCES = tuple(_SHIFTS)


def joint_source(name, wrong=0.0, seed=0):
    """Draw 4,000 rendered images, 16×16, as a source for joint training with the digits.

    Args:
        name: one of SOURCES. The letters stand under the digits' labels: A is 0, B is 1 and so on, without I.
        wrong: the share of wrong labels, in [0, 1].
        seed: draws the images and the labels.

    Raises:
        ValueError: no such name, a share out of range.
    """
    if name not in _SHIFTS:
        raise ValueError(f"name={name!r}: choose from {', '.join(SOURCES)}")
    characters = "ABCDEFGHJK" if name == "letters A to K" else "digits"
    images = data.halve(_SHIFTS[name](data.glyphs(4_000, characters, seed=90_000 + seed)))
    return data.mislabel(images, wrong, seed=seed)


def train_jointly(few, source=None, *, seed, weight=1.0, image_weights=None, start=None, penalty=None):
    """Train a tiny_resnet on a few target images and, in every step, on a batch of the source.

    The 100 steps, the rate, and the target's batches are the same with the source and without, so the source is all that differs.

    Args:
        few: Images of the target.
        source: Images under the same labels; None trains on the target alone.
        seed: draws the first weights and the batches.
        weight, image_weights: see training.joint_loss.
        start: network to begin from, which is left alone; by default random weights.
        penalty: function of the network that makes a penalty, as functools.partial(training.l2_sp, strength=0.1).

    Returns:
        the network, in eval mode.
    """
    network = models.tiny_resnet(10, seed=seed) if start is None else copy.deepcopy(start)
    if source is not None:
        extra = training.joint_loss(source, weight=weight, image_weights=image_weights, batch_size=BATCH, seed=seed)
    else:
        extra = penalty(network) if penalty is not None else None
    epochs = math.ceil(STEPS / math.ceil(len(few) / BATCH))
    training.fit(network, few, epochs=epochs, lr=LR, batch_size=BATCH, seed=seed, penalty=extra)
    return network


def read_jointly(source, *, wrong=0.0, per_class, seed):
    """Train on few target digits and a joint source, and read the test digits.

    Args:
        source: one of SOURCES, or None: the same training on the target alone.
        wrong: the share of the source's labels that are wrong, in [0, 1].
        per_class: labelled target digits of each class.
        seed: draws the digits, the source, the first weights, and the batches.

    Returns:
        accuracy, in [0, 1].
    """
    few = data.halve(data.few_shot(data.digits("train"), per_class, seed=seed))
    images = None if source is None else joint_source(source, wrong, seed)
    return training.evaluate(train_jointly(few, images, seed=seed), data.halve(data.digits("test")))


def measure_remedies(cause, seed, only=None):
    """The negative-transfer gap of one paired run, with nothing done about it and under each remedy.

    The gap is the accuracy without the source less the accuracy with it, in points; above zero the source did harm. Both
    sides get the remedy wherever it means something without a source.

    Args:
        cause: one of CAUSES.
        seed: draws everything that is random.
        only: names in REMEDIES to measure; by default all.

    Returns:
        dict from the remedy to the gap in points, or None where there is nothing to apply it to.

    Raises:
        ValueError: no such cause.
    """
    if cause not in CAUSES:
        raise ValueError(f"cause={cause!r}: choose from {', '.join(CAUSES)}")
    if cause == "unrelated features":
        found = _features(seed)
    elif cause == "alignment on a partial target":
        found = _alignment(seed)
    else:
        found = _joint(
            *(("printed digits", 1.0) if cause == "conflicting labels" else ("digits turned by 90°", 0.0)), seed
        )
    wanted = REMEDIES if only is None else only
    return {remedy: found[remedy]() if remedy in found else None for remedy in wanted}


def measure_alignment(seed):
    """Gaps of CORAL and of MMD to the source alone, one run on all ten digits and one on 0 to 4.

    Returns:
        dict from "CORAL, all ten" and so on to the gap in points.
    """
    gaps = {}
    for title, classes in (("all ten", range(10)), ("only 0 to 4", PARTIAL)):
        source, target, _, test = alignment_data(seed, classes)
        plain = training.evaluate(align(source, target, seed=seed), test)
        for name, method, weight in (("CORAL", deep_coral, ALIGNMENT), ("MMD", _mmd_of_features, 1.0)):
            aligned = align(source, target, method, seed=seed, weight=weight)
            gaps[f"{name}, {title}"] = 100 * (plain - training.evaluate(aligned, test))
    return gaps


def _mmd_of_features(batch):
    return mmd_loss(batch.source_features, batch.target_features)


def _features(seed):
    few = data.few_shot(data.digits("train"), 5, seed=seed)
    unlabelled, val, test = (data.digits(split) for split in ("train", "val", "test"))
    source, none = models.load(SHUFFLED[seed % 3]), models.tiny_resnet(10, seed=500 + seed).eval()

    def frozen(network, layer=None):
        """Accuracy of a linear head on frozen features -> (validation, test)."""
        head = training.fit_head(training.extract_features(network, few, layer), few.y)
        return tuple(head.score(training.extract_features(network, images, layer), images.y) for images in (val, test))

    def tuned(start, make_penalty=None):
        network = fresh_copy(start, ("conv1", "bn1", "layer1", "layer2", "layer3"), seed)
        return training.evaluate(train_jointly(few, seed=seed, start=network, penalty=make_penalty), test)

    def validate():
        (val_with, test_with), (val_without, test_without) = frozen(source), frozen(none)
        return 100 * (test_without - (test_with if val_with > val_without else test_without))

    def choose():
        names = (SHUFFLED[seed % 3], "fashion", "letters")
        best = max(names, key=lambda name: logme(training.extract_features(models.load(name), few), few.y))
        return 100 * (frozen(none)[1] - frozen(models.load(best))[1])

    def tuned_gap(make_penalty=None):
        return 100 * (tuned(none, make_penalty) - tuned(source, make_penalty))

    return {
        "nothing": lambda: 100 * (frozen(none)[1] - frozen(source)[1]),
        "validate against none": validate,
        "choose among three sources": choose,
        "transfer the first layers only": lambda: 100 * (frozen(none, "layer1")[1] - frozen(source, "layer1")[1]),
        "fine-tune all, held by L2-SP": lambda: tuned_gap(partial(training.l2_sp, strength=0.1)),
        "fine-tune all, free": tuned_gap,
        "fine-tune all, BSS": lambda: tuned_gap(training.bss),
        "AdaBN": lambda: (
            100 * (frozen(adapt_batchnorm(none, unlabelled))[1] - frozen(adapt_batchnorm(source, unlabelled))[1])
        ),
    }


def _joint(name, wrong, seed):
    few = data.halve(data.few_shot(data.digits("train"), 2, seed=seed))
    unlabelled, val, test = (data.halve(data.digits(split)) for split in ("train", "val", "test"))
    source = joint_source(name, wrong, seed)
    without = train_jointly(few, seed=seed)

    def gap(network, baseline=without):
        return 100 * (training.evaluate(baseline, test) - training.evaluate(network, test))

    def best(networks):
        return gap(
            max([without, *networks], key=lambda network: training.evaluate(network, val))
        )  # the first of equals

    def joint(images=source, **options):
        return train_jointly(few, images, seed=seed, **options)

    def sequential(parts, make_penalty=None):
        """Train on the source alone, keep some parts, and fine-tune on the target."""
        network = models.tiny_resnet(10, seed=seed)
        training.fit(network, source, epochs=1, lr=LR, batch_size=len(source) // STEPS, seed=seed)
        return joint(None, start=fresh_copy(network, parts, seed + 1), penalty=make_penalty)

    body = ("conv1", "bn1", "layer1", "layer2", "layer3")
    return {
        "nothing": lambda: gap(joint()),
        "validate against none": lambda: best([joint()]),
        "choose among three sources": lambda: best(
            [joint(), joint(joint_source("letters A to K", 0, seed)), joint(joint_source("printed digits", 0, seed))]
        ),
        "weigh images by a domain classifier": lambda: gap(
            joint(image_weights=importance_weights(source.x[:, 0].flatten(1), unlabelled.x[:, 0].flatten(1)))
        ),
        "weigh the source by 0.1": lambda: gap(joint(weight=0.1)),
        "tune the source's weight on validation": lambda: best([joint(weight=0.1), joint()]),
        "transfer the first layers only": lambda: gap(sequential(body[:3])),
        "fine-tune all, held by L2-SP": lambda: gap(
            sequential(body, partial(training.l2_sp, strength=0.1)),
            joint(None, penalty=partial(training.l2_sp, strength=0.1)),
        ),
        "fine-tune all, free": lambda: gap(sequential(body)),
        "fine-tune all, BSS": lambda: gap(sequential(body, training.bss), joint(None, penalty=training.bss)),
        "AdaBN": lambda: gap(adapt_batchnorm(joint(), unlabelled), adapt_batchnorm(without, unlabelled)),
        "class weights": lambda: gap(joint(image_weights=class_weights(without, unlabelled)[source.y])),
    }


def _alignment(seed):
    source, target, val, test = alignment_data(seed)
    plain = align(source, target, seed=seed)

    def gap(network, baseline=plain):
        return 100 * (training.evaluate(baseline, test) - training.evaluate(network, test))

    def best(networks):
        return gap(max([plain, *networks], key=lambda network: training.evaluate(network, val)))  # the first of equals

    def aligned(images=source, **options):
        return align(images, target, deep_coral, seed=seed, **options)

    def weighed_images():
        weights = importance_weights(training.extract_features(plain, source), training.extract_features(plain, target))
        chosen = torch.multinomial(
            weights, len(source), replacement=True, generator=torch.Generator().manual_seed(seed)
        )
        return source[chosen]

    return {
        "nothing": lambda: gap(aligned()),
        "validate against none": lambda: best([aligned()]),
        "weigh images by a domain classifier": lambda: gap(aligned(weighed_images())),
        "weigh the source by 0.1": lambda: gap(aligned(weight=0.1 * ALIGNMENT)),
        "tune the source's weight on validation": lambda: best([aligned(weight=0.1 * ALIGNMENT), aligned()]),
        "AdaBN": lambda: gap(adapt_batchnorm(aligned(), target), adapt_batchnorm(plain, target)),
        "class weights": lambda: gap(aligned(weighed_classes(source, class_weights(plain, target), seed))),
    }


def alignment_data(seed, classes=PARTIAL):
    """Rendered digits, and real ones of some classes only: unlabelled, validation and test -> four Images of 16×16."""
    real = (data.halve(data.digits(split)) for split in ("train", "val", "test"))
    some = [images[torch.isin(images.y, torch.tensor(list(classes)))] for images in real]
    return joint_source("printed digits", seed=seed), *some


def align(source, target, method=None, *, seed, weight=ALIGNMENT):
    """Train a tiny_resnet on the source, its features drawn to the target's by a method, or by none; return it."""
    network = models.tiny_resnet(10, seed=seed)
    train_adapted(
        network,
        source,
        target,
        method=method,
        weight=weight,
        steps=ADAPT_STEPS,
        lr=LR,
        batch_size=ADAPT_BATCH,
        seed=seed,
    )
    return network


def weighed_classes(source, weights, seed):
    """As many images of the source as its classes allow when they are to occur in proportion to the weights."""
    n = int(torch.bincount(source.y).min() * weights.sum() / weights.max())
    return data.skew(source, weights, n, seed=seed)


def fresh_copy(network, parts, seed):
    """A network of random weights that takes the named parts of another."""
    fresh = models.tiny_resnet(10, seed=seed)
    for part in parts:
        fresh.get_submodule(part).load_state_dict(network.get_submodule(part).state_dict())
    return fresh
