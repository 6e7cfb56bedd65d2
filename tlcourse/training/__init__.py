"""Train, evaluate, extract features, freeze."""

from tlcourse.training.features import extract_features
from tlcourse.training.fitting import evaluate, fit, pick_device
from tlcourse.training.freezing import Moved, freeze, freeze_audit, unfreeze

__all__ = ["Moved", "evaluate", "extract_features", "fit", "freeze", "freeze_audit", "pick_device", "unfreeze"]
