import statistics

import matplotlib.pyplot as plt
import pytest

from tlcourse import teach
from tlcourse.lessons.domain_adaptation.experiment import TARGETS, accuracies_of, gains_over_source
from tlcourse.lessons.domain_adaptation.figures import draw_adaptation

TABLE = teach.load_results("domain_adaptation")
PRINTED = "printed → handwritten"


@pytest.mark.parametrize("target", TARGETS)
def test_the_table_is_drawn_best_first_between_floor_and_ceiling(target):
    figure, alt = draw_adaptation(TABLE, PRINTED, target)
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    plt.close(figure)
    mean = {method: statistics.mean(values) for method, values in accuracies_of(TABLE, PRINTED, target).items()}
    assert len(names) == 14 and "source alone" not in names and "target labels" not in names
    assert [mean[name] for name in names] == sorted((mean[name] for name in names), reverse=True)
    gains = gains_over_source(TABLE, PRINTED, target)
    for name in names:
        verdict = "helps" if gains[name][1] > 0 else "harms" if gains[name][2] < 0 else "undecided"
        assert f"{name} {mean[name]:.2f} {verdict}" in alt
    assert f"Source alone {mean['source alone']:.2f}, target labels {mean['target labels']:.2f}" in alt
