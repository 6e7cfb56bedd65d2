"""Import paths of older notebooks: each still leads to what it named."""

import importlib

import pytest

from tlcourse import measure, teach
from tlcourse._moved import MODULES, NAMES, RESULTS


@pytest.mark.parametrize("old, new", MODULES.items())
def test_a_moved_module_is_the_one_at_its_new_place(old, new):
    module = importlib.import_module(old)
    assert module is importlib.import_module(new) and module.__spec__.name == new


@pytest.mark.parametrize("package, name", [(package, name) for package, names in NAMES.items() for name in names])
def test_a_moved_name_is_the_one_at_its_new_place(package, name):
    new = importlib.import_module(NAMES[package][name])
    assert importlib.import_module(package).__getattr__(name) is getattr(new, name)


def test_notebooks_as_they_were_find_their_experiments():
    from tlcourse.measure.causes import (  # noqa: F401  # noqa: F401
        CAUSES,
        align,
        alignment_data,
        joint_source,
        read_jointly,
        train_jointly,
        weighed_classes,
    )
    from tlcourse.measure.leaderboard import (  # noqa: F401  # noqa: F401
        CANDIDATES,
        finetune_test,
        load_candidate,
        probe_test,
        score_source,
        target_sets,
    )

    from tlcourse.measure import adaptation

    for name in ("TASKS", "TARGETS", "METHODS", "PRESENT", "adaptation_sets", "gains_over_source", "accuracies_of"):
        assert hasattr(adaptation, name)
    assert adaptation.train_source and adaptation.measure_adaptations and measure.measure_strategy


@pytest.mark.parametrize("old, slug", RESULTS.items())
def test_results_are_found_by_their_old_name(old, slug):
    assert teach.load_results(old) == teach.load_results(slug)


@pytest.mark.parametrize("package", [measure, teach])
def test_a_name_that_never_was_is_refused(package):
    with pytest.raises(AttributeError, match=f"{package.__name__}.*no attribute 'nothing'"):
        getattr(package, "nothing")  # noqa: B009
