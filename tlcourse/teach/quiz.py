"""A question that the learner answers before the run; every answer has its own explanation."""

import html
import tomllib

import ipywidgets as widgets

from tlcourse.course.lessons import list_lessons
from tlcourse.teach.widgets import LABELS, Panel, status


def quiz(id, options=None, answer=None):
    """Ask a question of the lesson's quizzes.toml.

    Args:
        id: lesson and number, such as "03.2". Notebooks of older releases give the question itself here, and with it
            options, a dict from each choice to the explanation shown after it is chosen, and the answer, one of them.

    Returns:
        Panel of the question, the radio buttons, a button and the verdict. Nothing is chosen at first. To answer from
        Python, set children[1].value, call children[2].click() and read children[3].value.

    Raises:
        ValueError: an unknown id, fewer than two options, an option without an explanation, an answer that is not an
            option; the message names the file.
    """
    if options is not None:
        return _ask(id, options, answer, place="quiz")
    path = next(
        (lesson.folder / "quizzes.toml" for lesson in list_lessons() if lesson.number == id.split(".")[0]), None
    )
    if path is None or not path.exists():
        raise ValueError(f"id={id!r}: no lesson has quizzes of that number; write lesson and number, such as '03.2'")
    quizzes = tomllib.loads(path.read_text(encoding="utf-8"))
    if id not in quizzes:
        raise ValueError(f"id={id!r}: {path} has {', '.join(quizzes)}; add it there, or choose one of these")
    asked = quizzes[id]
    options = {option["text"]: option.get("why", "") for option in asked.get("options", [])}
    return _ask(asked["question"], options, asked.get("answer"), place=f"{path}, {id}")


def _ask(question, options, answer, place):
    if len(options) < 2 or not all(str(explanation).strip() for explanation in options.values()):
        raise ValueError(f"{place}: options: give at least two choices, each with an explanation")
    if answer not in options:
        raise ValueError(f"{place}: answer={answer!r} is not one of the options {list(options)}; copy one of them")
    heading = f"<b>Predict.</b> {html.escape(question)}"
    choices = widgets.RadioButtons(
        options=list(options), value=None, layout=widgets.Layout(width="max-content", max_width="100%"), style=LABELS
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
    listed = "".join(f"<li>{html.escape(option)}</li>" for option in options)
    return Panel([widgets.HTML(heading), choices, button, verdict], still=f"<p>{heading}</p><ul>{listed}</ul>")
