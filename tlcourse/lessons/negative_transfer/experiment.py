"""The four causes of negative transfer, each as one paired run, and what every remedy makes of it.

`python -m tlcourse.lessons.negative_transfer.experiment` makes results.json: the harm of each cause, in half of the seeds
also under every remedy, and in a quarter of them the gap over sources × wrong labels × target labels.
"""

import copy
import itertools
import math
from functools import partial

import torch

from tlcourse import adapt, data, measure, models, training
from tlcourse.authoring.table import as_columns, measure_cells, read_options, write_table

CAUSES = ("unrelated features", "conflicting labels", "shifted inputs", "alignment on a partial target")
_SHIFTS = {  # of what a joint source shows under the ten labels of the digits
    "printed digits": data.Shift(),
    "digits turned by 45°": data.Shift(rotation=0.5),
    "digits turned by 90°": data.Shift(rotation=1),
    "inverted digits": data.Shift(polarity=1),
    "letters A to K": data.Shift(),
}
SOURCES, WRONG, LABELS = tuple(_SHIFTS), (0.0, 0.25, 0.5, 0.75, 1.0), (1, 2, 5, 10, 20)  # of the surface
SHUFFLED = ("shuffled", "shuffled-seed1", "shuffled-seed2")  # the seeds take these in turn
BODY = ("conv1", "bn1", "layer1", "layer2", "layer3")
PARTIAL = range(5)  # the classes that the partial target has
STEPS, LR, BATCH = 100, 3e-3, 20  # of joint training and of fine-tuning, with the source and without
_L2_SP = partial(training.l2_sp, strength=0.1)


def joint_source(name, wrong=0.0, seed=0):
    """Draw 4,000 rendered images, 16×16, as a source for joint training with the digits, a share of them mislabelled.

    The letters stand under the digits' labels: A is 0, B is 1 and so on, without I.
    """
    if name not in _SHIFTS:
        raise ValueError(f"name={name!r}: choose from {', '.join(SOURCES)}")
    characters = "ABCDEFGHJK" if name == "letters A to K" else "digits"
    images = data.halve(_SHIFTS[name](data.glyphs(4_000, characters, seed=90_000 + seed)))
    return data.mislabel(images, wrong, seed=seed)


def train_jointly(few, source=None, *, seed, weight=1.0, image_weights=None, start=None, penalty=None):
    """Train a tiny_resnet on few target images and, in every step, on a batch of the source; return it in eval mode.

    The 100 steps, the rate, and the target's batches are the same with the source and without, so the source is all that
    differs. weight and image_weights are those of training.joint_loss. A network given as start is left alone. penalty,
    for training without a source, makes a penalty of the network, such as training.bss.
    """
    network = models.tiny_resnet(10, seed=seed) if start is None else copy.deepcopy(start)
    extra = penalty and penalty(network)
    if source is not None:
        extra = training.joint_loss(source, weight=weight, image_weights=image_weights, batch_size=BATCH, seed=seed)
    epochs = math.ceil(STEPS / math.ceil(len(few) / BATCH))
    training.fit(network, few, epochs=epochs, lr=LR, batch_size=BATCH, seed=seed, penalty=extra)
    return network


def read_jointly(source, *, wrong=0.0, per_class, seed):
    """Train on per_class target digits of each class and a joint source (None: the digits alone) -> test accuracy, in [0, 1]."""
    few = data.halve(data.few_shot(data.digits("train"), per_class, seed=seed))
    images = None if source is None else joint_source(source, wrong, seed)
    return training.evaluate(train_jointly(few, images, seed=seed), data.halve(data.digits("test")))


def measure_remedies(cause, seed, only=None):
    """The negative-transfer gap of one paired run, with nothing done about it and under each remedy.

    The gap is the accuracy without the source less the accuracy with it, in points; above zero the source did harm. Both
    sides get the remedy wherever it means something without a source. Returns a dict from each remedy, or each of only,
    that there is something to apply to.
    """
    if cause not in CAUSES:
        raise ValueError(f"cause={cause!r}: choose from {', '.join(CAUSES)}")
    found = {
        "unrelated features": _features,
        "conflicting labels": partial(_joint, "printed digits", 1.0),
        "shifted inputs": partial(_joint, "digits turned by 90°", 0.0),
        "alignment on a partial target": _alignment,
    }[cause](seed)
    return {name: treat() for name, treat in found.items() if only is None or name in only}


def measure_alignment(seed):
    """Gaps of CORAL and of MMD to the source alone, with all ten digits and with 0 to 4 -> dict from "CORAL, all ten" on."""
    methods = {
        "CORAL": (adapt.deep_coral, adapt.CORAL_WEIGHT),
        "MMD": (lambda batch: adapt.mmd_loss(batch.source_features, batch.target_features), 1.0),
    }
    gaps = {}
    for title, classes in (("all ten", range(10)), ("only 0 to 4", PARTIAL)):
        source, target, _, test = alignment_data(seed, classes)
        without = align(source, target, seed=seed)
        for name, (method, weight) in methods.items():
            aligned = align(source, target, method, seed=seed, weight=weight)
            gaps[f"{name}, {title}"] = _gap(test, aligned, without)
    return gaps


def _gap(test, network, without):
    return 100 * (training.evaluate(without, test) - training.evaluate(network, test))


def _best(val, *networks):
    return max(networks, key=lambda network: training.evaluate(network, val))  # the first of equals


def _features(seed):
    """Remedies for a frozen network of unrelated features; without it, the weights are random."""
    few = data.few_shot(data.digits("train"), 5, seed=seed)
    unlabelled, val, test = (data.digits(split) for split in ("train", "val", "test"))
    source, none = models.load(SHUFFLED[seed % 3]), models.tiny_resnet(10, seed=500 + seed).eval()

    def read(network, images, layer=None):
        head = training.fit_head(training.extract_features(network, few, layer), few.y)
        return head.score(training.extract_features(network, images, layer), images.y)

    def frozen(network=source, other=none, layer=None):
        return 100 * (read(other, test, layer) - read(network, test, layer))

    def choose():
        candidates = (source, models.load("fashion"), models.load("letters"))
        return max(candidates, key=lambda network: measure.logme(training.extract_features(network, few), few.y))

    def tuned(penalty=None):
        starts = (fresh_copy(network, BODY, seed) for network in (source, none))
        return _gap(test, *(train_jointly(few, seed=seed, start=start, penalty=penalty) for start in starts))

    return {
        "nothing": frozen,
        "validate against none": lambda: frozen(max((none, source), key=lambda network: read(network, val))),
        "choose among three sources": lambda: frozen(choose()),
        "transfer the first layers only": lambda: frozen(layer="layer1"),
        "fine-tune all, held by L2-SP": lambda: tuned(_L2_SP),
        "fine-tune all, free": tuned,
        "fine-tune all, BSS": lambda: tuned(training.bss),
        "AdaBN": lambda: frozen(*(adapt.adapt_batchnorm(network, unlabelled) for network in (source, none))),
    }


def _joint(name, wrong, seed):
    """Remedies for a source that the network trains on together with the target."""
    few = data.halve(data.few_shot(data.digits("train"), 2, seed=seed))
    unlabelled, val, test = (data.halve(data.digits(split)) for split in ("train", "val", "test"))
    source, without = joint_source(name, wrong, seed), train_jointly(few, seed=seed)
    gap, best = partial(_gap, test), partial(_best, val)
    pixels = [images.x[:, 0].flatten(1) for images in (source, unlabelled)]
    others = ("letters A to K", "printed digits")

    def joint(images=source, **options):
        return train_jointly(few, images, seed=seed, **options)

    def sequential(parts=BODY, penalty=None):
        """Train on the source alone, keep some parts, and fine-tune on the target."""
        network = models.tiny_resnet(10, seed=seed)
        training.fit(network, source, epochs=1, lr=LR, batch_size=len(source) // STEPS, seed=seed)
        return joint(None, start=fresh_copy(network, parts, seed + 1), penalty=penalty)

    return {
        "nothing": lambda: gap(joint(), without),
        "validate against none": lambda: gap(best(without, joint()), without),
        "choose among three sources": lambda: gap(
            best(without, joint(), *(joint(joint_source(other, seed=seed)) for other in others)), without
        ),
        "weigh images by a domain classifier": lambda: gap(
            joint(image_weights=adapt.importance_weights(*pixels)), without
        ),
        "weigh the source by 0.1": lambda: gap(joint(weight=0.1), without),
        "tune the source's weight on validation": lambda: gap(best(without, joint(weight=0.1), joint()), without),
        "transfer the first layers only": lambda: gap(sequential(BODY[:3]), without),
        "fine-tune all, held by L2-SP": lambda: gap(sequential(penalty=_L2_SP), joint(None, penalty=_L2_SP)),
        "fine-tune all, free": lambda: gap(sequential(), without),
        "fine-tune all, BSS": lambda: gap(sequential(penalty=training.bss), joint(None, penalty=training.bss)),
        "AdaBN": lambda: gap(*(adapt.adapt_batchnorm(network, unlabelled) for network in (joint(), without))),
        "class weights": lambda: gap(joint(image_weights=adapt.class_weights(without, unlabelled)[source.y]), without),
    }


def _alignment(seed):
    """Remedies for CORAL where the target lacks half of the classes."""
    source, target, val, test = alignment_data(seed)
    without = align(source, target, seed=seed)
    gap, best = partial(_gap, test), partial(_best, val)

    def aligned(images=source, share=1.0):
        return align(images, target, adapt.deep_coral, seed=seed, weight=share * adapt.CORAL_WEIGHT)

    def weighed_images():
        weights = adapt.importance_weights(*(training.extract_features(without, images) for images in (source, target)))
        generator = torch.Generator().manual_seed(seed)
        return source[torch.multinomial(weights, len(source), replacement=True, generator=generator)]

    return {
        "nothing": lambda: gap(aligned(), without),
        "validate against none": lambda: gap(best(without, aligned()), without),
        "weigh images by a domain classifier": lambda: gap(aligned(weighed_images()), without),
        "weigh the source by 0.1": lambda: gap(aligned(share=0.1), without),
        "tune the source's weight on validation": lambda: gap(best(without, aligned(share=0.1), aligned()), without),
        "AdaBN": lambda: gap(*(adapt.adapt_batchnorm(network, target) for network in (aligned(), without))),
        "class weights": lambda: gap(
            aligned(weighed_classes(source, adapt.class_weights(without, target), seed)), without
        ),
    }


def alignment_data(seed, classes=PARTIAL):
    """Rendered digits, and real ones of some classes only: unlabelled, validation and test -> four Images of 16×16."""
    real = (data.halve(data.digits(split)) for split in ("train", "val", "test"))
    some = [images[torch.isin(images.y, torch.tensor(list(classes)))] for images in real]
    return joint_source("printed digits", seed=seed), *some


def align(source, target, method=None, *, seed, weight=adapt.CORAL_WEIGHT):
    """Train a tiny_resnet on the source, its features drawn to the target's by a method, or by none; return it."""
    network = models.tiny_resnet(10, seed=seed)
    adapt.train_adapted(network, source, target, method=method, weight=weight, steps=150, lr=LR, seed=seed)
    return network


def weighed_classes(source, weights, seed):
    """As many images of the source as its classes allow when they are to occur in proportion to the weights."""
    return data.skew(source, weights, seed=seed)


def fresh_copy(network, parts, seed):
    """A network of random weights that takes the named parts of another."""
    fresh = models.tiny_resnet(10, seed=seed)
    for part in parts:
        fresh.get_submodule(part).load_state_dict(network.get_submodule(part).state_dict())
    return fresh


def main():
    options = read_options(__spec__.name, __doc__, seeds=20)
    seeds, jobs = options.seeds, options.jobs
    half, quarter = (seeds[: math.ceil(len(seeds) / parts)] for parts in (2, 4))
    cells = [{"cause": cause} for cause in CAUSES]
    harmed = measure_cells(measure_remedies, [cell | {"only": ["nothing"]} for cell in cells], seeds, jobs)
    remedied = measure_cells(measure_remedies, cells, half, jobs)
    (aligned,) = measure_cells(measure_alignment, [{}], half, jobs)
    harm = {cause: as_columns(runs, 2)["nothing"] for cause, runs in zip(CAUSES, harmed)}
    remedies = {cause: as_columns(runs, 2) for cause, runs in zip(CAUSES, remedied)}
    every = list(remedies["conflicting labels"])  # there is none that does not apply to it
    remedies = {cause: {name: gaps.get(name) for name in every} for cause, gaps in remedies.items()}

    points = [(None, 0.0, labels) for labels in LABELS] + list(itertools.product(SOURCES, WRONG, LABELS))
    cells = [{"source": source, "wrong": wrong, "per_class": labels} for source, wrong, labels in points]
    read = []
    for (source, wrong, labels), runs in zip(points, measure_cells(read_jointly, cells, quarter, jobs)):
        accuracies = [round(accuracy, 4) for accuracy in runs]
        read.append({"source": source, "wrong": wrong, "labels": labels, "with": accuracies})
    without = {str(cell["labels"]): cell["with"] for cell in read if cell["source"] is None}
    surface = [cell for cell in read if cell["source"] is not None]
    table = {"seeds": seeds, "remedy_seeds": half, "surface_seeds": quarter, "harm": harm, "remedies": remedies}
    write_table(options, table | {"alignment": as_columns(aligned, 2), "without": without, "surface": surface})


if __name__ == "__main__":
    main()
