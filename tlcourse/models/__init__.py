"""Networks: one small architecture, a zoo of pre-trained weights for it, and the recipes that made them; larger ones, too."""

from functools import partial

from tlcourse._moved import find_moved
from tlcourse.models.architecture import Architecture, inspect, measure_latency
from tlcourse.models.groups import find_part, head_name, list_parts
from tlcourse.models.text import TextEncoder, embed_texts, load_text_encoder
from tlcourse.models.tiny_resnet import TinyResNet, tiny_resnet
from tlcourse.models.tiny_yolo import tiny_yolo
from tlcourse.models.zoo import ModelCard, load, zoo

__all__ = [
    "Architecture",
    "ModelCard",
    "TextEncoder",
    "TinyResNet",
    "embed_texts",
    "find_part",
    "head_name",
    "inspect",
    "list_parts",
    "load",
    "load_text_encoder",
    "measure_latency",
    "tiny_resnet",
    "tiny_yolo",
    "zoo",
]

__getattr__ = partial(find_moved, __name__)
