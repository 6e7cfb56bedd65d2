"""What the notebook draws: each function returns (matplotlib Figure, alt text)."""

import statistics

import matplotlib.pyplot as plt

from tlcourse.lessons.domain_adaptation.experiment import accuracies_of, gains_over_source
from tlcourse.teach.figures import COLORS


def draw_adaptation(table, task, target):
    """Draw what every method of adaptation reaches on one task and target, between the source alone and target labels.

    table is as teach.load_results("domain_adaptation") returns. Dots are means over the seeds. Bars are the 95% interval of
    the gain over the source alone (see gains_over_source), set at the source's mean; the mark says on which side of no
    gain it lies.
    """
    accuracy, gains = accuracies_of(table, task, target), gains_over_source(table, task, target)
    floor, ceiling = (statistics.mean(accuracy[name]) for name in ("source alone", "target labels"))
    order = sorted((name for name in gains if name != "target labels"), key=gains.get, reverse=True)
    marks = {"helps": ("●", "o", "probe"), "undecided": ("■", "s", "scratch"), "harms": ("✖", "X", "fine-tune")}
    verdicts = {}
    figure, axis = plt.subplots(figsize=(6.4, 4.4))
    for row, name in enumerate(order):
        gain, low, high = gains[name]
        verdicts[name] = "helps" if low > 0 else "harms" if high < 0 else "undecided"
        _, mark, colour = marks[verdicts[name]]
        ends = [[gain - low], [high - gain]]
        axis.errorbar(floor + gain, row, xerr=ends, fmt=mark, color=COLORS[colour], markersize=7, capsize=2)
    for x, other, text in ((floor, ceiling, "source alone"), (ceiling, floor, "target labels")):
        axis.axvline(x, color="black", linestyle="--", linewidth=1)
        side = "right" if x < other else "left"  # the two lines can be close together
        axis.text(x, 1.01, text, transform=axis.get_xaxis_transform(), ha=side, fontsize=9)
    axis.set_xlim(right=max(axis.get_xlim()[1], ceiling + 0.01))
    for place, (verdict, (symbol, _, colour)) in zip((0.02, 0.4, 0.78), marks.items()):
        axis.text(place, -0.24, f"{symbol} {verdict}", color=COLORS[colour], transform=axis.transAxes)
    axis.set(yticks=range(len(order)), yticklabels=order, ylim=(len(order) - 0.5, -0.5))
    axis.set_xlabel(f"test accuracy, {len(table['seeds'])} seeds; bar: 95% of the gain")
    means = "; ".join(f"{name} {floor + gains[name][0]:.2f} {verdicts[name]}" for name in order)
    alt = f"{task}, {target} target. Source alone {floor:.2f}, target labels {ceiling:.2f}. Best first: {means}."
    return figure, alt
