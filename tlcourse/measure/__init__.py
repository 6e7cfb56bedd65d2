"""Measure: how alike features are, what work costs, where a gain comes from, whether a source helps, and which would;
how far apart domains are, and whether a classifier can be believed on another."""

from tlcourse import _moved
from tlcourse.measure.calibration import (
    average_thresholded_confidence,
    expected_calibration_error,
    fit_temperature,
)
from tlcourse.measure.controlled_gain import ControlledGain, controlled_gain, match_scale
from tlcourse.measure.cost import LAPTOP_WATTS, Spent, metered
from tlcourse.measure.distances import (
    coral_distance,
    frechet_distance,
    mmd,
    mmd_test,
    proxy_a_distance,
    sliced_wasserstein,
)
from tlcourse.measure.drift import Watch, watch_stream
from tlcourse.measure.gap import Gap, negative_transfer_gap
from tlcourse.measure.label_shift import bbse_weights, mlls_weights, reweigh
from tlcourse.measure.similarity import linear_cka
from tlcourse.measure.transferability import h_score, knn_accuracy, leep, logme, nce, probe_accuracy, transrate

__getattr__ = _moved.names_of(__name__)
