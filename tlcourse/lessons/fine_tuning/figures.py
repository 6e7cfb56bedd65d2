"""What the notebook draws: each function returns a figure and its alt text."""

import statistics

import matplotlib.pyplot as plt
from matplotlib.ticker import MaxNLocator

from tlcourse.teach.figures import COLORS

RANKINGS = {"target": "test", "shifted targets": "shifted", "source kept": "source"}  # heading → column


def draw_strategies(table, labels, steps, rank_by="target"):
    """Draw the equal-budget table at one budget: each strategy on the target, on shifted targets, and on its source.

    Args:
        table: as teach.load_results("fine_tuning") returns.
        labels: labelled images of each class, one that the table has.
        steps: gradient steps of a trial, one that the table has.
        rank_by: the column that orders the rows, best first: "target", "shifted targets" (the mean of the shifts) or
            "source kept".

    Returns:
        (matplotlib Figure, alt text); dots are means over the seeds, bars their standard deviation.

    Raises:
        ValueError: the table has no such labels or steps, or rank_by is none of the three.
    """
    if rank_by not in RANKINGS:
        raise ValueError(f"rank_by={rank_by!r}: choose from {', '.join(RANKINGS)}")
    cells = [cell for cell in table["cells"] if (cell["labels"], cell["steps"]) == (labels, steps)]
    if not cells:
        known = sorted({(cell["labels"], cell["steps"]) for cell in table["cells"]})
        raise ValueError(f"labels={labels}, steps={steps}: the table has (labels, steps) {known}")
    seeds = range(len(table["seeds"]))
    runs = {}
    for cell in cells:
        shifted = [statistics.mean(cell[shift][i] for shift in table["shifts"]) for i in seeds]
        source = cell["source"] if cell["source"][0] is not None else []
        runs[cell["strategy"]] = {"test": cell["test"], "shifted": shifted, "source": source}
    key = RANKINGS[rank_by]
    order = sorted(runs, key=lambda name: statistics.mean(runs[name][key] or [0]), reverse=True)

    figure, axes = plt.subplots(1, 3, figsize=(6.4, 3.4), sharey=True)
    for axis, (title, column) in zip(axes, RANKINGS.items()):
        for row, name in enumerate(order):
            if values := runs[name][column]:
                colour = COLORS["scratch"] if name == "scratch" else COLORS["probe"]
                axis.errorbar(
                    statistics.mean(values), row, xerr=statistics.stdev(values), fmt="o", color=colour, capsize=2
                )
        axis.set_title(title, fontsize=11, fontweight="bold" if title == rank_by else "normal")
        axis.set_xlabel("accuracy")
        axis.xaxis.set_major_locator(MaxNLocator(2))
    axes[0].set(yticks=range(len(order)), yticklabels=order, ylim=(len(order) - 0.5, -0.5))
    best = "; ".join(f"{name} {statistics.mean(runs[name][key]):.2f}" for name in order if runs[name][key])
    alt = f"Strategies at {labels} labels a class and {steps} steps, best first on {rank_by}: {best}."
    return figure, alt
