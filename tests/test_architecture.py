import pytest
import torch
from torch import nn
from torchvision import models as torchvision_models

from tlcourse import models

PHOTO = torch.empty(1, 3, 224, 224)


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "vgg16", "vit_b_16", "mobilenet_v2"])
def test_parameters_and_multiply_adds_agree_with_torchvisions_metadata(name):
    metadata = torchvision_models.get_model_weights(name).DEFAULT.meta
    found = models.inspect(torchvision_models.get_model_builder(name), x=PHOTO)
    assert found.parameters == metadata["num_params"]
    assert found.multiply_adds / 1e9 == pytest.approx(metadata["_ops"], rel=0.005)
    assert found.megabytes == pytest.approx(4e-6 * found.parameters)


def test_inspection_allocates_nothing_and_counts_layers_with_weights():
    def build():
        network = nn.Sequential(nn.Linear(10**6, 10**6), nn.BatchNorm1d(10**6))  # four terabytes, were it real
        assert network[0].weight.is_meta
        return network

    found = models.inspect(build, input=torch.empty(1, 10**6))
    assert (found.parameters, found.layers, found.multiply_adds) == (10**12 + 3 * 10**6, 1, 10**12)


def test_shared_parameters_count_once():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.head = nn.Embedding(7, 5), nn.Linear(5, 7, bias=False)
            self.head.weight = self.embed.weight

        def forward(self, tokens):
            return self.head(self.embed(tokens))

    assert models.inspect(Tied, tokens=torch.zeros(1, 2, dtype=torch.int64)).parameters == 35


def test_latency_is_the_median_of_the_passes_after_a_warm_up(monkeypatch):
    ticks = iter([0, 100, 200, 201, 300, 309, 400, 402])  # passes of 100 (the warm-up), 1, 9 and 2 seconds
    monkeypatch.setattr("tlcourse.models.architecture.time.perf_counter", lambda: next(ticks))
    latency = models.measure_latency(lambda: nn.Conv2d(3, 4, 3), repeats=3, input=torch.zeros(1, 3, 8, 8))
    assert latency == 2


def test_bad_arguments_are_named():
    with pytest.raises(TypeError, match="build: want a function"):
        models.inspect(nn.Linear(2, 2), input=torch.empty(1, 2))
    with pytest.raises(ValueError, match="repeats=0"):
        models.measure_latency(lambda: nn.Linear(2, 2), repeats=0, input=torch.zeros(1, 2))


def test_tiny_yolo_has_the_size_and_the_cost_of_its_authors():
    # Darknet prints 6.97 billion operations, two for a multiply-add, for tiny-yolo-voc at 416×416.
    found = models.inspect(models.tiny_yolo, input=torch.empty(1, 3, 416, 416))
    assert 2 * found.multiply_adds / 1e9 == pytest.approx(6.97, abs=0.01)
    assert found.layers == 9 and found.parameters == pytest.approx(15.86e6, rel=0.001)


@pytest.mark.parametrize("height, width", [(64, 96), (416, 416)])
def test_tiny_yolo_gives_a_box_for_every_anchor_of_every_cell(height, width):
    with torch.inference_mode():
        grid = models.tiny_yolo(num_classes=3, anchors=2).eval()(torch.rand(1, 3, height, width))
    assert grid.shape == (1, 2 * 8, height // 32, width // 32)


def test_tiny_yolo_names_a_bad_argument():
    with pytest.raises(ValueError, match="num_classes=0"):
        models.tiny_yolo(num_classes=0)
