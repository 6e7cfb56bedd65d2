import json
import math
import statistics

import matplotlib.pyplot as plt
import pytest
import torch

from tlcourse import models, teach, training
from tlcourse.measure.strategy_table import LEARNING_RATES, SHIFTS


@pytest.fixture
def shown(monkeypatch):
    """What a notebook would display, as a list of MIME bundles."""
    bundles = []
    for module in ("claims", "figures"):
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
    assert ("did not hold in this run" in shown[0]["text/html"]) is not held
    assert "A fact &amp; more." in shown[0]["text/html"] and "A fact & more." in shown[0]["text/plain"]


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


OPTIONS = {"two": "Because <b>1 + 1</b>.", "three": "You counted one twice."}


def test_a_quiz_explains_the_answer_that_was_chosen():
    _, choices, button, verdict = teach.quiz("1 + 1?", OPTIONS, answer="two").children
    assert choices.value is None
    button.click()
    assert "Choose an answer first" in verdict.value
    choices.value = "three"
    button.click()
    assert "Not quite" in verdict.value and "counted one twice" in verdict.value
    choices.value = "two"
    button.click()
    assert "Right" in verdict.value and "&lt;b&gt;" in verdict.value and 'role="status"' in verdict.value


@pytest.mark.parametrize(
    "options, answer, named",
    [
        (OPTIONS, "four", "answer='four'"),
        ({"two": "x"}, "two", "options"),
        ({"two": "x", "three": " "}, "two", "options"),
    ],
)
def test_a_quiz_without_explanations_is_refused(options, answer, named):
    with pytest.raises(ValueError, match=named):
        teach.quiz("?", options, answer)


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


def test_the_decision_guide_answers_anew_when_an_answer_changes():
    box = teach.decision_guide()
    inputs, plan = {child.description: child for child in box.children[:-1]}, box.children[-1]
    first = plan.value
    assert first.count("<li>") >= 3 and "Measure probe_lead" not in first  # no label yet: label some first
    inputs["labels per class"].value = 20
    assert "Measure probe_lead" in plan.value
    inputs["probe lead"].value = -10
    assert "negative transfer" in plan.value and "Measure probe_lead" not in plan.value
    inputs["commercial"].value = "yes"
    assert "licence" in plan.value
    inputs["modality"].value = "text"
    assert "MiniLM" in plan.value


@pytest.mark.parametrize("layer, channels", [("conv1", 32), ("layer3", 128)])
def test_the_feature_explorer_finds_the_image_itself_first(few, layer, channels):
    drawn, alt = teach.draw_features(models.load("letters"), layer, few.x[7], few, count=4)
    assert len(drawn.axes) == 10
    own = few.classes[few.y[7]]
    assert f"strongest of the {channels} activation maps of {layer}" in alt and f"labelled {own}," in alt
    plt.close(drawn)


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


def test_the_equal_budget_table_is_whole_and_made_by_the_strategies_that_exist():
    table = teach.load_results("strategies")
    cells = {(cell["strategy"], cell["labels"], cell["steps"]): cell for cell in table["cells"]}
    assert len(cells) == len(table["cells"]) == len(LEARNING_RATES) * 9
    assert {strategy for strategy, _, _ in cells} == {"scratch", *training.STRATEGIES} == set(LEARNING_RATES)
    assert set(table["shifts"]) == set(SHIFTS) and len(table["seeds"]) == 10
    for (strategy, _, _), cell in cells.items():
        for column in ("val", "test", *SHIFTS, "source"):
            assert len(cell[column]) == 10
            assert strategy == "scratch" or all(0 <= value <= 1 for value in cell[column])
        assert set(cell["lr"]) <= set(LEARNING_RATES[strategy])


def test_unknown_results_are_refused_by_name():
    with pytest.raises(ValueError, match="name='nothing': there are results for adaptation"):
        teach.load_results("nothing")


@pytest.mark.parametrize("rank_by, column", [("target", "test"), ("source kept", "source")])
def test_the_strategies_are_drawn_in_the_order_that_is_asked_for(rank_by, column):
    table = teach.load_results("strategies")
    figure, alt = teach.draw_strategies(table, 5, 50, rank_by)
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    plt.close(figure)
    cells = {cell["strategy"]: cell for cell in table["cells"] if (cell["labels"], cell["steps"]) == (5, 50)}
    means = [statistics.mean(cells[name][column]) for name in names if cells[name][column][0] is not None]
    assert len(names) == 9 and means == sorted(means, reverse=True)
    assert f"{names[0]} {means[0]:.2f}" in alt


def test_what_the_table_does_not_have_is_named():
    table = teach.load_results("strategies")
    with pytest.raises(ValueError, match="labels=3, steps=50: the table has"):
        teach.draw_strategies(table, 3, 50)
    with pytest.raises(ValueError, match="rank_by='speed'"):
        teach.draw_strategies(table, 5, 50, "speed")


def test_draw_distance_names_the_dial_s_points_and_the_rank_correlation():
    shifts = {("blur", 0.1): {"loss": 0.0, "MMD": 1.0}, ("blur", 0.5): {"loss": 0.3, "MMD": 2.0}}
    shifts["noise", 0.2] = {"loss": 0.9, "MMD": 1.5}
    figure, alt = teach.draw_distance(shifts, "blur", "MMD")
    assert "rank correlation 0.50" in alt and "0.5: 2 costs 0.30" in alt and "0.2" not in alt
    assert [list(line.get_xdata()) for line in figure.axes[0].lines] == [[1.0, 2.0, 1.5], [1.0, 2.0]]
    for dial, distance in (("turn", "MMD"), ("blur", "CORAL")):
        with pytest.raises(ValueError, match=f"dial='{dial}', distance='{distance}'"):
            teach.draw_distance(shifts, dial, distance)
    teach.show(figure, alt)
