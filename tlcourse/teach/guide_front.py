"""The interactive front of the decision guide: controls above, the plan of recommend() below."""

import html

import ipywidgets as widgets

from tlcourse.teach.guide import recommend
from tlcourse.teach.widgets import make_controls, read, status

_LABELS = {"0": 0, "1": 1, "2": 2, "5": 5, "20": 20, "80": 80, "500 or more": 500}
_LATENCY = {"does not matter": None, "10 ms": 10, "50 ms": 50, "200 ms": 200}


def decision_guide():
    """Ask about a transfer and answer with a plan and its reasons, anew whenever an answer changes.

    Returns:
        widgets.VBox of the controls and the plan, an HTML widget that holds an ordered list.
    """
    inputs, rows = make_controls(
        {
            "modality": ["vision", "text"],
            "labels_per_class": list(_LABELS.items()),
            "probe_lead": [("not measured", None), *((f"{lead:+d} points", lead) for lead in range(-20, 41, 5))],
            "data_will_shift": ["no", "yes"],
            "keep_the_source": ["no", "yes"],
            "compute": ["laptop", "gpu", "cluster"],
            "latency": list(_LATENCY.items()),
            "commercial": ["no", "yes"],
        }
    )
    plan = widgets.HTML()

    def answer(_=None):
        chosen = read(inputs)
        advice = recommend(
            modality=chosen["modality"],
            labels_per_class=chosen["labels_per_class"],
            probe_lead=chosen["probe_lead"],
            shifted=chosen["data_will_shift"] == "yes",
            keep_source=chosen["keep_the_source"] == "yes",
            compute=chosen["compute"],
            latency_ms=chosen["latency"],
            commercial=chosen["commercial"] == "yes",
        )
        steps = "".join(
            f"<li><b>{html.escape(step.what)}</b> {html.escape(step.why)} (lesson {step.lesson})</li>"
            for step in advice
        )
        plan.value = status(f"<ol>{steps}</ol>")

    for widget in inputs.values():
        widget.observe(answer, names="value")
    answer()
    return widgets.VBox([*rows, plan])
