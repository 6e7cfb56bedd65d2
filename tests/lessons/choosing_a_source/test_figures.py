import statistics

import matplotlib.pyplot as plt
import pytest
from scipy.stats import weightedtau

from tlcourse import teach
from tlcourse.lessons.choosing_a_source.figures import draw_leaderboard

TABLE = teach.load_results("choosing_a_source")


@pytest.mark.parametrize("outcome", ["frozen", "fine-tuned"])
def test_the_leaderboard_is_drawn_with_its_weighted_tau(outcome):
    figure, alt = draw_leaderboard(TABLE, "digits", "LogME", outcome)
    plt.close(figure)
    rows = [row for row in TABLE["rows"] if row["target"] == "digits"]
    pairs = [(statistics.mean(row["scores"]["LogME"]), statistics.mean(row[outcome])) for row in rows]
    assert f"Weighted Kendall tau {weightedtau(*zip(*pairs)).statistic:.2f}" in alt
    best = max(rows, key=lambda row: statistics.mean(row[outcome]))
    assert f"Best by accuracy: {best['source']}" in alt


def test_what_the_leaderboard_does_not_have_is_named():
    with pytest.raises(ValueError, match="score='luck'"):
        draw_leaderboard(TABLE, "digits", "luck", "frozen")
