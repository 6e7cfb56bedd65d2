"""What the notebook draws: each function returns a figure and its alt text."""

import matplotlib.pyplot as plt
from scipy.stats import spearmanr

from tlcourse.teach.figures import COLORS


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
