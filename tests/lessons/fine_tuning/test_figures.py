import statistics

import matplotlib.pyplot as plt
import pytest

from tlcourse import teach
from tlcourse.lessons.fine_tuning.figures import draw_strategies

TABLE = teach.load_results("fine_tuning")


@pytest.mark.parametrize("rank_by, column", [("target", "test"), ("source kept", "source")])
def test_the_strategies_are_drawn_in_the_order_that_is_asked_for(rank_by, column):
    figure, alt = draw_strategies(TABLE, 5, 50, rank_by)
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    plt.close(figure)
    cells = {cell["strategy"]: cell for cell in TABLE["cells"] if (cell["labels"], cell["steps"]) == (5, 50)}
    means = [statistics.mean(cells[name][column]) for name in names if cells[name][column][0] is not None]
    assert len(names) == 9 and means == sorted(means, reverse=True)
    assert f"{names[0]} {means[0]:.2f}" in alt


def test_what_the_table_does_not_have_is_named():
    with pytest.raises(ValueError, match="labels=3, steps=50: the table has"):
        draw_strategies(TABLE, 3, 50)
    with pytest.raises(ValueError, match="rank_by='speed'"):
        draw_strategies(TABLE, 5, 50, "speed")
