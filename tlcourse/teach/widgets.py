"""A thin interactive shell over a function that draws a figure."""

import html

import ipywidgets as widgets
from IPython.display import display

from tlcourse.teach.figures import alt_image

LABELS = {"description_width": "initial"}  # no label is cut off


class Panel(widgets.VBox):
    """A column of widgets that leaves plain HTML in its place on a page without a kernel, such as the site or GitHub."""

    def __init__(self, children, still):
        super().__init__(children)
        self.still = f"{still}<p><em>Run this cell in JupyterLab or on Colab to use it.</em></p>"

    def _ipython_display_(self):  # the one method that ipywidgets 7 and 8 both ask first
        view = {"version_major": 2, "version_minor": 0, "model_id": self.model_id}
        bundle = {"text/plain": repr(self)[:110], "text/html": self.still}
        display(bundle | {"application/vnd.jupyter.widget-view+json": view}, raw=True)


def interactive(draw, **controls):
    """Redraw a figure whenever a control moves.

    Args:
        draw: a function of the controls by name that returns (figure, alt text).
        controls: for each argument of draw either (low, high, step), a slider paired with a number field (the slider
            has no name that a screen reader can read), or a list of choices, a drop-down; a choice may be a pair of
            a name and a value. Both begin with the first value.

    Returns:
        Panel of the controls and the picture, an HTML widget whose value holds an <img> with alt text; the first picture
        stays where no kernel runs.
    """
    inputs, rows = make_controls(controls)
    picture = widgets.HTML()

    def redraw(_=None):
        picture.value = alt_image(*draw(**read(inputs)))

    _watch(inputs, redraw)
    return Panel([*rows, picture], still=picture.value)


def lab(draw, run, **controls):
    """An interactive figure with a button that runs the point under the controls now.

    Args:
        draw: as for interactive().
        run: a function of the same arguments that returns a sentence about what it measured. It may take seconds.
        controls: as for interactive().

    Returns:
        Panel of the controls, the picture, the button and the sentence. From Python: set the controls' value,
        call children[-2].click() and read children[-1].value.
    """
    inputs, rows = make_controls(controls)
    picture, sentence = widgets.HTML(), widgets.HTML(status("Press the button to run this point yourself."))
    button = widgets.Button(description="Run this point", tooltip="Train now, at the chosen settings")

    def redraw(_=None):
        picture.value = alt_image(*draw(**read(inputs)))

    def measure(_):
        button.disabled, sentence.value = True, status("Running …")
        try:
            sentence.value = status(html.escape(run(**read(inputs))))
        except Exception as error:  # an exception in a callback would show nowhere
            sentence.value = status(html.escape(f"{type(error).__name__}: {error}"))
        finally:
            button.disabled = False

    _watch(inputs, redraw)
    button.on_click(measure)
    return Panel([*rows, picture, button, sentence], still=picture.value)


def make_controls(controls):
    """Build the named controls of interactive() -> (dict from name to widget, list of rows to show)."""
    inputs, rows = {}, []
    for name, values in controls.items():
        label = name.replace("_", " ")
        if isinstance(values, tuple):
            low, high, step = values
            inputs[name] = widgets.BoundedFloatText(
                value=low, min=low, max=high, step=step, description=label, style=LABELS
            )
            slider = widgets.FloatSlider(
                value=low, min=low, max=high, step=step, readout=False, continuous_update=False
            )
            widgets.link((inputs[name], "value"), (slider, "value"))
            rows.append(widgets.HBox([inputs[name], slider]))
        else:
            inputs[name] = widgets.Dropdown(options=values, index=0, description=label, style=LABELS)
            rows.append(inputs[name])
    return inputs, rows


def read(inputs):
    """The values of controls by name."""
    return {name: widget.value for name, widget in inputs.items()}


def _watch(inputs, redraw):
    for widget in inputs.values():
        widget.observe(redraw, names="value")
    redraw()


def status(markup):
    """HTML that a screen reader announces when it changes; the caller escapes what is not markup."""
    return f'<div role="status">{markup}</div>'
