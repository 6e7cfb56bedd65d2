"""The equal-budget table: one row, and a shipped file that is whole and comes out again."""

import pytest

from tlcourse import teach, training
from tlcourse.lessons.fine_tuning import experiment
from tlcourse.lessons.fine_tuning.experiment import LEARNING_RATES, SHIFTS, measure_strategy

TABLE = teach.load_results("fine_tuning")


def test_a_row_of_the_strategy_table_is_a_tuned_network_on_every_test(monkeypatch):
    monkeypatch.setitem(LEARNING_RATES, "LoRA", (1e-3, 1e-2))
    row = measure_strategy("LoRA", per_class=2, steps=12, seed=4)
    assert row["lr"] == 1e-2 and row["trained_parameters"] == 17_142 and 5 < row["megabytes"] < 12
    assert 0.3 < row["test"] < 1 and row["noise"] < row["test"] and 0.5 < row["source"] < 1
    again = measure_strategy("LoRA", per_class=2, steps=12, seed=4)
    assert {**again, "seconds": 0} == {**row, "seconds": 0}
    with pytest.raises(ValueError, match="strategy='none': choose from scratch, head only"):
        measure_strategy("none", per_class=2, steps=12, seed=4)


def test_scratch_has_no_source_to_keep(monkeypatch):
    monkeypatch.setitem(LEARNING_RATES, "scratch", (1e-3,))
    assert measure_strategy("scratch", per_class=2, steps=2, seed=0)["source"] is None


def test_the_equal_budget_table_is_whole_and_made_by_the_strategies_that_exist():
    cells = {(cell["strategy"], cell["labels"], cell["steps"]): cell for cell in TABLE["cells"]}
    assert len(cells) == len(TABLE["cells"]) == len(LEARNING_RATES) * 9
    assert {strategy for strategy, _, _ in cells} == {"scratch", *training.STRATEGIES} == set(LEARNING_RATES)
    assert set(TABLE["shifts"]) == set(SHIFTS) and len(TABLE["seeds"]) == 10
    for (strategy, _, _), cell in cells.items():
        for column in ("val", "test", *SHIFTS, "source"):
            assert len(cell[column]) == 10
            assert strategy == "scratch" or all(0 <= value <= 1 for value in cell[column])
        assert set(cell["lr"]) <= set(LEARNING_RATES[strategy])


def test_a_run_of_the_table_comes_out_again(one_cpu_thread):
    budget = ("last block", 2, 20)
    cell = next(c for c in TABLE["cells"] if (c["strategy"], c["labels"], c["steps"]) == budget)
    row = measure_strategy("last block", per_class=2, steps=20, seed=TABLE["seeds"][3])
    for column in ("val", "test", *SHIFTS, "source"):
        assert row[column] == pytest.approx(cell[column][3], abs=0.03), column
    assert row["lr"] == cell["lr"][3] and row["trained_parameters"] == cell["trained_parameters"]
    assert row["megabytes"] == pytest.approx(cell["megabytes"], abs=0.01)


def test_the_experiment_makes_the_shipped_file(remakes):
    cells = {(cell["strategy"], cell["labels"], cell["steps"]): cell for cell in TABLE["cells"]}

    def look_up(_, cell, seed):
        shipped = list(cells[cell["strategy"], cell["per_class"], cell["steps"]].items())[3:]
        return {name: values[seed] if isinstance(values, list) else values for name, values in shipped}

    assert remakes(experiment, look_up)
