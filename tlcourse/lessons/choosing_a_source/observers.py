"""What runs beside an answer to an exercise of this lesson."""

import torch

from tlcourse.models import tiny_resnet

SOURCES = {"animals": 6, "signs": 4, "fabrics": 8}  # name → classes


def observe_e4(function, inputs):
    return [function(features, labels) for features, labels in zip(*inputs)]


def observe_e5(function, inputs):
    seeds, x, y, test_x, test_y = inputs
    return function(build_sources(seeds, x), (x, y), (test_x, test_y))


def build_sources(seeds, x):
    """Networks in eval mode. As after training, their features differ in scale and their heads tell the images x apart."""
    networks = {name: tiny_resnet(SOURCES[name], seed=seed).eval() for name, seed in seeds.items()}
    with torch.no_grad():
        for network in networks.values():
            block = network.layer3[0]
            for norm in (block.bn2, block.downsample[1]):
                norm.weight *= torch.logspace(-1, 2, len(norm.weight))
            block.bn2.bias += block.bn2.weight  # no feature is zero for all images
            logits = network(x)
            mean, spread = logits.mean(dim=0), logits.std(dim=0) / 2
            network.fc.weight /= spread[:, None]
            network.fc.bias.copy_((network.fc.bias - mean) / spread)
    return networks
