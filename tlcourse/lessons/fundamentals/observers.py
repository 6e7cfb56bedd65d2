"""What the checks of lesson 01 note beside an answer."""

import torch
import torch.nn.functional as F

from tlcourse import models
from tlcourse.checks.compare import as_plain, named_tensors, project, type_name
from tlcourse.checks.toolkit import moved_batchnorm


def source_network(seed, classes):
    """The network of 01.4, in eval mode."""
    return moved_batchnorm(models.tiny_resnet(classes, seed=seed), seed)


def observe_e4(function, inputs):
    seed, source_classes, classes, x, y = inputs
    source = source_network(seed, source_classes)
    model = function(source, classes)
    if not isinstance(model, torch.nn.Module):
        return {"kind": type_name(as_plain(model))}
    seen = {"kind": "network", "source": project(source), "model": project(model, x)}
    # What is frozen shows in what training moves: flags can be told wrong, the outcome of two steps cannot.
    train_twice(model, x, y)
    return {**seen, "trained": project(model)["state"]}


def train_twice(model, x, y):
    """Take two steps with all parameters that require gradients."""
    trainable = [parameter for parameter in named_tensors(model)[0].values() if parameter.requires_grad]
    if not trainable:
        return
    optimizer = torch.optim.SGD(trainable, lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()


def observe_e5(function, inputs):
    source = models.load("letters")
    return {"predicted": function(source, *inputs), "source": project(source)["state"]}
