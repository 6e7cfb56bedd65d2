import importlib
import json
import math
import re

import matplotlib.pyplot as plt
import pandas as pd
import pytest
import torch

from tlcourse import teach
from tlcourse.course.lessons import list_lessons


@pytest.fixture
def shown(monkeypatch):
    """What a notebook would display, as a list of MIME bundles."""
    bundles = []
    for module in ("claims", "figures", "tables", "widgets"):
        monkeypatch.setattr(f"tlcourse.teach.{module}.display", lambda bundle, raw: bundles.append(bundle))
    return bundles


def figure():
    fig, axis = plt.subplots()
    axis.plot([1, 2])
    return fig


@pytest.mark.parametrize(
    "value, bounds, held",
    [
        (0.5, {"at_least": 0.5}, True),
        (0.49, {"at_least": 0.5}, False),
        (0.5, {"at_most": 0.5}, True),
        (0.51, {"at_most": 0.5}, False),
        (0.5, {"at_least": 0.4, "at_most": 0.6}, True),
        (0.7, {"at_least": 0.4, "at_most": 0.6}, False),
        (torch.tensor(0.5), {"at_least": 0.5}, True),
        (math.nan, {"at_least": 0.0}, False),
        (math.nan, {"at_most": 0.0}, False),
    ],
)
def test_a_claim_says_whether_it_held_and_never_stops_a_learner(shown, value, bounds, held):
    teach.claim("99.1", "A fact & more.", value, **bounds)
    page, plain = shown[0]["text/html"], shown[0]["text/plain"]
    assert ("did not hold in this run" in page) is ("<details" in page and " open>" in page) is not held
    assert plain.startswith("✓ Claim 99.1: A fact & more. (measured" if held else "! Claim 99.1: did not hold")
    line, details = page.split("</summary>")
    assert "A fact &amp; more." in line and "measured" not in line and "Claim 99.1: measured" in details


def test_a_missed_claim_raises_under_strict(shown, monkeypatch):
    monkeypatch.setenv("TLCOURSE_STRICT", "1")
    teach.claim("99.1", "Holds.", 1, at_least=0)
    for value in (-1, math.nan):
        with pytest.raises(teach.ClaimFailed, match=r"99\.2.*at least 0"):
            teach.claim("99.2", "Fails.", value, at_least=0)


def test_claims_are_recorded_even_when_they_fail(shown, monkeypatch, tmp_path):
    monkeypatch.setenv("TLCOURSE_CLAIMS", str(tmp_path / "claims.jsonl"))
    teach.claim("99.1", "Holds.", 3, at_least=1)
    monkeypatch.setenv("TLCOURSE_STRICT", "1")
    with pytest.raises(teach.ClaimFailed):
        teach.claim("99.2", "Fails.", 5, at_most=4, shipped=True)
    first, second = map(json.loads, (tmp_path / "claims.jsonl").read_text().splitlines())
    assert (first["held"], first["margin"], first["shipped"]) == (True, 2, False)
    assert (second["held"], second["margin"], second["shipped"]) == (False, -1, True)


def test_the_claims_of_a_session_are_counted_once_each(shown, capsys):
    teach.setup()
    teach.claim("99.1", "Fails at first.", 0, at_least=1)
    teach.claim("99.1", "Holds.", 1, at_least=1)
    teach.claim("99.2", "Ships.", 1, at_least=1, shipped=True)
    capsys.readouterr()
    teach.claims_held()
    assert capsys.readouterr().out == "Claims: 2 of 2 held in this run (1 read from the course).\n"
    teach.claim("99.3", "Fails.", 0, at_least=1)
    teach.claims_held()
    assert capsys.readouterr().out.endswith("(1 read from the course); not held: 99.3.\n")
    teach.setup()
    capsys.readouterr()
    teach.claims_held()
    assert capsys.readouterr().out == "Claims: 0 of 0 held in this run.\n"


def test_claims_refuse_what_is_no_claim():
    with pytest.raises(ValueError, match="without a bound"):
        teach.claim("99.1", "Nothing.", 1)
    with pytest.raises(TypeError, match="value: want one number"):
        teach.claim("99.1", "Many.", [1, 2], at_least=0)


def test_a_figure_carries_its_alt_text_and_is_closed(shown):
    teach.show(figure(), alt='A line from 1 to 2, called "rising".')
    assert 'alt="A line from 1 to 2, called &quot;rising&quot;."' in shown[0]["text/html"]
    assert shown[0]["text/html"].startswith("<img") and not plt.get_fignums()


def test_alt_text_that_says_nothing_is_refused(shown):
    with pytest.raises(ValueError, match="alt='plot'"):
        teach.show(figure(), alt="plot")
    plt.close("all")


QUIZ = """
["99.1"]
question = "1 + 1?"
answer = "two"
options = [
  { text = "two", why = "Because <b>1 + 1</b>." },
  { text = "three", why = "You counted one twice." },
]
"""


@pytest.fixture
def quizzes(tmp_path, monkeypatch):
    """A lesson 99 with one quiz; the path of its file."""
    (tmp_path / "quizzes.toml").write_text(QUIZ)
    lesson = list_lessons()[0]._replace(number="99", folder=tmp_path)
    monkeypatch.setattr(importlib.import_module("tlcourse.teach.quiz"), "list_lessons", lambda: (lesson,))
    return tmp_path / "quizzes.toml"


def answer_wrongly_then_rightly(box):
    _, choices, button, verdict = box.children
    assert choices.value is None
    button.click()
    assert "Choose an answer first" in verdict.value
    choices.value = "three"
    button.click()
    assert "Not quite" in verdict.value and "counted one twice" in verdict.value
    choices.value = "two"
    button.click()
    assert "Right" in verdict.value and "&lt;b&gt;" in verdict.value and 'role="status"' in verdict.value


def test_a_quiz_explains_the_answer_that_was_chosen(quizzes):
    answer_wrongly_then_rightly(teach.quiz("99.1"))


def test_a_quiz_of_an_older_notebook_brings_its_own_question():
    options = {"two": "Because <b>1 + 1</b>.", "three": "You counted one twice."}
    answer_wrongly_then_rightly(teach.quiz("1 + 1?", options, answer="two"))


def test_a_page_without_a_kernel_shows_the_question_and_no_answer(quizzes, shown):
    teach.quiz("99.1")._ipython_display_()
    page = shown[0]["text/html"]
    assert "1 + 1?" in page and page.index("<li>two</li>") < page.index("<li>three</li>") and "Because" not in page
    assert shown[0]["application/vnd.jupyter.widget-view+json"]["version_major"] == 2


@pytest.mark.parametrize(
    "old, new, named",
    [
        ('answer = "two"', 'answer = "four"', "answer='four'"),
        ('answer = "two"\n', "", "answer=None"),
        ('{ text = "three", why = "You counted one twice." },', "", "at least two"),
        ("You counted one twice.", " ", "each with an explanation"),
        (', why = "You counted one twice."', "", "each with an explanation"),
        ("99.1", "99.2", "id='99.1': .* has 99.2; add it there"),
    ],
)
def test_a_quiz_that_lacks_something_names_its_file(quizzes, old, new, named):
    quizzes.write_text(QUIZ.replace(old, new))
    with pytest.raises(ValueError, match=named) as raised:
        teach.quiz("99.1")
    assert "quizzes.toml" in str(raised.value)


def test_a_quiz_of_no_lesson_says_how_ids_look():
    with pytest.raises(ValueError, match="id='77.1': .* such as '03.2'"):
        teach.quiz("77.1")


# Tables


def cells(bundle):
    """The rows of a shown table: (tag and side, text) of each cell."""
    found = re.findall(r"<tr>(.*?)</tr>", bundle["text/html"])
    return [re.findall(r'<(t[hd](?: scope="\w+")?) style="text-align: (\w+)">(.*?)</', row) for row in found]


def test_a_table_is_captioned_and_its_numbers_stand_on_the_right(shown):
    rows = [
        {"way": "scratch <1>", "parameters": 308_266, "accuracy": 0.91234, "sure": True},
        {"way": "probe", "parameters": 1_290, "accuracy": None, "sure": False},
    ]
    teach.table(rows, "What two ways cost & reach.")
    assert "reach.</caption>" in shown[0]["text/html"] and "cost &amp;" in shown[0]["text/html"]
    head, first, second = cells(shown[0])
    assert head[0] == ('th scope="col"', "left", "way") and head[1] == ('th scope="col"', "right", "parameters")
    assert [text for *_, text in first] == ["scratch &lt;1&gt;", "308,266", "0.912", "True"]
    assert second[2] == ("td", "right", "—") and not any("row" in tag for tag, *_ in first)
    assert shown[0]["text/plain"].startswith("What two ways cost & reach.\n") and "308,266" in shown[0]["text/plain"]


@pytest.mark.parametrize(
    "numbers, written",
    [
        ([0.974, 0.9815, 1.0], ["0.974", "0.982", "1.000"]),
        ([97.64, 100.0, 98.2], ["97.6", "100.0", "98.2"]),
        ([12.34, -0.4, 0.0], ["12.34", "-0.40", "0.00"]),
        ([1234.5, 2345.6], ["1,234", "2,346"]),
        ([3.0, 1e6], ["3", "1,000,000"]),
        ([5.5, 50.5, 1e-5], ["5.50", "50.50", "1e-05"]),
        ([1e-9, 2.5e-9], ["1e-09", "2.5e-09"]),
        ([math.inf, 2.5], ["inf", "2.50"]),
        ([0.0, math.nan], ["0", "—"]),
    ],
)
def test_the_middle_number_of_a_column_has_three_digits(shown, numbers, written):
    teach.table(pd.DataFrame({"x": numbers}), "Numbers.")
    assert [text for ((_, _, text),) in cells(shown[0])[1:]] == written


def test_an_index_is_shown_where_it_says_something(shown):
    frame = pd.DataFrame({"x": [1, 2]}, index=["a", "b"])
    teach.table(frame, "By letter.")
    assert cells(shown[0]) == [
        [("td", "left", ""), ('th scope="col"', "right", "x")],
        [('th scope="row"', "left", "a"), ("td", "right", "1")],
        [('th scope="row"', "left", "b"), ("td", "right", "2")],
    ]
    teach.table(frame.rename_axis("letter"), "By letter.")
    assert cells(shown[1])[0][0] == ('th scope="col"', "left", "letter")
    both = pd.DataFrame({"x": [1, 2]}, index=pd.MultiIndex.from_tuples([("a", 5), ("b", 20)], names=["arm", "labels"]))
    teach.table(both, "By arm and labels.")
    assert [text for *_, text in cells(shown[2])[1]] == ["a", "5", "1"]


@pytest.mark.parametrize("frame, caption", [([], "Nothing."), ([{"x": 1}], " ")])
def test_a_table_without_rows_or_caption_is_refused(shown, frame, caption):
    with pytest.raises(ValueError, match="caption, frame"):
        teach.table(frame, caption)


# Widgets


def test_an_interactive_figure_follows_its_controls():
    def draw(kind, size):
        return figure(), f"A figure of kind {kind} and size {size}."

    box = teach.interactive(draw, kind=["a", "b"], size=(0.0, 1.0, 0.5))
    drop_down, pair, picture = box.children
    field, slider = pair.children
    assert "kind a and size 0.0" in picture.value
    drop_down.value = "b"
    slider.value = 0.5
    assert "kind b and size 0.5" in picture.value and field.value == 0.5 and field.description == "size"


def test_an_interactive_figure_leaves_its_first_picture_where_no_kernel_runs(shown):
    box = teach.interactive(lambda kind: (figure(), f"A figure of the kind {kind}."), kind=["a", "b"])
    box._ipython_display_()
    (bundle,) = shown
    assert '<img alt="A figure of the kind a."' in bundle["text/html"] and "Run this cell" in bundle["text/html"]
    assert bundle["application/vnd.jupyter.widget-view+json"]["model_id"] == box.model_id


def test_a_lab_draws_at_once_and_runs_when_asked():
    asked = []

    def run(kind, size):
        asked.append((kind, size))
        if kind == "b":
            raise ValueError("no <b>")
        return f"{kind} & {size}"

    box = teach.lab(
        lambda kind, size: (figure(), f"A figure of kind {kind} and {size}."),
        run,
        kind=["a", "b"],
        size=[("one", 1), ("two", 2)],
    )
    kind, size, picture, button, sentence = box.children
    assert "kind a and 1" in picture.value and not asked
    size.value = 2
    assert "kind a and 2" in picture.value and not asked
    button.click()
    assert asked == [("a", 2)] and "a &amp; 2" in sentence.value and not button.disabled
    kind.value = "b"
    button.click()
    assert "ValueError: no &lt;b&gt;" in sentence.value and not button.disabled


def test_setup_takes_the_seed_from_the_environment(monkeypatch, capsys):
    monkeypatch.setenv("TLCOURSE_SEED", "7")
    first = (teach.setup(), torch.rand(2))
    second = (teach.setup(), torch.rand(2))
    assert first[0].seed == 7 and torch.equal(first[1], second[1])
    assert "seed 7" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["-1", "seven", "1.5", ""])
def test_setup_names_a_bad_seed(monkeypatch, text):
    monkeypatch.setenv("TLCOURSE_SEED", text)
    with pytest.raises(ValueError, match="TLCOURSE_SEED"):
        teach.setup()


def test_seeds_of_two_sessions_do_not_overlap():
    a, b = (teach.Session(seed, torch.device("cpu")).seeds(1000) for seed in (1, 2))
    assert not set(a) & set(b) and len(set(a)) == 1000


# Shipped results


def test_unknown_results_are_refused_by_name():
    with pytest.raises(ValueError, match="name='nothing': there are results for fine_tuning, negative_transfer"):
        teach.load_results("nothing")
