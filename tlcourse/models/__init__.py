"""Networks: one small architecture, a zoo of pre-trained weights for it, and the recipes that made them; larger ones, too."""

from tlcourse import _moved
from tlcourse.models.architecture import Architecture, inspect, measure_latency
from tlcourse.models.groups import find_part, head_name, list_parts
from tlcourse.models.text import TextEncoder, embed_texts, load_text_encoder
from tlcourse.models.tiny_resnet import TinyResNet, tiny_resnet
from tlcourse.models.tiny_yolo import tiny_yolo
from tlcourse.models.zoo import ModelCard, load, zoo

__getattr__ = _moved.names_of(__name__)
