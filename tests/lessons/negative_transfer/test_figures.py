import statistics

import matplotlib.pyplot as plt
import pytest

from tlcourse import teach
from tlcourse.lessons.negative_transfer.figures import draw_gap

TABLE = teach.load_results("negative_transfer")


@pytest.mark.parametrize("wrong, labels", [(0.0, 2), (1.0, 2)])
def test_the_lab_draws_the_point_that_is_asked_for(wrong, labels):
    figure, alt = draw_gap(TABLE, "printed digits", wrong, labels)
    plt.close(figure)
    cell = next(
        c for c in TABLE["surface"] if (c["source"], c["wrong"], c["labels"]) == ("printed digits", wrong, labels)
    )
    gap = 100 * (statistics.mean(TABLE["without"]["2"]) - statistics.mean(cell["with"]))
    assert f"gap {gap:+.1f} points" in alt and len(figure.axes) == 2
    assert ("the source harms" in alt) == (gap > 0)


def test_the_lab_names_a_point_that_it_does_not_have():
    with pytest.raises(ValueError, match="labels=3: the surface has"):
        draw_gap(TABLE, "printed digits", 0.0, 3)
