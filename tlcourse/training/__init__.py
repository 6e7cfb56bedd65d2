"""Train, evaluate, extract features, freeze, fine-tune."""

from tlcourse.models.groups import list_parts
from tlcourse.training.features import extract_features
from tlcourse.training.finetune import STRATEGIES, Budget, FineTuned, layer_decay
from tlcourse.training.fitting import evaluate, fit
from tlcourse.training.freezing import Moved, Planned, freeze, freeze_audit, freeze_plan, unfreeze
from tlcourse.training.head import fit_head
from tlcourse.training.joint import joint_loss
from tlcourse.training.loop import pick_device, train
from tlcourse.training.lora import LowRank, add_lora, merge_lora
from tlcourse.training.memory import training_memory
from tlcourse.training.range_test import RangeTest, lr_range_test
from tlcourse.training.regularizers import bss, ewc, fisher_diagonal, l2_sp, rehearsal
