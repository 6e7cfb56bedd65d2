"""What the notebook draws: each function returns (matplotlib Figure, alt text)."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from tlcourse.teach.figures import COLORS


def draw_gap(table, source, wrong, labels):
    """Draw a point of the negative-transfer lab among its neighbours: the gap against wrong labels, and against target labels.

    table is as teach.load_results("negative_transfer") returns; source, the share of its labels that are wrong, and the
    labelled target images of each class are a point of its surface (ValueError: there is none). Lines are means over the
    seeds, bands their standard deviation.
    """
    gaps = {}
    for cell in table["surface"]:
        gap = 100 * (np.array(table["without"][str(cell["labels"])]) - cell["with"])
        gaps[cell["source"], cell["wrong"], cell["labels"]] = gap.mean(), gap.std(ddof=1)
    if (source, wrong, labels) not in gaps:
        known = [sorted(set(values)) for values in zip(*gaps)]
        raise ValueError(f"source={source!r}, wrong={wrong}, labels={labels}: the surface has {known}")
    mean, spread = gaps[source, wrong, labels]
    alt = (
        f"{source}, {wrong:.0%} of the labels wrong, target labels per class {labels}: the source "
        f"{'harms' if mean > 0 else 'helps'}, gap {mean:+.1f} points (standard deviation {spread:.1f} over "
        f"{len(table['surface_seeds'])} seeds)."
    )
    surface = pd.DataFrame(gaps, index=["mean", "spread"]).T.sort_index()
    lines = (
        ("share of wrong source labels", surface.loc[source, :, labels], wrong),
        ("target labels per class", surface.loc[source, wrong], labels),
    )
    figure, axes = plt.subplots(1, 2, figsize=(6.4, 3.4), sharey=True)
    for axis, (title, line, chosen) in zip(axes, lines):
        low, high = line["mean"] - line["spread"], line["mean"] + line["spread"]
        axis.axhline(0, color=COLORS["scratch"], linestyle="--")
        axis.plot(line["mean"], color=COLORS["fine-tune"])
        axis.fill_between(line.index, low, high, color=COLORS["fine-tune"], alpha=0.2, linewidth=0)
        axis.plot(chosen, mean, "o", color=COLORS["fine-tune"], markersize=9)
        axis.set_xlabel(title)
        alt += f" Against {title}: {', '.join(f'{x:g}: {m:+.1f}' for x, m in line['mean'].items())}."
    axes[1].set(xscale="log", xticks=line.index, xticklabels=line.index)
    axes[1].minorticks_off()
    axes[0].set_ylabel("gap in points")
    low, high = axes[0].get_ylim()
    axes[0].set_ylim(min(low, -8), max(high, 8))
    for height, word, place in ((1, "harm", "top"), (0, "help", "bottom")):
        axes[1].text(0.98, height, word, transform=axes[1].transAxes, ha="right", va=place, color=COLORS["scratch"])
    return figure, alt
