"""Pure functions that draw what an interactive figure shows: each returns a figure and its alt text."""

import statistics

import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F
from matplotlib.ticker import MaxNLocator
from scipy.stats import spearmanr, weightedtau
from torchvision.models.feature_extraction import create_feature_extractor

from tlcourse.measure.adaptation import accuracies_of, gains_over_source
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


def draw_gap(table, source, wrong, labels):
    """Draw a point of the negative-transfer lab among its neighbours: the gap against wrong labels, and against target labels.

    Args:
        table: as load_results("negative_transfer") returns.
        source: a source that the table's surface has.
        wrong: the share of the source's labels that are wrong, one that the surface has.
        labels: labelled target images of each class, one that the surface has.

    Returns:
        (matplotlib Figure, alt text); lines are means over the seeds, bands their standard deviation.

    Raises:
        ValueError: the surface has no such point.
    """
    gaps = {
        (cell["source"], cell["wrong"], cell["labels"]): [
            100 * (without - with_) for with_, without in zip(cell["with"], table["without"][str(cell["labels"])])
        ]
        for cell in table["surface"]
    }
    if (source, wrong, labels) not in gaps:
        known = [sorted({key[i] for key in gaps}) for i in range(3)]
        raise ValueError(f"source={source!r}, wrong={wrong}, labels={labels}: the surface has {known}")
    figure, axes = plt.subplots(1, 2, figsize=(6.4, 3.4), sharey=True)
    lines = (
        (axes[0], "share of wrong source labels", [k for k in gaps if k[0] == source and k[2] == labels], 1, wrong),
        (axes[1], "target labels per class", [k for k in gaps if k[:2] == (source, wrong)], 2, labels),
    )
    for axis, title, keys, which, chosen in lines:
        x = [key[which] for key in keys]
        mean, spread = ([measure(gaps[key]) for key in keys] for measure in (statistics.mean, statistics.stdev))
        axis.axhline(0, color=COLORS["scratch"], linestyle="--")
        axis.plot(x, mean, color=COLORS["fine-tune"])
        low, high = ([m + sign * s for m, s in zip(mean, spread)] for sign in (-1, 1))
        axis.fill_between(x, low, high, color=COLORS["fine-tune"], alpha=0.2, linewidth=0)
        axis.plot(chosen, statistics.mean(gaps[source, wrong, labels]), "o", color=COLORS["fine-tune"], markersize=9)
        axis.set_xlabel(title)
    axes[1].set(xscale="log", xticks=[key[2] for key in lines[1][2]], xticklabels=[key[2] for key in lines[1][2]])
    axes[1].minorticks_off()
    axes[0].set_ylabel("gap in points")
    low, high = axes[0].get_ylim()
    axes[0].set_ylim(min(low, -8), max(high, 8))
    for height, word, place in ((1, "harm", "top"), (0, "help", "bottom")):
        axes[1].text(0.98, height, word, transform=axes[1].transAxes, ha="right", va=place, color=COLORS["scratch"])
    point = gaps[source, wrong, labels]
    verdict = "harms" if statistics.mean(point) > 0 else "helps"
    alt = (
        f"{source}, {wrong:.0%} of the labels wrong, target labels per class {labels}: the source {verdict}, gap "
        f"{statistics.mean(point):+.1f} points (standard deviation {statistics.stdev(point):.1f} over {len(point)} seeds). "
        + " ".join(
            f"Against {title}: " + ", ".join(f"{key[which]:g}: {statistics.mean(gaps[key]):+.1f}" for key in keys) + "."
            for _, title, keys, which, _ in lines
        )
    )
    return figure, alt


def draw_leaderboard(table, target, score, outcome):
    """Draw a score of every candidate source against the accuracy that the source came to, with weighted Kendall τ.

    Args:
        table: as load_results("leaderboard") returns.
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


def draw_distance(shifts, dial, distance):
    """Draw the loss of accuracy of many shifts against their distance to the source, one dial among the others.

    Args:
        shifts: dict from (dial, strength) to a dict with "loss", and with a number for each distance.
        dial: the dial whose strengths are joined by a line and named.
        distance: the name of a distance that every shift has.

    Returns:
        (matplotlib Figure, alt text).

    Raises:
        ValueError: no shift of that dial, a shift without that distance.
    """
    chosen = {strength: shift for (name, strength), shift in shifts.items() if name == dial}
    if not chosen or any(distance not in shift for shift in shifts.values()):
        dials = ", ".join(dict.fromkeys(name for name, _ in shifts))
        raise ValueError(
            f"dial={dial!r}, distance={distance!r}: choose a dial from {dials}, and a distance of them all"
        )
    distances, losses = zip(*((shift[distance], shift["loss"]) for shift in shifts.values()))
    rank = spearmanr(distances, losses).statistic
    figure, axis = plt.subplots(figsize=(6.4, 3.4))
    axis.plot(distances, losses, "o", color=COLORS["scratch"], alpha=0.4)
    x, y = zip(*((shift[distance], shift["loss"]) for shift in chosen.values()))
    axis.plot(x, y, "o-", color=COLORS["fine-tune"])
    for strength, point in zip(chosen, zip(x, y)):
        axis.annotate(f"{strength}", point, (5, -12), textcoords="offset points", fontsize=9)
    axis.set(xlabel=f"{distance} to the source", ylabel="loss of accuracy (share of images)")
    axis.set_title(
        f"{dial} by strength, among {len(shifts)} shifts; rank correlation {rank:.2f}", fontsize=11, loc="left"
    )
    points = ", ".join(f"{strength}: {a:.3g} costs {b:.2f}" for strength, a, b in zip(chosen, x, y))
    return figure, f"Loss of accuracy against {distance}, rank correlation {rank:.2f}. {dial} by strength: {points}."


def draw_adaptation(table, task, target):
    """Draw what every method of adaptation reaches on one task and target, between the source alone and target labels.

    Args:
        table: as load_results("adaptation") returns.
        task, target: a task and a target that the table has.

    Returns:
        (matplotlib Figure, alt text); dots are means over the seeds. Bars are the 95% interval of the gain over the
        source alone, in the same seeds (Student's paired t), set at the source's mean; the mark says on which side of
        no gain it lies.

    Raises:
        ValueError: the table has no such task or target.
    """
    accuracy, gains = accuracies_of(table, task, target), gains_over_source(table, task, target)
    floor, ceiling = (statistics.mean(accuracy[name]) for name in ("source alone", "target labels"))
    order = sorted((name for name in gains if name != "target labels"), key=gains.get, reverse=True)
    marks = {"helps": ("o", "probe"), "undecided": ("s", "scratch"), "harms": ("X", "fine-tune")}
    verdicts = {}
    figure, axis = plt.subplots(figsize=(6.4, 4.4))
    for row, name in enumerate(order):
        gain, low, high = gains[name]
        verdicts[name] = "helps" if low > 0 else "harms" if high < 0 else "undecided"
        mark, colour = marks[verdicts[name]]
        axis.errorbar(
            floor + gain,
            row,
            xerr=[[gain - low], [high - gain]],
            fmt=mark,
            color=COLORS[colour],
            markersize=7,
            capsize=2,
        )
    for x, other, text in ((floor, ceiling, "source alone"), (ceiling, floor, "target labels")):
        axis.axvline(x, color="black", linestyle="--", linewidth=1)
        side = "right" if x < other else "left"  # the two lines can be close together
        axis.text(x, 1.01, text, transform=axis.get_xaxis_transform(), ha=side, fontsize=9)
    axis.set_xlim(right=max(axis.get_xlim()[1], ceiling + 0.01))
    for place, verdict in zip((0.02, 0.4, 0.78), marks):
        symbol = {"helps": "●", "undecided": "■", "harms": "✖"}[verdict]
        axis.text(place, -0.24, f"{symbol} {verdict}", color=COLORS[marks[verdict][1]], transform=axis.transAxes)
    axis.set(yticks=range(len(order)), yticklabels=order, ylim=(len(order) - 0.5, -0.5))
    axis.set_xlabel(f"test accuracy, {len(table['seeds'])} seeds; bar: 95% of the gain")
    means = "; ".join(f"{name} {floor + gains[name][0]:.2f} {verdicts[name]}" for name in order)
    alt = f"{task}, {target} target. Source alone {floor:.2f}, target labels {ceiling:.2f}. Best first: {means}."
    return figure, alt
