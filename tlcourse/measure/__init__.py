"""Measure: how alike features are, what work costs, where a gain comes from, how strategies compare, whether a
source helps, and which would."""

from tlcourse.measure.controlled_gain import ControlledGain, controlled_gain, match_scale
from tlcourse.measure.cost import LAPTOP_WATTS, Spent, metered
from tlcourse.measure.gap import Gap, negative_transfer_gap
from tlcourse.measure.similarity import linear_cka
from tlcourse.measure.strategy_table import measure_strategy
from tlcourse.measure.transferability import h_score, knn_accuracy, leep, logme, nce, probe_accuracy, transrate

__all__ = [
    "LAPTOP_WATTS",
    "ControlledGain",
    "Gap",
    "Spent",
    "controlled_gain",
    "h_score",
    "knn_accuracy",
    "leep",
    "linear_cka",
    "logme",
    "match_scale",
    "measure_strategy",
    "metered",
    "nce",
    "negative_transfer_gap",
    "probe_accuracy",
    "transrate",
]
