"""The decision guide of lesson 07: from what you know about a task to a plan with reasons."""

from dataclasses import dataclass

# Name, millions of parameters (as torchvision and the model cards state them), and the least that fine-tunes all of it.
_VISION = (
    ("mobilenet_v3_small", 2.5, "laptop"),
    ("resnet18", 11.7, "laptop"),
    ("resnet50", 25.6, "gpu"),
    ("convnext_tiny", 28.6, "gpu"),
    ("vit_b_16", 86.6, "gpu"),
)
_TEXT = (
    ("all-MiniLM-L6-v2", 22.7, "laptop"),
    ("distilbert-base-uncased", 66, "gpu"),
    ("bert-base-uncased", 110, "gpu"),
)
_COMPUTE = ("laptop", "gpu", "cluster")


@dataclass(frozen=True)
class Advice:
    """One step of a plan.

    Attributes:
        what: what to do.
        why: the reason, in one sentence.
        lesson: number of the lesson that shows it.
    """

    what: str
    why: str
    lesson: str


def recommend(
    *,
    modality="vision",
    labels_per_class,
    probe_lead=None,
    shifted=False,
    keep_source=False,
    compute="laptop",
    latency_ms=None,
    commercial=False,
):
    """Plan a transfer: which source to begin with, what to train, how to judge it, what to beware of.

    Args:
        modality: "vision" or "text".
        labels_per_class: labelled training examples of each class, 0 or more.
        probe_lead: how close the source is, measured on your labels, in points: measure.probe_accuracy of the source's
            features less that of the features you have without it (random weights, pixels, or a bag of words), times 100.
            None if you have not measured it.
        shifted: the data you will meet differ from the data that you have labels for.
        keep_source: the network must still do the source's task afterwards.
        compute: "laptop", "gpu" (one) or "cluster".
        latency_ms: the longest time that one example may take on the machine that will run it; None if it does not matter.
        commercial: the result goes into a product.

    Returns:
        list of Advice, in the order in which to act.

    Raises:
        ValueError: an argument out of range.
    """
    if modality not in ("vision", "text"):
        raise ValueError(f"modality={modality!r}: choose 'vision' or 'text'")
    if compute not in _COMPUTE:
        raise ValueError(f"compute={compute!r}: choose from {', '.join(_COMPUTE)}")
    if labels_per_class < 0:
        raise ValueError(f"labels_per_class={labels_per_class}: want 0 or more")
    if probe_lead is not None and not -100 <= probe_lead <= 100:
        raise ValueError(f"probe_lead={probe_lead}: want percentage points from -100 to 100")
    if latency_ms is not None and not latency_ms > 0:
        raise ValueError(f"latency_ms={latency_ms}: want a time above 0")
    plan = [_source(modality, compute, latency_ms)]
    if commercial:
        plan.append(
            Advice(
                "Read the licence on the model card before you train, and that of the data behind the weights.",
                "Weights under a non-commercial licence (CC BY-NC, as MAE's) or made from data with research-only terms may "
                "not be yours to ship, however well they score.",
                "02",
            )
        )
    plan += _strategy(modality, labels_per_class, probe_lead, compute)
    if keep_source:
        plan.append(
            Advice(
                "Keep the old head and audit the source's accuracy; train only a head, or add rehearsal or EWC.",
                "Fine-tuning forgets: full fine-tuning lost about a quarter of the letters, a frozen body none.",
                "03",
            )
        )
    if shifted:
        plan.append(
            Advice(
                "Make a test set of what you will meet, adapt on its unlabelled images, and compare with not adapting.",
                "The order of strategies on clean data is not that on shifted data, and alignment can do harm when classes "
                "are missing.",
                "06",
            )
        )
    plan.append(_judge(labels_per_class))
    return plan


def _source(modality, compute, latency_ms):
    candidates = _VISION if modality == "vision" else _TEXT
    affordable = [c for c in candidates if _COMPUTE.index(c[2]) <= _COMPUTE.index(compute)]
    reason = (
        f"They are what a {compute} fine-tunes in reasonable time; rank them on your own labels before you train one."
    )
    if latency_ms is not None and latency_ms < 100:
        smallest = affordable[0][1]
        affordable = [c for c in affordable if c[1] <= max(5 if latency_ms < 20 else 30, smallest)]
        reason = (
            f"{latency_ms:g} ms an example leave room for a small network; time it on the machine that will run it."
        )
    names = ", ".join(f"{name} ({size:g} M parameters)" for name, size, _ in affordable)
    return Advice(f"Begin with these candidates: {names}.", reason, "07")


def _strategy(modality, labels, lead, compute):
    if labels == 0:
        return [
            Advice(
                "Label a few examples of each class, or use a model that reads class names, such as CLIP.",
                "Without one label you can neither train a head nor know whether the source fits.",
                "02",
            )
        ]
    if lead is None and labels == 1:  # nothing to hold out
        return _by_labels(labels, compute)
    if lead is None:
        plain = "a bag of words" if modality == "text" else "random weights"
        measure = Advice(
            f"Measure probe_lead: probe_accuracy{'(…, folds=2)' if labels < 5 else ''} of the source's features less that "
            f"of {plain}.",
            "It takes a minute, and it decides whether the source's features can be used as they are.",
            "07",
        )
        return [measure, *_by_labels(labels, compute)]
    if lead < 0:
        return [
            Advice(
                "Do not use this source frozen. Try another source or an earlier layer; else fine-tune all of it, with "
                "training from scratch beside it.",
                f"On your labels its features read {-lead:g} points less than none: negative transfer.",
                "04",
            )
        ]
    if lead < 3:
        return [
            Advice(
                "Fine-tune, and train from scratch as hard beside it; keep what validation prefers.",
                f"A lead of {lead:g} points is within what a few labels can tell, so the source may help or not.",
                "04",
            )
        ]
    return _by_labels(labels, compute)


def _by_labels(labels, compute):
    if labels <= 2:
        first = Advice(
            "Use class prototypes or a linear head on frozen features.",
            "With one or two labels a class there is nothing to tune on, and another label helps more than any method.",
            "03",
        )
    elif labels < 80:
        first = Advice(
            "Train a linear head on cached features, then the last block with it; tune the learning rate on validation.",
            "At 5 to 20 labels a class, the last block read as many digits as full fine-tuning, at half of the memory.",
            "03",
        )
    else:
        first = Advice(
            "Fine-tune everything, with lower rates toward the input, and train from scratch beside it.",
            "The gain of pre-training shrinks as labels grow; full fine-tuning has the least to lose from features that do "
            "not fit.",
            "03",
        )
    if compute == "laptop":
        return [
            first,
            Advice(
                "Compute the features once and train heads on them; add augmented views if you need them.",
                "A frozen body gives the same features in every epoch, so one pass is enough.",
                "02",
            ),
        ]
    return [first]


def _judge(labels):
    if labels < 2:
        return Advice(
            "Judge by a labelled test set: collect one before you report anything.",
            "With no second label of a class there is nothing to hold out.",
            "03",
        )
    if labels < 20:
        return Advice(
            "Judge by cross-validation on your labels, over several draws; keep a test set that you use once.",
            "With so few labels, one split tells more about its luck than about the method.",
            "03",
        )
    return Advice(
        "Choose on validation, report on test once, with a paired interval over several seeds.",
        "Differences of a point or two between strategies are often none.",
        "03",
    )
