"""Measure: how alike features are, what work costs, where a gain comes from, how strategies compare."""

from tlcourse.measure.controlled_gain import ControlledGain, controlled_gain, match_scale
from tlcourse.measure.cost import LAPTOP_WATTS, Spent, metered
from tlcourse.measure.similarity import linear_cka
from tlcourse.measure.strategy_table import measure_strategy

__all__ = [
    "LAPTOP_WATTS",
    "ControlledGain",
    "Spent",
    "controlled_gain",
    "linear_cka",
    "match_scale",
    "measure_strategy",
    "metered",
]
