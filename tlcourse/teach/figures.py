"""Figures that carry a description for those who do not see them, in one legible style."""

import base64
import html
import io

import matplotlib.pyplot as plt
from IPython.display import display

# Okabe and Ito's palette, told apart under every common form of colour blindness.
COLORS = {
    "scratch": "#555555",
    "probe": "#0072B2",
    "fine-tune": "#D55E00",
    "other": "#009E73",
    "extra": "#CC79A7",
}

STYLE = {
    "figure.figsize": (6.4, 3.8),
    "figure.dpi": 130,
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "lines.linewidth": 2,
    "figure.constrained_layout.use": True,
}


def show(figure, alt):
    """Show a Matplotlib figure once, as an image with alternative text, and close it.

    Args:
        figure: the figure.
        alt: what a person who does not see the figure needs to know, at least 20 characters.

    Raises:
        ValueError: alt is too short to say anything.
    """
    display({"text/plain": alt, "text/html": alt_image(figure, alt)}, raw=True)


def alt_image(figure, alt):
    """Turn a figure into one HTML <img> element with the picture inside and alternative text; close the figure."""
    if len(alt.strip()) < 20:
        raise ValueError(f"alt={alt!r}: describe what the figure shows, in a sentence")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    plt.close(figure)
    picture = base64.b64encode(buffer.getvalue()).decode()
    return f'<img alt="{html.escape(alt)}" src="data:image/png;base64,{picture}" style="max-width: 100%">'
