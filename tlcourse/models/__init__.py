"""Networks: one small architecture, a zoo of pre-trained weights for it, and the recipes that made them; larger ones, too."""

from tlcourse.models.architecture import Architecture, inspect, measure_latency
from tlcourse.models.pretrain import RECIPES, pretrain
from tlcourse.models.text import TextEncoder, embed_texts, load_text_encoder
from tlcourse.models.tiny_resnet import TinyResNet, tiny_resnet
from tlcourse.models.tiny_yolo import tiny_yolo
from tlcourse.models.zoo import ModelCard, head_name, load, zoo

__all__ = [
    "RECIPES",
    "Architecture",
    "ModelCard",
    "TextEncoder",
    "TinyResNet",
    "embed_texts",
    "head_name",
    "inspect",
    "load",
    "load_text_encoder",
    "measure_latency",
    "pretrain",
    "tiny_resnet",
    "tiny_yolo",
    "zoo",
]
