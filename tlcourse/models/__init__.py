"""Networks: one small architecture, a zoo of pre-trained weights for it, and the recipes that made them."""

from tlcourse.models.pretrain import RECIPES, pretrain
from tlcourse.models.tiny_resnet import TinyResNet, tiny_resnet
from tlcourse.models.zoo import ModelCard, head_name, load, zoo

__all__ = ["RECIPES", "ModelCard", "TinyResNet", "head_name", "load", "pretrain", "tiny_resnet", "zoo"]
