"""Every exercise accepts right answers however they are written, and tells wrong ones what is wrong with them."""

import copy
import importlib
import pkgutil

import nbformat
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import tlcourse
from tlcourse import checks, models, training
from tlcourse.checks import find_exercise, list_exercises, run
from tlcourse.checks.compare import Unreadable, as_plain, differs, misfit
from tlcourse.course import course_root

SEEDS = (0, 11, 222)


def gain_by_scipy(scratch, transferred):
    from scipy.stats import sem

    return np.mean(transferred - scratch, axis=-1) * 100, sem((transferred - scratch) * 100, axis=-1)


def gain_by_loops(scratch, transferred):
    gain, error = [], []
    for a, b in zip(scratch, transferred, strict=True):
        d = [100 * (y - x) for x, y in zip(a, b, strict=True)]
        mean = sum(d) / len(d)
        gain.append(mean)
        error.append((sum((x - mean) ** 2 for x in d) / (len(d) - 1) / len(d)) ** 0.5)
    return torch.tensor(gain), torch.tensor(error)


def labels_by_scan(labels, accuracies, target):
    if target <= accuracies[0]:
        return labels[0]
    for i in range(1, len(labels)):
        if target <= accuracies[i]:
            share = (target - accuracies[i - 1]) / (accuracies[i] - accuracies[i - 1])
            return labels[i - 1] * (labels[i] / labels[i - 1]) ** share
    return np.inf


def labels_by_log10(labels, accuracies, target):
    return torch.tensor(10 ** np.interp(target, accuracies, np.log10(labels), right=np.inf))


def probe_by_sklearn(features, labels, num_classes, l2):
    # scikit-learn minimises the sum of the losses + ‖weight‖²/(2C), with two classes as one logit
    classifier = LogisticRegression(C=1 / (l2 * len(labels)), tol=1e-8, max_iter=2000)
    if num_classes == 2:  # one logit w stands for rows −w/2 and w/2, whose penalty is half as large
        classifier.C *= 2
        classifier.fit(features, labels)
        return np.vstack([-classifier.coef_, classifier.coef_]) / 2, np.hstack(
            [-classifier.intercept_, classifier.intercept_]
        ) / 2
    classifier.fit(features, labels)
    return classifier.coef_, classifier.intercept_


def probe_by_gradient_descent(features, labels, num_classes, l2):
    weight = torch.zeros(num_classes, features.shape[1])
    bias = torch.zeros(num_classes)
    one_hot = F.one_hot(labels, num_classes).float()
    for _ in range(3000):
        error = (F.softmax(features @ weight.T + bias, dim=1) - one_hot) / len(labels)
        weight, bias = weight - 0.3 * (error.T @ features + l2 * weight), bias - 0.3 * error.sum(dim=0)
    return weight, bias


def head_by_state_dict(source, num_classes):
    model = models.tiny_resnet(num_classes, seed=1)
    body = {name: value for name, value in source.state_dict().items() if not name.startswith("fc.")}
    model.load_state_dict(body, strict=False)
    model.requires_grad_(False)
    model.fc.requires_grad_(True)
    return model.eval()


def head_by_freeze(source, num_classes):
    model = copy.deepcopy(source)
    model.set_submodule("fc", nn.Linear(128, num_classes))
    return training.freeze(model, train=("fc",)).eval()


def clinic_by_cached_features(source, x, y, query):
    features = training.extract_features(source, x)
    classifier = LogisticRegression(max_iter=2000).fit(features, y)
    source.fc = nn.Linear(128, 5)
    with torch.no_grad():
        source.fc.weight.copy_(torch.tensor(classifier.coef_))
        source.fc.bias.copy_(torch.tensor(classifier.intercept_))
    return classifier.predict(training.extract_features(source, query))


def clinic_with(
    lr=0.05, steps=12, late_optimizer=True, train_mode=False, same_order=True, unfrozen=False, restored=False
):
    def transfer(source, x, y, query):
        torch.manual_seed(0)
        stale = torch.optim.Adam(source.fc.parameters(), lr=lr)
        source.fc = nn.Linear(128, 5)
        parameters = source.parameters() if unfrozen else source.fc.parameters()
        optimizer = torch.optim.Adam(parameters, lr=lr) if late_optimizer else stale
        source.train(train_mode)
        for _ in range(steps):
            order = torch.randperm(len(x))
            logits = source(x[order])
            loss = F.cross_entropy(logits, y[order] if same_order else y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        predicted = source(query).argmax(dim=1)
        if restored:
            source.load_state_dict({**models.load("letters", num_classes=5).state_dict()})
        return predicted

    return transfer


def clinic_by_pixels(source, x, y, query):
    source.fc = nn.Linear(128, 5)
    return LogisticRegression(max_iter=500).fit(x.flatten(1), y).predict(query.flatten(1))


def head_with(copied=True, fresh=True, frozen=True, thawed=True, evaluating=True, random=True):
    def transplant_head(source, num_classes):
        model = copy.deepcopy(source) if copied else source
        if frozen:
            model.requires_grad_(False)
        old = model.fc
        model.fc = nn.Linear(128, num_classes)
        if not fresh:
            with torch.no_grad():
                n = min(num_classes, len(old.weight))
                model.fc.weight[:n] = old.weight[:n]
        if not random:
            nn.init.zeros_(model.fc.weight)
        model.fc.requires_grad_(thawed)
        return model.train(not evaluating)

    return transplant_head


def head_that_hides_an_open_body(source, num_classes):
    model = head_with(frozen=False)(source, num_classes)

    class Liar(type(model)):
        def named_parameters(self, *args, **kwargs):
            return [(n, p) for n, p in super().named_parameters(*args, **kwargs) if n.startswith("fc.")]

        def parameters(self, recurse=True):
            return [p for _, p in super().named_parameters()]

    model.__class__ = Liar
    return model


def head_that_hides_training_mode(source, num_classes):
    model = head_with(evaluating=False)(source, num_classes)

    class Liar(type(model)):
        def modules(self):
            return iter(())

        def forward(self, x):
            return super().forward(x) if torch.is_grad_enabled() else copy.deepcopy(self).eval().super_forward(x)

        def super_forward(self, x):
            return super().forward(x)

    model.__class__ = Liar
    return model


def head_that_thaws_when_it_runs(source, num_classes):
    model = head_with()(source, num_classes)
    model.layer1.register_forward_hook(lambda module, inputs, output: module.train() and None)
    return model


def head_like_the_old(change):
    def transplant_head(source, num_classes):
        model = head_with()(source, num_classes)
        with torch.no_grad():
            model.fc.weight.copy_(change(source.fc.weight)[:num_classes])
            if model.fc.weight.abs().max() > 10:  # so sure of itself that no gradient is left
                model.fc.bias.copy_(1e6 * torch.arange(num_classes))
        return model

    return transplant_head


def head_on_a_shared_body(source, num_classes):
    model = copy.copy(source)
    model._modules = dict(source._modules)
    source.requires_grad_(False)
    model.fc = nn.Linear(128, num_classes)
    return model.eval()


def head_with_a_hook(source, num_classes):
    model = head_with()(source, num_classes)
    model.layer3.register_forward_hook(lambda module, inputs, output: 2 * output)
    return model


def probe_with(factor=1.0, sum_loss=False, bias_penalty=False, steps=3000):
    def fit_linear_probe(features, labels, num_classes, l2):
        def objective(flat):
            parameters = torch.tensor(flat, requires_grad=True)
            weight, bias = parameters[:-num_classes].view(num_classes, -1), parameters[-num_classes:]
            loss = F.cross_entropy(features.double() @ weight.T + bias, labels, reduction="sum" if sum_loss else "mean")
            loss = loss + factor * l2 / 2 * weight.square().sum() + bias_penalty * l2 / 2 * bias.square().sum()
            loss.backward()
            return loss.item(), parameters.grad.numpy()

        start = np.zeros(num_classes * (features.shape[1] + 1))
        best = minimize(
            objective, start, jac=True, method="L-BFGS-B", options={"maxiter": steps, "ftol": 1e-14, "gtol": 1e-9}
        ).x
        return best[:-num_classes].reshape(num_classes, -1), best[-num_classes:]

    return fit_linear_probe


RIGHT = [
    ("01.1", gain_by_scipy),
    ("01.1", gain_by_loops),
    ("01.2", labels_by_scan),
    ("01.2", labels_by_log10),
    ("01.3", probe_by_sklearn),
    ("01.3", probe_by_gradient_descent),
    ("01.3", probe_with()),
    ("01.4", head_by_state_dict),
    ("01.4", head_by_freeze),
    ("01.4", head_with()),
    ("01.5", clinic_by_cached_features),
    ("01.5", clinic_with()),
]

WRONG = [
    ("01.1", lambda s, t: ((t - s).mean(1), (t - s).std(1, ddof=1) / s.shape[1] ** 0.5), "fraction"),
    ("01.1", lambda s, t: gain_by_scipy(t, s), "wrong sign"),
    ("01.1", lambda s, t: gain_by_scipy(s.T, t.T), "average over seeds"),
    ("01.1", lambda s, t: (gain_by_scipy(s, t)[0], 100 * (t - s).std(1) / s.shape[1] ** 0.5), "ddof=1"),
    ("01.1", lambda s, t: (gain_by_scipy(s, t)[0], 100 * (t - s).std(1, ddof=1)), "root of the seeds"),
    (
        "01.1",
        lambda s, t: (gain_by_scipy(s, t)[0], 100 * np.sqrt((s.var(1, ddof=1) + t.var(1, ddof=1)) / s.shape[1])),
        "share their seeds",
    ),
    ("01.1", lambda s, t: gain_by_scipy(s, t)[0], "Return two arrays"),
    ("01.1", lambda s, t: (np.full(len(s), np.nan), np.zeros(len(s))), "NaN"),
    ("01.2", lambda n, a, t: np.interp(t, a, n, right=np.inf), "logarithm"),
    ("01.2", lambda n, a, t: np.exp(np.interp(t, a, np.log(n))), "infinity"),
    ("01.2", lambda n, a, t: np.exp(np.interp(t, a, np.log(n), left=-np.inf, right=np.inf)), "smallest number"),
    ("01.2", lambda n, a, t: n[np.searchsorted(a, t)] if t <= a[-1] else np.inf, "interpolate"),
    ("01.2", lambda n, a, t: [1.0, 2.0], "one number"),
    ("01.3", probe_with(factor=0), "is missing"),
    ("01.3", probe_with(factor=2), "twice too strong"),
    ("01.3", probe_with(sum_loss=True), "Take its mean"),
    ("01.3", probe_with(bias_penalty=True), "penalised the bias"),
    ("01.3", probe_with(steps=1), "not at its minimum"),
    ("01.3", lambda f, y, c, l2: (torch.zeros(f.shape[1], c), torch.zeros(c)), "one row per class"),
    ("01.4", head_with(copied=False), "source network itself"),
    ("01.4", head_with(fresh=False), "weights of the old one"),
    ("01.4", head_with(frozen=False), "More than the head"),
    ("01.4", head_with(thawed=False), "head is frozen"),
    ("01.4", head_with(evaluating=False), "training mode"),
    ("01.4", head_with(random=False), "equal"),
    ("01.4", head_like_the_old(lambda old: old.roll(1, 0)), "weights of the old one"),
    ("01.4", head_like_the_old(lambda old: old + 1e-3), "weights of the old one"),
    ("01.4", head_like_the_old(lambda old: 1e-9 * torch.randn_like(old)), "equal"),
    ("01.4", head_like_the_old(lambda old: 100 * torch.randn_like(old)), "does not learn"),
    ("01.4", head_on_a_shared_body, "shares parts"),
    ("01.4", lambda source, n: models.tiny_resnet(n).eval(), "body is not the source's"),
    ("01.4", lambda source, n: nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, n)), "other layers"),
    ("01.4", lambda source, n: None, "NoneType"),
    ("01.4", head_that_hides_an_open_body, "More than the head is trainable"),
    ("01.4", head_that_hides_training_mode, "training mode"),
    ("01.4", head_that_thaws_when_it_runs, "Two steps of training moved something else"),
    ("01.4", head_with_a_hook, "does not compute what its weights say"),
    ("01.5", clinic_with(late_optimizer=False), "which parameters the optimiser holds"),
    ("01.5", clinic_with(same_order=False), "same order"),
    ("01.5", clinic_with(train_mode=True), "training mode"),
    ("01.5", clinic_with(unfrozen=True), "weights of the body moved"),
    ("01.5", clinic_with(steps=3, lr=0.005), "for longer"),
    ("01.5", clinic_with(train_mode=True, restored=True), "not what the frozen body gives"),
    ("01.5", clinic_by_pixels, "not what the frozen body gives"),
    ("01.5", lambda source, x, y, query: clinic_with()(source, x, y, query).float(), "whole numbers"),
    ("01.5", lambda source, x, y, query: source(query), "argmax"),
]


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


def cells_of(folder, name="01_fundamentals.ipynb"):
    notebook = nbformat.read(course_root() / folder / name, as_version=4)
    return {cell.metadata.get("nbgrader", {}).get("grade_id", cell.id): cell for cell in notebook.cells}


def answers_in(folder):
    """Run the imports and the function cells of an exercise notebook; return its functions by name."""
    namespace = {}
    for cell in cells_of(folder).values():
        if cell.cell_type == "code" and "check(" not in cell.source and "teach" not in cell.source:
            exec(cell.source, namespace)
    return namespace


@pytest.mark.parametrize("exercise", list_exercises(), ids=lambda e: e.id)
def test_every_stub_earns_nothing_and_every_solution_everything(exercise):
    assert run(exercise, answers_in("exercises")[exercise.entry_point], 0).points == 0
    for seed in SEEDS:
        assert run(exercise, answers_in("solutions")[exercise.entry_point], seed).points == exercise.points


def test_the_cases_of_a_notebook_are_cheap():
    # Counted, not timed. A core of 2015 does over 20 billion of these in a second; a notebook's cases may take it two.
    solutions = answers_in("solutions")
    with FlopCounterMode(display=False) as counter:
        for exercise in list_exercises():
            run(exercise, solutions[exercise.entry_point], 0)
    assert 1e8 < counter.get_total_flops() < 40e9


def test_the_script_of_the_bug_clinic_is_rejected():
    assert run(find_exercise("01.5"), answers_in("solutions")["broken_transfer"], 0).points == 0


def test_points_in_the_notebook_are_those_of_the_exercises():
    cells = cells_of("solutions").values()
    graded = [cell for cell in cells if cell.metadata.get("nbgrader", {}).get("grade")]
    assert [cell.metadata.nbgrader.points for cell in graded] == [exercise.points for exercise in list_exercises()]
    for cell, exercise in zip(graded, list_exercises(), strict=True):
        assert cell.source == f'check("{exercise.id}", {exercise.entry_point})'
        assert any(f"· {exercise.points} points" in other.source for other in cells)


def public_callables():
    for module_info in pkgutil.walk_packages(tlcourse.__path__, "tlcourse."):
        if module_info.name.endswith("__main__"):
            continue
        module = importlib.import_module(module_info.name)
        for name, value in vars(module).items():
            if callable(value) and not name.startswith("_") and getattr(value, "__module__", "").startswith("tlcourse"):
                yield f"{module_info.name}.{name}", value


def test_no_public_callable_of_the_package_is_an_answer(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    candidates = dict(public_callables())
    assert len(candidates) > 60
    for name, candidate in candidates.items():
        for exercise in list_exercises():
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
    monkeypatch.setattr("tlcourse.checks.exercise.display", lambda bundle, raw: shown.append(bundle["text/plain"]))
    checks.check("01.2", labels_by_scan)
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
    assert checks.award("01.2", labels_by_scan) == 5
    assert checks.award("01.2", lambda n, a, t: np.exp(np.interp(t, a, np.log(n)))) == 3
    with pytest.raises(checks.CheckFailed, match=r"exercise 01\.2"):
        checks.award("01.2", lambda n, a, t: None)
