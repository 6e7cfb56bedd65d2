"""Write the loss that draws a network's weights to where they started."""

import torch
import torch.nn.functional as F

from tlcourse.checks.compare import differs, explain, misfit
from tlcourse.checks.spec import Case
from tlcourse.checks.toolkit import draw_normal

ID, TITLE, POINTS, ENTRY_POINT, SECONDS = "03.5", "The L2-SP loss", 4, "l2_sp_loss", 2


def cases(rng):
    for classes, source_classes in ((3, 7), (4, 4), (2, 6)):
        shapes = {"conv": (2, 3, 2, 2), "norm": (5,), "fc": (classes, 5), "gate": (3,)}
        state = {name: draw_normal(rng, *shape) for name, shape in shapes.items()}
        shapes = {"norm": (5,), "conv": (2, 3, 2, 2), "fc": (source_classes, 5)}
        start = {name: draw_normal(rng, *shape) for name, shape in shapes.items()}
        if classes == source_classes:  # the old head then goes by another name
            start["old"] = start.pop("fc")
        labels = torch.tensor(rng.integers(classes, size=6))
        alpha, beta = (float(value) for value in rng.uniform(0.05, 0.5, size=2))
        yield Case((draw_normal(rng, 6, classes), labels, state, start, alpha, beta))


def verify(case, seen):
    logits, labels, state, start, alpha, beta = case.inputs
    if problem := misfit("loss", seen["loss"], ()):
        return problem
    if seen["gradients"] is None:
        return "The loss has no gradient. Stay with tensors: no item(), no detach(), no torch.no_grad()."
    data = F.cross_entropy(logits, labels)
    summed = F.cross_entropy(logits, labels, reduction="sum")
    shared = [name for name in state if name in start and start[name].shape == state[name].shape]
    moved = sum((state[name] - start[name]).square().sum() for name in shared)
    norm_of_shared = sum(state[name].square().sum() for name in shared)
    norm_of_new = sum(state[name].square().sum() for name in state if name not in shared)
    decayed = data + alpha / 2 * norm_of_shared + beta / 2 * norm_of_new
    others = (
        (data + alpha * moved + beta * norm_of_new, "The penalties are twice too large: α/2 and β/2."),
        (data + alpha / 2 * moved, "What is new is not penalised. It has β/2 · ‖w‖²."),
        (decayed, "The shared weights are drawn to zero: that is weight decay. Draw them to where they started."),
        (data + beta / 2 * moved + alpha / 2 * norm_of_new, "α and β are swapped."),
        (data + alpha / 2 * (moved + norm_of_new), "What is new has the strength β, not α."),
        (summed + alpha / 2 * moved + beta / 2 * norm_of_new, "Take the mean of the cross-entropy, not its sum."),
        (data + alpha / 2 * moved.sqrt() + beta / 2 * norm_of_new.sqrt(), "The norms are to be squared."),
    )
    right = data + alpha / 2 * moved + beta / 2 * norm_of_new
    problem = "The loss is not right. Which weights have the same name and shape at the start?"
    if message := explain("loss", seen["loss"], right, others, 1e-9, problem):
        return message
    wanted = [(logits.softmax(1) - F.one_hot(labels, logits.shape[1])) / len(labels)]
    wanted += [alpha * (state[n] - start[n]) if n in shared else beta * state[n] for n in state]
    for name, gradient, expected in zip(["logits", *state], seen["gradients"], wanted, strict=True):
        if gradient is None or differs(name, gradient, expected, 1e-9):
            return f"The value is right, but the gradient of {name} is not. Did you detach something?"
    return None
