"""Pure functions that draw what an interactive figure shows: each returns a figure and its alt text."""

import statistics

import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F
from matplotlib.ticker import MaxNLocator
from torchvision.models.feature_extraction import create_feature_extractor

from tlcourse.teach.figures import COLORS
from tlcourse.training import extract_features

RANKINGS = {"target": "test", "shifted targets": "shifted", "source kept": "source"}  # heading → column


def draw_features(model, layer, image, gallery, count=8):
    """Draw what one layer makes of an image: its strongest activation maps, and the images that it finds most alike.

    Args:
        model: network in eval mode that takes (n, 3, side, side) images.
        layer: the name of a layer with a spatial output, such as "layer2".
        image: (3, side, side) float32 tensor in [0, 1].
        gallery: Images to look for neighbours in, at least count; nearest is the largest cosine between the layer's
            outputs averaged over space.
        count: maps and neighbours to show; fewer maps where the layer has fewer channels.

    Returns:
        (matplotlib Figure, alt text).
    """
    with torch.inference_mode():
        maps = create_feature_extractor(model, {layer: "maps"})(image.unsqueeze(0))["maps"][0]  # (C, h, w)
    strongest = maps.mean(dim=(1, 2)).argsort(descending=True)[:count]
    similarity = F.cosine_similarity(maps.mean(dim=(1, 2)), extract_features(model, gallery, layer))
    nearest = similarity.argsort(descending=True)[:count]
    names = [gallery.classes[label] for label in gallery.y[nearest].tolist()]

    figure, axes = plt.subplots(2, count + 1, figsize=(6.4, 2.2))
    for axis in axes.flat:
        axis.axis("off")
    for row, title in zip(axes[:, 0], ("image", "nearest")):
        row.imshow(image.permute(1, 2, 0))
        row.set_title(title, fontsize=9, loc="left")
    for axis, channel in zip(axes[0, 1:], strongest.tolist()):
        axis.imshow(maps[channel], cmap="gray")
        axis.set_title(f"map {channel}", fontsize=8)
    for axis, index, name in zip(axes[1, 1:], nearest.tolist(), names):
        axis.imshow(gallery.x[index].permute(1, 2, 0))
        axis.set_title(name, fontsize=9)
    alt = (
        f"An image, the {len(strongest)} strongest of the {len(maps)} activation maps of {layer}, and its {count} nearest "
        f"neighbours there, labelled {', '.join(names)}."
    )
    return figure, alt


def draw_strategies(table, labels, steps, rank_by="target"):
    """Draw the equal-budget table at one budget: each strategy on the target, on shifted targets, and on its source.

    Args:
        table: as load_results("strategies") returns.
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
