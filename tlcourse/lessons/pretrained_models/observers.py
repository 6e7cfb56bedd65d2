"""What the checks of lesson 02 note beside an answer."""

import torch
from torch import nn

from tlcourse import models
from tlcourse.checks.toolkit import moved_batchnorm

# What the network of 02.6 says to this tells whether its statistics moved. It is not a prepared photo: that is the answer.
PROBE = torch.linspace(-1, 1, 3 * 32 * 32).view(1, 3, 32, 32)


def network_in_training(seed):
    """The network of 02.2, in training mode."""
    return moved_batchnorm(models.tiny_resnet(10, seed=seed), seed).train()


def observe_e2(function, inputs):
    seed, x, layers, batch_size = inputs
    model = network_in_training(seed)
    passed = 0

    def count(module, arguments):
        nonlocal passed
        passed += len(arguments[0])
        if len(arguments[0]) > batch_size:
            raise ValueError(f"{len(arguments[0])} images at once, with batch_size={batch_size}")
        if passed > len(x):
            raise ValueError(f"more than the {len(x)} images passed through the network: each may pass once")

    with model.register_forward_pre_hook(count):
        features = function(model, x, layers, batch_size)
    with torch.no_grad():  # what comes out now tells the mode and the statistics that the function left
        as_left = model(x)
        evaluated = model.eval()(x)
    return {"features": features, "as_left": as_left, "evaluated": evaluated}


def build_network(layers):
    """The network that a list of plain layer descriptions stands for."""
    made = []
    for kind, *sizes in layers:
        if kind == "conv":
            *sizes, groups, bias = sizes
            made.append(nn.Conv2d(*sizes, groups=groups, bias=bias))
        elif kind == "norm":
            made += [nn.BatchNorm2d(*sizes), nn.ReLU()]
        elif kind == "pool":
            made.append(nn.MaxPool2d(*sizes))
        elif kind == "mean":
            made += [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        else:
            made.append(nn.Linear(*sizes))
    return nn.Sequential(*made).eval()


def observe_e5(function, inputs):
    layers, side = inputs
    return function(build_network(layers), side)


def load_reader(mean, std):
    """The letters network, in training mode, for pixels that are normalised by mean and std."""
    model = models.load("letters").train()
    model.register_forward_pre_hook(lambda _, inputs: inputs[0] * std.view(3, 1, 1) + mean.view(3, 1, 1))
    return model


def observe_e6(function, inputs):
    _, mean, std, _ = inputs
    model = load_reader(mean, std)
    answer = function(model, *inputs)
    with torch.no_grad():
        return {"answer": answer, "afterwards": model.eval()(PROBE)}
