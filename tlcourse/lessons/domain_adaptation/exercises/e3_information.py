"""Write the loss of information maximisation, for the surest answers too."""

import math

import torch

from tlcourse.adapt import entropy, mutual_information
from tlcourse.checks.compare import differs, explain
from tlcourse.checks.spec import Case
from tlcourse.checks.toolkit import NO_GRADIENT, draw_normal

ID, TITLE, POINTS, ENTRY_POINT, SECONDS = "06.3", "Information maximisation", 5, "information_loss", 2
PARTS = {"moderate logits": 3, "large logits": 2}


def cases(rng):
    for part, n, classes in (("moderate logits", 11, 4), ("moderate logits", 8, 6), ("large logits", 9, 5)):
        logits = 1.5 * draw_normal(rng, n, classes)
        if part == "large logits":  # sure answers, ties among them; no image is of the last class
            logits[:6] = torch.tensor(rng.choice((-1000.0, 1000.0), size=(6, classes)))
            logits[torch.arange(6), torch.arange(6) % 4], logits[:, -1] = 1000, -1000
            logits[0] = torch.tensor([0, 0, 1000, 0, -1000])
        factors = (round(float(value), 2) for value in rng.permutation(rng.uniform((0.3, 1.2), (0.8, 2.0))))
        yield Case((logits, *factors), part=part)


def verify(case, seen):
    logits, a, b = case.inputs
    if seen is None:
        return NO_GRADIENT
    leaf, (n, classes) = logits.clone().requires_grad_(), logits.shape
    log_mean = leaf.log_softmax(dim=1).logsumexp(dim=0) - math.log(n)
    right = a * entropy(leaf).mean() + b * (log_mean.exp() * log_mean).sum()
    if torch.isnan(seen["loss"]):
        return "The loss is NaN: a probability is 0, and 0 · log 0 is NaN. Stay with logarithms of probabilities."
    of_mean_logits = entropy(logits.mean(dim=0, keepdim=True))[0]
    own, probs = entropy(logits).mean(), logits.softmax(dim=1)
    spread = mutual_information(logits) + own
    over_classes = "An entropy is a sum over the classes. You take a mean over them."
    others = [
        (b * spread - a * own, "The sign is turned: that is to be maximised, and a loss is minimised."),
        (a * own + b * spread, "The entropy of the mean prediction is to be large, so it has a minus."),
        (b * own - a * spread, "The two factors are swapped."),
        (a * spread - b * own, "The two entropies are swapped: certain goes with the mean entropy."),
        (own - spread, "The factors certain and diverse are missing."),
        ((a * own - b * spread) / math.log(2), "Those are bits. Take the natural logarithm."),
        ((a * own - b * spread) / math.log(classes), "You divide by log C. The entropies are in nats."),
        (a * own, "Only the mean entropy is in it: one class for all images would be the best answer."),
        (-b * spread, "Only the entropy of the mean is in it. The mean entropy is missing."),
        (a * own * n - b * spread, "Take the mean of the images' entropies, not the sum."),
        (a * own / classes - b * spread, over_classes),
        ((a * own - b * spread) / classes, over_classes),
        (a * own - b * of_mean_logits, "You take the softmax of the mean logits. Average the probabilities."),
    ]
    for epsilon in (1e-3, 1e-4, 1e-5, 1e-6):
        own, spread = (-(p * (p + epsilon).log()).sum(dim=-1).mean() for p in (probs, probs.mean(dim=0)))
        others.append((a * own - b * spread, "An epsilon is in your logarithm, and it shows. log_softmax needs none."))
    if problem := explain("loss", seen["loss"], right.detach(), others):
        return problem
    if seen["gradient"] is None or not torch.isfinite(seen["gradient"]).all():
        return "The value is right, but the gradient is not finite: on the way back there is a log 0."
    if differs("", seen["gradient"], torch.autograd.grad(right, leaf)[0]):
        return "The value is right, but the gradient is not. Did you detach one of the entropies?"
    return None
