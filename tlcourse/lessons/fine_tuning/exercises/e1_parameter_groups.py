"""Give each part of a network its own learning rate, and weight decay to weights alone."""

import torch
import torch.nn.functional as F

from tlcourse.checks.compare import explain
from tlcourse.checks.spec import Case
from tlcourse.checks.toolkit import draw_images
from tlcourse.lessons.fine_tuning.observers import build_network
from tlcourse.models.groups import find_part, list_parts

ID, TITLE, POINTS, ENTRY_POINT, SECONDS = "03.1", "Parameter groups", 5, "parameter_groups", 5


def cases(rng):
    settings = ((0.1, 0.5, 0.2), (0.05, 0.3, 0.5))  # lr, decay, weight_decay
    return [
        Case((int(rng.integers(2**31)), draw_images(rng, 4), torch.tensor(rng.integers(5, size=4)), *setting))
        for setting in settings
    ]


def verify(case, state):
    seed, x, y, lr, decay, weight_decay = case.inputs
    model = build_network(seed).double()
    parts = list_parts(model)
    if type(state) is not dict or state.keys() != model.state_dict().keys():
        return "The network has other layers than before. Leave it as it is, and only put its parameters into groups."
    F.cross_entropy(model(x.double()), y).backward()

    def stepped(rate=lambda depth: lr * decay**depth, spared=lambda name, value: value.dim() == 1):
        moved = {}
        for name, value in model.named_parameters():
            pull = 0.0 if spared(name, value) else weight_decay * value
            moved[name] = value - rate(len(parts) - 1 - find_part(parts, name)) * (value.grad + pull)
        return {**model.state_dict(), **moved}

    problem = "One step of SGD on your groups does not do what it should. Count the distance from the head in parts."
    if any(state[name].abs().max() > 1e3 for name, _ in model.named_parameters()):
        problem = "A group has no learning rate of its own. Give every group the keys params, lr and weight_decay."
    if still := [name for name, value in model.named_parameters() if torch.equal(state[name], value)]:
        problem = f"{still[0]} did not move, so it is in no group. Every parameter belongs to exactly one group."
    biases_only = stepped(spared=lambda name, value: name.endswith("bias"))
    later, turned = (stepped(lambda depth: lr * decay ** (depth + 1)), stepped(lambda depth: lr * decay ** (5 - depth)))
    others = (
        (stepped(rate=lambda depth: lr), "Every part has the same learning rate. It falls by decay from part to part."),
        (stepped(spared=lambda name, value: False), "BatchNorm and biases decay too. Give them weight_decay 0."),
        (stepped(spared=lambda *_: True), "Nothing decays. Give tensors of two or more dimensions weight_decay."),
        (biases_only, "BatchNorm's weights decay too. They have one dimension, like biases: weight_decay 0."),
        (later, "The head has lr · decay. It is zero steps from itself: its rate is lr."),
        (turned, "The rates run the wrong way: the head has the highest, the first layer the lowest."),
        (stepped(rate=lambda depth: lr * decay * depth), "The rate is lr · decay to the power of the distance."),
    )
    return explain("state", state, stepped(), others, 1e-7, problem)
