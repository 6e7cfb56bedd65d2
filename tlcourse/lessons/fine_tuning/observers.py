"""What runs beside the answers of lesson 03, and the networks that they are given."""

import torch
import torch.nn.functional as F
from torch import nn

from tlcourse.checks.compare import project
from tlcourse.checks.toolkit import loss_gradients, moved_batchnorm
from tlcourse.models import tiny_resnet

STEPS, RATES = 6, (0.01, 0.3, 1.0)  # of 03.7


def build_network(seed):
    return moved_batchnorm(tiny_resnet(5, seed=seed), seed)


def observe_e1(function, inputs):
    seed, x, y, lr, decay, weight_decay = inputs
    model = build_network(seed).double()
    groups = function(model, lr, decay, weight_decay)
    F.cross_entropy(model(x.double()), y).backward()
    torch.optim.SGD(groups, lr=1e6).step()  # a group without a rate of its own would get this one
    return project(model)["state"]


def observe_e2(function, inputs):
    seed, x, y, count = inputs
    model = build_network(seed)
    function(model, count)
    at_once = project(model)["state"]
    if not any(parameter.requires_grad for parameter in model.parameters()):
        return {"all frozen": True}
    return {"at once": at_once, "trained": train_hard(model, x, y)}


def train_hard(model, x, y):
    """Two steps as a training loop makes them, with a switch of modes between; the state that they lead to."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=0.1)
    for _ in range(2):
        model.train()
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
        model.eval()
    return project(model)["state"]


def observe_e4(function, inputs):
    weight, bias, rank, alpha, down, up, x = inputs
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(weight)
        if bias is not None:
            layer.bias.copy_(bias)
    adapter = function(layer, rank, alpha)
    if not isinstance(adapter, nn.Module):
        return {"other": adapter}
    trainable = [parameter for parameter in adapter.parameters() if parameter.requires_grad]
    seen = {
        "trainable": [list(parameter.shape) for parameter in trainable],
        "at first": adapter(x),
        "largest": {str(list(parameter.shape)): parameter.abs().max() for parameter in trainable},
    }
    wanted = {value.shape: value for value in (down, up)}
    if sorted(wanted) != sorted(parameter.shape for parameter in trainable):
        return seen
    with torch.no_grad():
        for parameter in trainable:
            parameter.copy_(wanted[parameter.shape])
    seen["afterwards"] = adapter(x)
    merged = adapter.merged()
    seen["merged type"] = type(merged).__name__
    if type(merged) is nn.Linear:
        seen |= {"weight": merged.weight, "bias": merged.bias}
    return seen


def observe_e5(function, inputs):
    logits, labels, state, start, alpha, beta = inputs
    leaves = {name: value.clone().requires_grad_() for name, value in state.items()}
    scores = logits.clone().requires_grad_()
    loss = function(scores, labels, leaves, start, alpha, beta)
    return {"loss": loss, "gradients": loss_gradients(loss, [scores, *leaves.values()])}


def build_script_network(seed):
    """A network as the script of 03.7 gets it: in training mode, the body trainable, the head frozen."""
    model = build_network(seed)
    model.fc.requires_grad_(False)
    return model.train()


def observe_e7(function, inputs):
    seed, x, y, val_x, val_y, test_x, test_y = inputs
    model = build_script_network(seed)
    answer = function(model, (x, y), (val_x, val_y), (test_x, test_y), list(RATES), STEPS)
    if type(answer) is not tuple or len(answer) != 3 or not isinstance(answer[1], nn.Module):
        return None
    lr, network, accuracy = answer
    return {"lr": lr, "state": project(network)["state"], "accuracy": accuracy, "given": project(model)["state"]}
