"""Claims: a sentence of a lesson beside the number that this very run measured for it."""

import html
import json
import math
import os

from IPython.display import display

STATED = {}  # by id, so that a cell that is run twice counts once; setup() empties it


class ClaimFailed(AssertionError):
    """A claim did not hold while TLCOURSE_STRICT=1."""


def claim(id, text, value, *, at_least=None, at_most=None, shipped=False):
    """Show whether a measured value keeps the bound that a sentence of the lesson states.

    A learner sees one line, whose details fold out, or a note that the claim did not hold in this run; nothing is
    raised. Under TLCOURSE_STRICT=1 a miss raises. With TLCOURSE_CLAIMS=FILE one JSON line is added to FILE for each claim.

    Args:
        id: lesson and number, such as "01.3".
        text: the sentence.
        value: the measured number; NaN never holds.
        at_least, at_most: the bounds; give one or both.
        shipped: the value was read from a file that comes with the course, not measured by this run.

    Raises:
        TypeError: value is not a number.
        ValueError: no bound is given.
        ClaimFailed: it did not hold under TLCOURSE_STRICT=1.
    """
    try:
        value = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"value: want one number, got {value!r}; take its mean or its .item()") from None
    if at_least is None and at_most is None:
        raise ValueError("give at_least=, at_most= or both: a claim without a bound says nothing")
    above = value - at_least if at_least is not None else math.inf
    below = at_most - value if at_most is not None else math.inf
    margin = min(above, below) if not math.isnan(value) else math.nan  # min() would drop a NaN
    held = margin >= 0  # False for NaN
    bounds = " and ".join(
        f"{word} {bound:.4g}" for word, bound in (("at least", at_least), ("at most", at_most)) if bound is not None
    )
    record = {
        "id": id,
        "text": text,
        "value": value,
        "at_least": at_least,
        "at_most": at_most,
        "margin": margin,
        "held": held,
        "shipped": shipped,
    }
    STATED[id] = record
    if path := os.environ.get("TLCOURSE_CLAIMS"):
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
    measured = f"{'read from the course' if shipped else 'measured'} {value:.4g}, claimed {bounds}"
    if not held and os.environ.get("TLCOURSE_STRICT") == "1":
        raise ClaimFailed(f"claim {id} did not hold: {text} ({measured})")
    display(_as_mime(id, text, measured, held), raw=True)


def claims_held():
    """Print how many of the claims that this session has stated held, and how many were read from the course."""
    missed = [id for id, record in STATED.items() if not record["held"]]
    shipped = sum(record["shipped"] for record in STATED.values())
    read = f" ({shipped} read from the course)" if shipped else ""
    named = f"; not held: {', '.join(missed)}" if missed else ""
    print(f"Claims: {len(STATED) - len(missed)} of {len(STATED)} held in this run{read}{named}.")


def _as_mime(id, text, measured, held):
    mark, note = ("✓", "") if held else ("!", "did not hold in this run: ")
    plain = f"{mark} Claim {id}: {note}{text} ({measured})"
    if held:
        style, line, is_open = "font-size: 90%", f"✓ {html.escape(text)}", ""
    else:
        style, is_open = "border-left: 4px solid #b26a00; padding: 4px 10px", " open"
        line = f"<b>! Claim {html.escape(id)} did not hold in this run:</b> {html.escape(text)}"
    details = html.escape(f"Claim {id}: {measured}.")
    rich = (
        f'<details style="margin: 2px 0; {style}"{is_open}><summary>{line}</summary>'
        f'<div style="padding-left: 1.2em">{details}</div></details>'
    )
    return {"text/plain": plain, "text/html": rich}
