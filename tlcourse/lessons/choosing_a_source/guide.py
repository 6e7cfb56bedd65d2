"""The decision guide: from what you know about a task to a plan with reasons. Its sentences are in guide.toml."""

import html
import tomllib
from dataclasses import dataclass
from pathlib import Path

import ipywidgets as widgets

from tlcourse.teach.widgets import Panel, make_controls, read, status

# Name, millions of parameters (as torchvision and the model cards state them), and the least that fine-tunes all of it.
_CANDIDATES = {
    "vision": (
        ("mobilenet_v3_small", 2.5, "laptop"),
        ("resnet18", 11.7, "laptop"),
        ("resnet50", 25.6, "gpu"),
        ("convnext_tiny", 28.6, "gpu"),
        ("vit_b_16", 86.6, "gpu"),
    ),
    "text": (
        ("all-MiniLM-L6-v2", 22.7, "laptop"),
        ("distilbert-base-uncased", 66, "gpu"),
        ("bert-base-uncased", 110, "gpu"),
    ),
}
_COMPUTE = ("laptop", "gpu", "cluster")
_LABELS = {"0": 0, "1": 1, "2": 2, "5": 5, "20": 20, "80": 80, "500 or more": 500}
_LATENCY = {"does not matter": None, "10 ms": 10, "50 ms": 50, "200 ms": 200}
_SAID = tomllib.loads(Path(__file__).with_name("guide.toml").read_text(encoding="utf-8"))


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
    if modality not in _CANDIDATES:
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
        plan.append(_say("licence"))
    plan += _strategy(modality, labels_per_class, probe_lead, compute)
    if keep_source:
        plan.append(_say("keep_source"))
    if shifted:
        plan.append(_say("shifted"))
    judge = "judge_later" if labels_per_class < 2 else "cross_validate" if labels_per_class < 20 else "judge_once"
    return [*plan, _say(judge)]


def _say(name, **facts):
    return Advice(**{part: text.format(**facts) for part, text in _SAID[name].items()})


def _source(modality, compute, latency_ms):
    affordable = [c for c in _CANDIDATES[modality] if _COMPUTE.index(c[2]) <= _COMPUTE.index(compute)]
    hurried = latency_ms is not None and latency_ms < 100
    if hurried:
        smallest = affordable[0][1]
        affordable = [c for c in affordable if c[1] <= max(5 if latency_ms < 20 else 30, smallest)]
    names = ", ".join(f"{name} ({size:g} M parameters)" for name, size, _ in affordable)
    return _say("small_candidates" if hurried else "candidates", names=names, compute=compute, latency_ms=latency_ms)


def _strategy(modality, labels, lead, compute):
    if labels == 0:
        return [_say("label_some")]
    if lead is not None and lead < 0:
        return [_say("not_frozen", loss=-lead)]
    if lead is not None and lead < 3:
        return [_say("beside_scratch", lead=lead)]
    plan = [_say("prototypes" if labels <= 2 else "last_block" if labels < 80 else "everything")]
    if compute == "laptop":
        plan.append(_say("cache"))
    if lead is None and labels > 1:  # with one label there is nothing to hold out
        probe = f"probe_accuracy{'(…, folds=2)' if labels < 5 else ''}"
        plain = "a bag of words" if modality == "text" else "random weights"
        plan.insert(0, _say("measure_lead", probe=probe, plain=plain))
    return plan


def decision_guide():
    """Ask about a transfer and answer with a plan and its reasons, anew whenever an answer changes.

    Returns:
        Panel of the controls and the plan, an HTML widget that holds an ordered list.
    """
    inputs, rows = make_controls(
        {
            "modality": list(_CANDIDATES),
            "labels_per_class": list(_LABELS.items()),
            "probe_lead": [("not measured", None), *((f"{lead:+d} points", lead) for lead in range(-20, 41, 5))],
            "data_will_shift": [("no", False), ("yes", True)],
            "keep_the_source": [("no", False), ("yes", True)],
            "compute": list(_COMPUTE),
            "latency": list(_LATENCY.items()),
            "commercial": [("no", False), ("yes", True)],
        }
    )
    plan = widgets.HTML()

    def answer(_=None):
        chosen = read(inputs)
        renamed = {"data_will_shift": "shifted", "keep_the_source": "keep_source", "latency": "latency_ms"}
        advice = recommend(**{renamed.get(name, name): value for name, value in chosen.items()})
        steps = "".join(
            f"<li><b>{html.escape(step.what)}</b> {html.escape(step.why)} (lesson {step.lesson})</li>"
            for step in advice
        )
        plan.value = status(f"<ol>{steps}</ol>")

    for widget in inputs.values():
        widget.observe(answer, names="value")
    answer()
    return Panel([*rows, plan], still=plan.value)
