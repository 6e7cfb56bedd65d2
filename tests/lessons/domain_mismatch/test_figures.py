import pytest

from tlcourse import teach
from tlcourse.lessons.domain_mismatch.figures import draw_distance


def test_draw_distance_names_the_dial_s_points_and_the_rank_correlation():
    shifts = {("blur", 0.1): {"loss": 0.0, "MMD": 1.0}, ("blur", 0.5): {"loss": 0.3, "MMD": 2.0}}
    shifts["noise", 0.2] = {"loss": 0.9, "MMD": 1.5}
    figure, alt = draw_distance(shifts, "blur", "MMD")
    assert "rank correlation 0.50" in alt and "0.5: 2 costs 0.30" in alt and "0.2" not in alt
    assert [list(line.get_xdata()) for line in figure.axes[0].lines] == [[1.0, 2.0, 1.5], [1.0, 2.0]]
    for dial, distance in (("turn", "MMD"), ("blur", "CORAL")):
        with pytest.raises(ValueError, match=f"dial='{dial}', distance='{distance}'"):
            draw_distance(shifts, dial, distance)
    teach.show(figure, alt)
