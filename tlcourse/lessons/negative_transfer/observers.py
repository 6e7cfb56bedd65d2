"""What runs beside an answer to an exercise of lesson 04: it calls the answer and notes what the judge asks for."""

from torch import nn

from tlcourse.checks.compare import project
from tlcourse.checks.toolkit import loss_gradients
from tlcourse.models import tiny_resnet

STEPS, RATES = 5, (0.05, 0.4, 2.0)


def observe_e5(function, inputs):
    leaves = [value.clone().requires_grad_(value.is_floating_point()) for value in inputs]
    losses = function(*leaves)
    if type(losses) is not tuple or len(losses) != 2:
        return None
    del leaves[1]  # the labels
    return {"losses": losses, "gradients": [loss_gradients(loss, leaves) for loss in losses]}


def clinic_model(seed):
    """A network as the script gets it: in evaluation mode, everything but the head frozen."""
    model = tiny_resnet(4, seed=seed).eval().requires_grad_(False)
    model.fc.requires_grad_(True)
    return model


def observe_e6(function, inputs):
    seed, *arrays = inputs
    model = clinic_model(seed)
    answer = function(model, *zip(arrays[::2], arrays[1::2], strict=True), list(RATES), STEPS)
    if type(answer) is not tuple or len(answer) != 3:
        return None
    gap, *arms = answer
    if any(type(arm) is not tuple or len(arm) != 2 or not isinstance(arm[1], nn.Module) for arm in arms):
        return None
    states = [project(network)["state"] for _, network in arms]
    return {"gap": gap, "rates": [lr for lr, _ in arms], "states": states, "given": project(model)["state"]}
