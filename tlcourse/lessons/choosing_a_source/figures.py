"""What the notebook draws: each function returns a figure and its alt text."""

import statistics

import matplotlib.pyplot as plt
from scipy.stats import weightedtau

from tlcourse.teach.figures import COLORS


def draw_leaderboard(table, target, score, outcome):
    """Draw a score of every candidate source against the accuracy that the source came to, with weighted Kendall τ.

    Args:
        table: as teach.load_results("choosing_a_source") returns.
        target: a target that the table has.
        score: the name of a score that the table has.
        outcome: "frozen" (a linear head on frozen features) or "fine-tuned".

    Returns:
        (matplotlib Figure, alt text); dots are means over the seeds.

    Raises:
        ValueError: the table has no such target, score or outcome.
    """
    rows = [row for row in table["rows"] if row["target"] == target]
    if not rows or score not in rows[0]["scores"] or outcome not in ("frozen", "fine-tuned"):
        targets = ", ".join(dict.fromkeys(row["target"] for row in table["rows"]))
        scores = ", ".join(table["rows"][0]["scores"])
        raise ValueError(
            f"target={target!r}, score={score!r}, outcome={outcome!r}: choose from {targets}; from {scores}; and from "
            "frozen, fine-tuned"
        )
    x = [statistics.mean(row["scores"][score]) for row in rows]
    y = [statistics.mean(row[outcome]) for row in rows]
    tau = weightedtau(x, y).statistic
    figure, axis = plt.subplots(figsize=(6.4, 4))
    axis.plot(x, y, "o", color=COLORS["probe"])
    width, (low, high) = max(x) - min(x) or 1, axis.get_ylim()
    # Names stand at the right, evenly spaced, so that none overlap.
    for rank, i in enumerate(sorted(range(len(rows)), key=lambda i: y[i])):
        axis.annotate(
            rows[i]["source"],
            (x[i], y[i]),
            (max(x) + 0.1 * width, low + (rank + 0.5) / len(rows) * (high - low)),
            fontsize=9,
            va="center",
            arrowprops={"arrowstyle": "-", "color": COLORS["scratch"], "alpha": 0.35, "linewidth": 0.7},
        )
    axis.set_ylim(low, high)
    axis.set_xlim(min(x) - 0.05 * width, max(x) + 0.6 * width)
    axis.set(xlabel=f"{score} on 100 labelled images", ylabel=f"test accuracy, {outcome}")
    axis.set_title(f"{target}: weighted τ = {tau:.2f}", fontsize=11, loc="left")
    order = [rows[i]["source"] for i in sorted(range(len(rows)), key=lambda i: -x[i])]
    best = rows[max(range(len(rows)), key=lambda i: y[i])]["source"]
    alt = (
        f"{score} against {outcome} accuracy of {len(rows)} sources on {target}. Weighted Kendall tau {tau:.2f}. "
        f"By score, best first: {', '.join(order)}. Best by accuracy: {best} ({max(y):.2f})."
    )
    return figure, alt
