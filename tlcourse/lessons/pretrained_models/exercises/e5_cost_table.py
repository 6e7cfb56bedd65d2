"""Count the parameters and multiply-adds of each layer of a network."""

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from tlcourse.checks.compare import explain, misfit, type_name
from tlcourse.checks.spec import Case
from tlcourse.lessons.pretrained_models.observers import build_network

ID, TITLE, POINTS, ENTRY_POINT, SECONDS = "02.5", "What a network costs", 5, "cost_table", 5
_COUNT, _WORK = "parameters", "multiply-adds"
PARTS = {_COUNT: 2, _WORK: 3}


def cases(rng):
    for part in (_COUNT, _WORK):
        for side in (32, 40):
            a, b, c = (int(width) for width in 4 * rng.integers(1, 5, size=3))
            kernel, groups, bias = int(rng.choice([3, 5])), int(rng.choice([2, 4])), bool(rng.integers(2))
            layers = [
                ["conv", 3, a, kernel, 2, kernel // 2, 1, bias],
                ["norm", a],
                ["conv", a, b, 3, 1, 0, groups, not bias],
                ["pool", 2],
                ["conv", b, c, 1, 1, 0, 1, bias],
                ["mean"],
                ["linear", c, int(rng.integers(2, 9)), True],
            ]
            yield Case((layers, side), part=part)


def verify(case, output):
    layers, side = case.inputs
    with torch.device("meta"):
        network, x = build_network(layers), torch.empty(1, 3, side, side)
    names = [name for name, layer in network.named_children() if isinstance(layer, nn.Conv2d | nn.Linear)]
    if type(output) is not dict or output.keys() != set(names):
        keys = sorted(map(str, output)) if type(output) is dict else type_name(output)
        return f"Return a dict whose keys are the names of the convolutions and linear layers, {names}; got {keys}."
    for name, layer in network.named_children():
        with FlopCounterMode(display=False) as counter:
            y = layer(x)
        if name in names:
            work, places = counter.get_total_flops() // 2, x[0, 0].numel() / y[0, 0].numel()
            if problem := _verify_layer(layer, output[name], work, places * work, case.part):
                return f"Layer {name}: {problem}"
        x = y
    return None


def _verify_layer(layer, got, work, input_work, part):
    if type(got) is not tuple or misfit("", got, (2,), kind="integers"):
        return "want two whole numbers, (parameters, multiply-adds)."
    weights, parameters = layer.weight.numel(), sum(p.numel() for p in layer.parameters())
    if part == _COUNT:
        mistakes = [(weights, f"you left out the bias, {parameters - weights} more parameters.")]
        return explain("", got[0], parameters, mistakes, problem=f"{got[0]} parameters is not right.")
    mistakes = [
        (2 * work, "that is twice the number. Count a multiplication and its addition as one."),
        (input_work, "you counted positions of the input. Each *output* position costs one product."),
        (work * getattr(layer, "groups", 1), "with groups, a filter sees only in_channels / groups channels."),
    ]
    return explain("", got[1], work, mistakes, problem=f"{got[1]} multiply-adds is not right.")
