"""Write the losses of PADA (Cao et al., 2018), in which the classes that the target lacks count for little."""

import numpy as np
import torch
import torch.nn.functional as F

from tlcourse.checks.compare import differs, name_mistake
from tlcourse.checks.spec import Case
from tlcourse.checks.toolkit import draw_normal

ID, TITLE, POINTS, ENTRY_POINT, SECONDS = "04.5", "Partial classes", 5, "partial_losses", 2
PARTS = {"class loss": 3, "alignment": 2}


def cases(rng):
    for part in PARTS:
        for classes, absent in ((5, 2), (4, 1)):
            labels = torch.tensor(rng.permutation(np.resize(np.arange(classes), 14)))
            scores = 2 * draw_normal(rng, 11, classes)
            scores[:, torch.tensor(rng.permutation(classes)[:absent])] -= 5
            logits, features, target_features = (draw_normal(rng, *shape) for shape in ((14, classes), (14, 6), (9, 6)))
            inputs = (logits, labels, features, target_features, scores.softmax(dim=1))
            yield Case(inputs, part=part)


def verify(case, seen):
    if seen is None:
        return "Return two losses: that of the classes and that of the alignment."
    part, which = case.part, list(PARTS).index(case.part)
    logits, labels, features, target_features, probs = case.inputs
    leaves = [value.clone().requires_grad_() for value in (logits, features, target_features)]
    logits, features, target_features = leaves
    mean, n = probs.mean(dim=0), len(labels)
    weights = mean / mean.max()

    def loss(weights, total=None):
        """The loss of this part, for given weights of the classes."""
        each = weights[labels]
        if part == "class loss":
            return (each * F.cross_entropy(logits, labels, reduction="none")).sum() / (total or n)
        centre = (each[:, None] * features).sum(dim=0) / (total or each.sum())
        return (centre - target_features.mean(dim=0)).square().sum()

    right, got = loss(weights), seen["losses"][which]
    if problem := differs(part, got, right, 1e-9):
        alike, counted = torch.ones_like(mean), F.one_hot(probs.argmax(dim=1), len(mean)).double().mean(dim=0)
        per_image = (probs / probs.max(dim=1, keepdim=True).values).mean(dim=0)
        normalised = "Normalise after the mean, not each image by its own maximum."
        others = [
            (loss(alike), "Nothing is weighted. The classes that the target lacks are to count for little."),
            (loss(counted / counted.max()), "You count predicted classes. Take the mean of the probabilities."),
            (loss(per_image), normalised),
            (loss(per_image / per_image.max()), normalised),
        ]
        if part == "class loss":
            by_sum = "You divide by the sum of the weights, as F.cross_entropy(weight=…) does. Divide by the number of images."
            others += [
                (loss(mean), "The weights are not divided by their maximum."),
                (loss(mean * len(mean)), "The weights are divided by their mean. Divide them by their maximum."),
                (loss(weights, weights[labels].sum()), by_sum),
                (n * loss(weights), "Take the mean over the source images, not the sum."),
            ]
        else:
            others += [
                (loss(weights, n), "A weighted mean divides by the sum of the weights, not by the number of images."),
                (loss(weights).sqrt(), "The distance is to be squared."),
                (loss(weights) / features.shape[1], "Sum over the features, where you took a mean."),
            ]
        return name_mistake(got, others, f"{problem} Each source image has the weight of its own label's class.")
    gradients = seen["gradients"][which]
    if not gradients:
        return f"{part}: it has no gradient. Stay with tensors: no item(), no torch.no_grad()."
    if gradients[3] is not None and gradients[3].abs().max() > 0:
        return f"{part}: a gradient flows into the predictions. The weights are constants: detach them."
    wanted = torch.autograd.grad(right, leaves, materialize_grads=True)
    for name, gradient, slope in zip(("logits", "features", "target_features"), gradients, wanted):
        if differs(name, torch.zeros_like(slope) if gradient is None else gradient, slope, 1e-9):
            return f"{part}: the value is right, but the gradient of {name} is not. Did you detach something?"
    return None
