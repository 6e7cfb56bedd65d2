"""Every exercise accepts right answers however they are written, and tells wrong ones what is wrong with them."""

import importlib
import pkgutil
import sys
from dataclasses import replace
from functools import cache

import nbformat
import numpy as np
import pytest
import torch
from answers import load_answers
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

import tlcourse
from tlcourse import checks
from tlcourse.checks import find_exercise, list_exercises, run
from tlcourse.checks.compare import Unreadable, as_plain, differs, misfit
from tlcourse.course import course_root

SEEDS = (0, 11, 222)
ANSWERS = load_answers()
RIGHT = [row for module in ANSWERS.values() for row in module.RIGHT]
WRONG = [row for module in ANSWERS.values() for row in module.WRONG]
NOTEBOOKS = {path.stem[:2]: path.name for path in (course_root() / "solutions").glob("*.ipynb")}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("id, answer", RIGHT)
def test_a_right_answer_earns_everything_under_every_seed(id, answer, seed):
    verdict = run(find_exercise(id), answer, seed)
    assert verdict == (find_exercise(id).points, "Every case passes.", "ok")


@pytest.mark.parametrize("id, answer, message", WRONG)
def test_a_wrong_answer_hears_why_and_earns_at_most_a_part(id, answer, message):
    exercise = find_exercise(id)
    verdict = run(exercise, answer, seed=0)
    assert message in verdict.message
    assert verdict.points < exercise.points if exercise.parts else verdict.points == 0


@pytest.mark.parametrize(
    "answer, points",
    [
        (lambda n, a, t: np.exp(np.interp(t, a, np.log(n))), 3),  # right on the curve, not beyond it
        (lambda n, a, t: n[0] if t < a[0] else np.inf, 2),  # the other way round
        (lambda n, a, t: 1 / 0, 0),
    ],
)
def test_a_part_earns_its_own_points(answer, points):
    assert run(find_exercise("01.2"), answer, seed=0).points == points


def test_parts_that_do_not_add_up_are_refused():
    with pytest.raises(ValueError, match=r"parts: those of exercise 99\.1"):
        checks.Exercise("99.1", "t", 5, "f", 1, None, None, parts={"a": 2})


def test_every_exercise_has_two_right_and_two_wrong_answers():
    for exercise in list_exercises():
        assert sum(id == exercise.id for id, _ in RIGHT) >= 2
        assert sum(id == exercise.id for id, _, _ in WRONG) >= 2


def cells_of(folder, lesson):
    notebook = nbformat.read(course_root() / folder / NOTEBOOKS[lesson], as_version=4)
    return {cell.metadata.get("nbgrader", {}).get("grade_id", cell.id): cell for cell in notebook.cells}


@cache
def answers_in(folder, lesson):
    """Run the imports and the function cells of an exercise notebook; return its functions by name."""
    namespace = {}
    for cell in cells_of(folder, lesson).values():
        if cell.cell_type == "code" and "check(" not in cell.source and "teach" not in cell.source:
            exec(cell.source, namespace)
    return namespace


def answer_to(exercise, folder):
    return answers_in(folder, exercise.id[:2])[exercise.entry_point]


def exercises_of(lesson):
    return [exercise for exercise in list_exercises() if exercise.id.startswith(f"{lesson}.")]


@pytest.mark.parametrize("exercise", list_exercises(), ids=lambda e: e.id)
def test_every_stub_earns_nothing_and_every_solution_everything(exercise):
    assert run(exercise, answer_to(exercise, "exercises"), 0).points == 0
    for seed in SEEDS:
        assert run(exercise, answer_to(exercise, "solutions"), seed).points == exercise.points


@pytest.mark.parametrize("lesson", NOTEBOOKS)
def test_the_cases_of_a_notebook_are_cheap(lesson):
    # Counted, not timed. A core of 2015 does over 20 billion of these in a second; a notebook's cases may take it two.
    with FlopCounterMode(display=False) as counter:
        for exercise in exercises_of(lesson):
            run(exercise, answer_to(exercise, "solutions"), 0)
    assert 1e8 < counter.get_total_flops() < 40e9


@pytest.mark.parametrize(
    "id, script",
    [
        ("01.5", "broken_transfer"),
        ("02.6", "broken_classify"),
        ("03.7", "broken_tune_head"),
        ("04.6", "broken_gap"),
        ("05.6", "broken_watch"),
        ("06.6", "broken_adapt"),
        ("07.5", "broken_rank_sources"),
    ],
)
def test_the_script_of_a_bug_clinic_is_rejected(id, script):
    assert run(find_exercise(id), answers_in("solutions", id[:2])[script], 0).points == 0


@pytest.mark.parametrize("lesson", NOTEBOOKS)
def test_points_in_the_notebook_are_those_of_the_exercises(lesson):
    cells, exercises = cells_of("solutions", lesson).values(), exercises_of(lesson)
    graded = [cell for cell in cells if cell.metadata.get("nbgrader", {}).get("grade")]
    assert [cell.metadata.nbgrader.points for cell in graded] == [exercise.points for exercise in exercises]
    for cell, exercise in zip(graded, exercises, strict=True):
        assert cell.source == f'check("{exercise.id}", {exercise.entry_point})'
        assert any(f"· {exercise.points} points" in other.source for other in cells)
    assert f"{sum(exercise.points for exercise in exercises)} points" in next(iter(cells)).source


def public_callables():
    for module_info in pkgutil.walk_packages(tlcourse.__path__, "tlcourse."):
        if module_info.name.endswith("__main__"):
            continue
        module = importlib.import_module(module_info.name)
        for name, value in vars(module).items():
            if callable(value) and not name.startswith("_") and getattr(value, "__module__", "").startswith("tlcourse"):
                yield f"{module_info.name}.{name}", value


@pytest.mark.filterwarnings("ignore")  # what the callables say of arguments that are not meant for them
def test_no_public_callable_of_the_package_is_an_answer(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    # grading.child.serve takes one argument, like an answer to 04.3, and makes its process a student's: undone at the end.
    monkeypatch.setattr(checks, "check", checks.check)
    monkeypatch.setattr(checks, "award", checks.award)
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
    candidates = dict(public_callables())
    assert len(candidates) > 60
    exercises = []
    # The cases are drawn once, not once for each candidate; run() copies their inputs.
    for exercise in list_exercises():
        drawn = exercise.cases(np.random.default_rng(0))
        exercises.append(replace(exercise, cases=lambda rng, drawn=drawn: drawn))
    for name, candidate in candidates.items():
        for exercise in exercises:
            try:
                points = run(exercise, candidate, seed=0).points
            except (SystemExit, Exception):
                points = 0
            assert points == 0, f"{name} answers exercise {exercise.id}"


def test_the_same_seed_gives_the_same_cases_and_another_gives_others():
    def fingerprint(exercise, seed):
        return [str(case.inputs) for case in exercise.cases(np.random.default_rng(seed))]

    for exercise in list_exercises():
        assert fingerprint(exercise, 1) == fingerprint(exercise, 1) != fingerprint(exercise, 2)


def test_check_shows_the_verdict_and_raises_only_under_strict(monkeypatch):
    shown = []
    monkeypatch.setattr("tlcourse.checks.front.display", lambda bundle, raw: shown.append(bundle["text/plain"]))
    checks.check("01.2", ANSWERS["fundamentals"].labels_by_scan)
    checks.check("01.2", lambda n, a, t: 1)
    assert shown[0] == "✓ Exercise 01.2, 5 of 5 points: Every case passes."
    assert shown[1].startswith("✗ Exercise 01.2, 0 of 5 points: ")
    monkeypatch.setenv("TLCOURSE_STRICT", "1")
    with pytest.raises(checks.CheckFailed, match=r"exercise 01\.2"):
        checks.check("01.2", lambda n, a, t: 1)


def test_an_answer_that_raises_gets_its_error_and_a_stub_a_kind_word():
    def stub(*args):
        raise NotImplementedError

    assert "not written yet" in run(find_exercise("01.2"), stub, 0).message
    assert "ZeroDivisionError" in run(find_exercise("01.2"), lambda *a: 1 / 0, 0).message


def test_an_answer_cannot_change_the_inputs_that_it_is_judged_by():
    def meddle(scratch, transferred):
        scratch[:], transferred[:] = 0, 0
        return np.zeros(len(scratch)), np.zeros(len(scratch))

    assert run(find_exercise("01.1"), meddle, 0).points == 0


def test_an_unknown_exercise_is_named():
    with pytest.raises(ValueError, match="id='09.9'"):
        checks.check("09.9", print)


@pytest.mark.parametrize(
    "got, message",
    [
        (np.array([1.0, 2.0]), None),
        (torch.tensor([1.0, 2.0]), None),
        ([1, 2], None),
        ([1.0, 2.1], "not the right value"),
        ([1.0], "want shape"),
        ([1.0, float("nan")], "NaN"),
        ("12", "want an array"),
        (np.array(["a", "b"]), "want an array"),
        (None, "want an array"),
    ],
)
def test_the_comparator_says_how_outputs_differ(got, message):
    result = differs("x", got, np.array([1.0, 2.0]))
    assert result is None if message is None else message in result


def test_the_comparator_asks_no_object_for_its_opinion():
    class Agreeable(torch.Tensor):
        def __eq__(self, other):
            return True

    class Always:
        def __array__(self, dtype=None, copy=None):
            return np.array([1.0, 2.0])

    wanted = np.array([1.0, 2.0])
    for value in (torch.zeros(2).as_subclass(Agreeable), Always()):
        assert "want an array" in differs("x", value, wanted)
        assert as_plain([value]) == [Unreadable(type(value).__name__)]
        assert type(value).__name__ in differs("x", as_plain(value), wanted)


@pytest.mark.parametrize(
    "got, want, message",
    [
        ([float("inf"), 2.0], np.array([np.inf, 2.0]), None),
        ([float("-inf"), 2.0], np.array([np.inf, 2.0]), "not the right value"),
        (3, 3, None),
        (True, 1, "want an array of numbers, got bool"),
        (1, True, "want a bool, got int"),
        ("a", "a", None),
        ("a", "b", "not the right value"),
        (None, "b", "want a str, got NoneType"),
        (0, None, "want nothing"),
        ({"a": 1, "b": [1, "x"]}, {"b": (1.0, "x"), "a": 1}, None),
        ({"a": 1}, {"b": 1}, "want a dict with the keys ['b'], got ['a']"),
        ({"a": (1, "y")}, {"a": (1, "x")}, "x['a'][1]: got 'y'"),
        ([1, "x", 2], [1, "x"], "want 2 items, got 3"),
        (torch.ones(2, dtype=torch.int64), torch.ones(2), None),
    ],
)
def test_the_comparator_reads_strings_and_containers(got, want, message):
    result = differs("x", got, want)
    assert result is None if message is None else message in result


@given(st.lists(st.floats(allow_nan=False), min_size=1, max_size=5))
def test_the_comparator_accepts_every_number_as_itself(numbers):
    assert differs("x", numbers, np.array(numbers)) is None


@pytest.mark.parametrize(
    "got, message",
    [
        (torch.tensor([1, 2]), None),
        (np.array([1, 2], dtype=np.uint8), None),
        ([1, 2], None),
        (torch.tensor([1.0, 2.0]), "integer dtype), got torch.float32"),
        ([1, 2.0], "integer dtype), got list"),
        (torch.tensor([True, False]), "integer dtype), got torch.bool"),
        (torch.tensor([1]), "want shape (2,), got (1,)"),
    ],
)
def test_a_misfit_is_named_before_values_are_looked_at(got, message):
    result = misfit("x", got, (2,), kind="integers")
    assert result is None if message is None else message in result


def test_as_plain_copies_and_has_limits():
    tensor = torch.zeros(2, requires_grad=True)
    plain = as_plain({"t": (tensor, np.float32(1)), "n": None})
    assert plain["t"][0] is not tensor and not plain["t"][0].requires_grad and type(plain["t"][1]) is np.float32
    assert as_plain([torch.zeros(2, device="meta"), 1j, {(): 1}, np.array(["a"])]) == [
        Unreadable("sparse, meta or complex tensor"),
        Unreadable("complex"),
        Unreadable("dict"),
        Unreadable("str32 array"),
    ]
    deep = []
    for _ in range(40):
        deep = [deep]
    for value in (deep, [0] * 200_000):
        with pytest.raises(ValueError, match="nested deeper"):
            as_plain(value)


def test_a_folder_of_the_instructor_adds_exercises(monkeypatch, tmp_path):
    source = "from tlcourse.checks import Case, Exercise\n"
    source += "EXERCISES = [Exercise('90.1', 'One', 1, 'one', 1, lambda rng: [Case((), {})], lambda case, out: None)]"
    (tmp_path / "90_own.py").write_text(source)
    monkeypatch.setenv("TLCOURSE_CHECKS", str(tmp_path))
    assert find_exercise("90.1").title == "One" and find_exercise("01.1")
    (tmp_path / "91_bad.py").write_text("1 / 0")
    with pytest.raises(ValueError, match=r"91_bad\.py is no module of exercises: ZeroDivisionError"):
        find_exercise("90.1")


def test_award_returns_points_and_raises_for_none():
    assert checks.award("01.2", ANSWERS["fundamentals"].labels_by_scan) == 5
    assert checks.award("01.2", lambda n, a, t: np.exp(np.interp(t, a, np.log(n)))) == 3
    with pytest.raises(checks.CheckFailed, match=r"exercise 01\.2"):
        checks.award("01.2", lambda n, a, t: None)
