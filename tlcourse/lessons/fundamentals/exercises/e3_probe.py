"""Fit a penalised linear probe to its minimum."""

import numpy as np
import torch
import torch.nn.functional as F

from tlcourse.checks.compare import as_array, explain
from tlcourse.checks.spec import Case

ID, TITLE, POINTS, ENTRY_POINT, SECONDS = "01.3", "A linear probe", 7, "fit_linear_probe", 10


def cases(rng):
    for n, width, classes, l2 in ((60, 6, 3, 0.1), (40, 4, 2, 0.3), (90, 8, 5, 0.05)):
        centres = rng.normal(0, 1, size=(classes, width))
        labels = np.arange(n) % classes
        features = centres[labels] + rng.normal(0, 0.7, size=(n, width))
        yield Case((torch.tensor(features, dtype=torch.float32), torch.tensor(labels), classes, l2))


def verify(case, output):
    features, labels, classes, l2 = case.inputs
    if type(output) is not tuple or len(output) != 2:
        return "Return two tensors: weight, bias."
    weight, bias = map(as_array, output)
    if weight is None or weight.shape != (classes, features.shape[1]):
        return f"weight: want shape (num_classes, D) = {(classes, features.shape[1])}, one row per class."
    if bias is None or bias.shape != (classes,):
        return f"bias: want shape (num_classes,) = {(classes,)}."
    if not (np.isfinite(weight).all() and np.isfinite(bias).all()):
        return "The weights are not finite. Lower the learning rate."

    def steepest(l2, bias_l2=0.0):
        """Largest entry of the objective's gradient at (weight, bias), for some strength of the penalty."""
        leaves = [torch.tensor(value, requires_grad=True) for value in (weight, bias)]
        loss = F.cross_entropy(features.double() @ leaves[0].T + leaves[1], labels)
        loss = loss + l2 / 2 * leaves[0].square().sum() + bias_l2 / 2 * leaves[1].square().sum()
        return max(gradient.abs().max().item() for gradient in torch.autograd.grad(loss, leaves))

    summed = steepest(l2 / len(features))
    mistakes = [
        (steepest(0.0), "You minimised the cross-entropy alone. The penalty l2/2 · ‖weight‖² is missing."),
        (steepest(2 * l2), "Your penalty is twice too strong: it is l2/2 · ‖weight‖², with the one half."),
        (steepest(l2, bias_l2=l2), "You penalised the bias too. Only the weight is penalised."),
        (summed, "You summed the cross-entropy over the images. Take its mean, or the penalty means something else."),
    ]
    problem = "The objective is not at its minimum: its gradient is not zero. Train for longer, or with another learning rate."
    # The objective is convex: its gradient is 0 at the one right answer and nowhere else.
    return explain("gradient", 0.0, steepest(l2), mistakes, tolerance=2e-3, problem=problem)
