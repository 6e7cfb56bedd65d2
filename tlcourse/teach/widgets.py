"""A thin interactive shell over a function that draws a figure."""

import ipywidgets as widgets

from tlcourse.teach.figures import alt_image


def interactive(draw, **controls):
    """Redraw a figure whenever a control moves.

    Args:
        draw: a function of the controls by name that returns (figure, alt text).
        controls: for each argument of draw either (low, high, step), a slider paired with a number field (the slider
            has no name that a screen reader can read), or a list of choices, a drop-down. Both begin with the first
            value.

    Returns:
        widgets.VBox of the controls and the picture, an HTML widget whose value holds an <img> with alt text.
    """
    picture = widgets.HTML()
    inputs, rows = {}, []
    for name, values in controls.items():
        if isinstance(values, tuple):
            low, high, step = values
            inputs[name] = widgets.BoundedFloatText(value=low, min=low, max=high, step=step, description=name)
            slider = widgets.FloatSlider(
                value=low, min=low, max=high, step=step, readout=False, continuous_update=False
            )
            widgets.link((inputs[name], "value"), (slider, "value"))
            rows.append(widgets.HBox([inputs[name], slider]))
        else:
            inputs[name] = widgets.Dropdown(options=values, value=values[0], description=name)
            rows.append(inputs[name])

    def redraw(_=None):
        picture.value = alt_image(*draw(**{name: widget.value for name, widget in inputs.items()}))

    for widget in inputs.values():
        widget.observe(redraw, names="value")
    redraw()
    return widgets.VBox([*rows, picture])
