"""Train, evaluate, extract features, freeze, fine-tune."""

from tlcourse.training.features import extract_features
from tlcourse.training.finetune import STRATEGIES, Budget, FineTuned, layer_decay
from tlcourse.training.fitting import evaluate, fit, pick_device
from tlcourse.training.freezing import Moved, freeze, freeze_audit, unfreeze
from tlcourse.training.head import fit_head
from tlcourse.training.lora import LowRank, add_lora, merge_lora
from tlcourse.training.parts import list_parts
from tlcourse.training.regularizers import ewc, fisher_diagonal, l2_sp

__all__ = [
    "STRATEGIES",
    "Budget",
    "FineTuned",
    "LowRank",
    "Moved",
    "add_lora",
    "evaluate",
    "ewc",
    "extract_features",
    "fisher_diagonal",
    "fit",
    "fit_head",
    "freeze",
    "freeze_audit",
    "l2_sp",
    "layer_decay",
    "list_parts",
    "merge_lora",
    "pick_device",
    "unfreeze",
]
