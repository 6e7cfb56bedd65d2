"""Train, evaluate, extract features, freeze, fine-tune."""

from tlcourse.models.groups import list_parts
from tlcourse.training.features import extract_features
from tlcourse.training.finetune import STRATEGIES, Budget, FineTuned, layer_decay
from tlcourse.training.fitting import evaluate, fit, pick_device
from tlcourse.training.freezing import Moved, Planned, freeze, freeze_audit, freeze_plan, unfreeze
from tlcourse.training.head import fit_head
from tlcourse.training.joint import joint_loss
from tlcourse.training.lora import LowRank, add_lora, merge_lora
from tlcourse.training.memory import training_memory
from tlcourse.training.range_test import RangeTest, lr_range_test
from tlcourse.training.regularizers import bss, ewc, fisher_diagonal, l2_sp, rehearsal

__all__ = [
    "STRATEGIES",
    "Budget",
    "FineTuned",
    "LowRank",
    "Moved",
    "Planned",
    "RangeTest",
    "add_lora",
    "bss",
    "evaluate",
    "ewc",
    "extract_features",
    "fisher_diagonal",
    "fit",
    "fit_head",
    "freeze",
    "freeze_audit",
    "freeze_plan",
    "joint_loss",
    "l2_sp",
    "layer_decay",
    "list_parts",
    "lr_range_test",
    "merge_lora",
    "pick_device",
    "rehearsal",
    "training_memory",
    "unfreeze",
]
