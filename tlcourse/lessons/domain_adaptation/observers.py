"""What runs beside the answers of lesson 06, and the networks that an answer is given."""

import torch
import torch.nn.functional as F
from torch import nn

from tlcourse.adapt import DomainDiscriminator
from tlcourse.checks.compare import project
from tlcourse.checks.toolkit import loss_gradients

WIDTH = 5  # features of 06.1
STEPS, RATE = 5, 0.3  # steps of a round of 06.6, and their learning rate


def build_features(inputs):
    """The discriminator, the weight that makes the features, the features of both domains, and the loss of the classes."""
    seed, weight, x, z, head, labels, _, _ = inputs
    discriminator, weight = DomainDiscriminator(WIDTH, 8, seed).double(), weight.clone().requires_grad_()
    source, target = x @ weight, z @ weight
    return discriminator, weight, source, target, F.cross_entropy(source @ head, labels)


def observe_e1(function, inputs):
    discriminator, weight, source, target, class_loss = build_features(inputs)
    loss = function(source, target, discriminator, *inputs[-2:])
    gradients = loss_gradients(loss, [source, target])
    return gradients and {
        "loss": loss,
        "features": [source, target],
        "discriminator": loss_gradients(loss, list(discriminator.parameters())),
        "alone": gradients,
        "both": loss_gradients(loss + class_loss, [weight]),
    }


def observe_e2(function, inputs):
    leaves = [value.clone().requires_grad_() for value in inputs]
    output = function(*leaves)
    if type(output) is not tuple or len(output) != 2:
        return None
    return {"loss": output[0], "gradients": loss_gradients(output[0], leaves), "moved": output[1], "after": leaves}


def observe_e3(function, inputs):
    logits = inputs[0].clone().requires_grad_()
    loss = function(logits, *inputs[1:])
    gradients = loss_gradients(loss, [logits])
    return gradients and {"loss": loss, "gradient": gradients[0]}


def build_network(seed):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers = nn.Linear(6, 24), nn.BatchNorm1d(24), nn.ReLU(), nn.Linear(24, 4)
    return nn.Sequential(*layers).double().eval()


def observe_e6(function, inputs):
    seed, x, y, z, truth, strengths = inputs
    model = build_network(seed)
    answer = function(model, (x, y), (z, truth), list(strengths), STEPS, RATE)
    return {"answer": answer, "given": project(model)["state"]}
