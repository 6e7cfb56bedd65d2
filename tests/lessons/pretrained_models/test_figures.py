import matplotlib.pyplot as plt
import pytest

from tlcourse import models
from tlcourse.lessons.pretrained_models.figures import draw_features


@pytest.mark.parametrize("layer, channels", [("conv1", 32), ("layer3", 128)])
def test_the_feature_explorer_finds_the_image_itself_first(few, layer, channels):
    drawn, alt = draw_features(models.load("letters"), layer, few.x[7], few, count=4)
    assert len(drawn.axes) == 10
    own = few.classes[few.y[7]]
    assert f"strongest of the {channels} activation maps of {layer}" in alt and f"labelled {own}," in alt
    plt.close(drawn)
