"""A question that the learner answers before the run; every answer has its own explanation."""

import html

import ipywidgets as widgets

from tlcourse.teach.widgets import status

_TOGGLE_STYLE = {"description_width": "initial"}


def quiz(question, options, answer):
    """Ask a multiple-choice question.

    Args:
        question: the question, plain text.
        options: dict from each choice to the explanation shown after it is chosen; at least two.
        answer: the right choice, a key of options.

    Returns:
        widgets.VBox of the question, the radio buttons, a button and the verdict. Nothing is chosen at first. To answer
        from Python, set children[1].value, call children[2].click() and read children[3].value.

    Raises:
        ValueError: fewer than two options, an option without an explanation, an answer that is not an option.
    """
    if len(options) < 2 or not all(str(explanation).strip() for explanation in options.values()):
        raise ValueError("options: give at least two choices, each with an explanation")
    if answer not in options:
        raise ValueError(f"answer={answer!r}: not one of the options {list(options)}")
    heading = widgets.HTML(f"<b>Predict.</b> {html.escape(question)}")
    choices = widgets.RadioButtons(
        options=list(options),
        value=None,
        layout=widgets.Layout(width="max-content", max_width="100%"),
        style=_TOGGLE_STYLE,
    )
    button = widgets.Button(description="Commit", tooltip="Commit to the chosen answer")
    verdict = widgets.HTML(status("Choose an answer, then commit. You learn most from a guess that you made yourself."))

    def reveal(_):
        if choices.value is None:
            verdict.value = status("Choose an answer first.")
            return
        word = "Right." if choices.value == answer else "Not quite."
        verdict.value = status(f"<b>{word}</b> {html.escape(options[choices.value])}")

    button.on_click(reveal)
    return widgets.VBox([heading, choices, button, verdict])
