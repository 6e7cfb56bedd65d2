"""Put gradient reversal into the loss of a domain discriminator."""

import torch
import torch.nn.functional as F

from tlcourse.adapt import reversal_strength
from tlcourse.checks.compare import differs, explain
from tlcourse.checks.spec import Case
from tlcourse.checks.toolkit import CHANGED, NO_GRADIENT, draw_normal, flatten_gradients, loss_gradients
from tlcourse.lessons.domain_adaptation.observers import WIDTH, build_features

ID = "06.1"
TITLE = "Gradient reversal"
POINTS = 5
ENTRY_POINT = "domain_loss"
SECONDS = 2
PARTS = {"loss": 2, "reversal": 3}


def cases(rng):
    found = []
    # λ is 0 in the first step, where no gradient of the features is left.
    for part, n, m, step in (("loss", 7, 4, 4), ("loss", 5, 9, 13), ("reversal", 8, 5, 5), ("reversal", 4, 6, 0)):
        shapes = ((6, WIDTH), (n, 6), (m, 6), (WIDTH, 3))
        labels = torch.tensor(rng.integers(3, size=n))
        inputs = (int(rng.integers(2**31)), *(draw_normal(rng, *shape) for shape in shapes), labels, step, 40)
        found.append(Case(inputs, {"part": part}, part))
    return found


def verify(case, seen):
    if seen is None:
        return NO_GRADIENT
    discriminator, weight, source, target, class_loss = build_features(case.inputs)
    if differs("", seen["features"], [source, target]):
        return CHANGED
    logits, n = discriminator(torch.cat([source, target])), len(source)
    is_source = (torch.arange(len(logits)) < n).double()
    each = F.binary_cross_entropy_with_logits(logits, is_source, reduction="none")
    if case.truth["part"] == "loss":
        return _verify_domain_loss(case, seen, discriminator, logits.detach(), each)

    def gradient(leaves, loss):
        return flatten_gradients(loss_gradients(loss, leaves), leaves)

    step, steps = case.inputs[-2:]
    p, strength = step / steps, reversal_strength(step / steps)
    whole, k = gradient([source, target], each.mean()), source.numel()
    of_source, of_target = (torch.cat(pair) for pair in ((whole[:k], 0 * whole[k:]), (0 * whole[:k], whole[k:])))
    others = [
        (strength * whole, "The features' gradient has λ, but it is not turned: the factor is −λ."),
        (whole, "The features' gradient is that of the loss. Turn it: the factor is −λ."),
        (-whole, "The gradient is turned, but λ is missing: the factor is −λ, and it grows from step to step."),
        (-p * whole, "Your factor is −p. It is −λ, and λ = 2 / (1 + exp(−10 p)) − 1."),
        (-reversal_strength(p, 1) * whole, "The 10 is missing in the exponent, so λ never exceeds 0.46."),
        (-reversal_strength(step / (steps - 1)) * whole, "The progress is p = step / steps, not step / (steps − 1)."),
        (-reversal_strength((step + 1) / steps) * whole, "The progress is p = step / steps: 0 in the first step."),
        (-reversal_strength(1 - p) * whole, "λ falls from step to step. It grows, from 0."),
        (-(strength + 1) * whole, "λ ends with − 1: it is 0 in the first step."),
        (-(strength**2) * whole, "λ is in it twice, and yet the gradient is −λ times that of the loss."),
        (0 * whole, "No gradient reaches the features. Did you detach them?"),
        (-strength * of_source, "Only the source's gradient comes through. Both domains are to move."),
        (-strength * of_target, "Only the target's gradient comes through. Both domains are to move."),
        (of_target - strength * of_source, "The target's gradient is not turned. Turn that of both."),
        (of_source - strength * of_target, "The source's gradient is not turned. Turn that of both."),
    ]
    problem = "The features' gradient is not −λ times that of the loss."
    alone = flatten_gradients(seen["alone"], [source, target])
    if problem := explain("", alone, -strength * whole, others, problem=problem):
        return problem
    # A hook on the features themselves meets the gradient of the classes as well.
    domain, classes = gradient([weight], each.mean()), gradient([weight], class_loss)
    both = flatten_gradients(seen["both"], [weight])
    if not differs("", both, -strength * (domain + classes)):
        return "The gradient of the class loss is turned as well. Reverse on the way to the discriminator alone."
    if differs("", both, classes - strength * domain):
        return "With the class loss added, the gradient is not the sum of its own and of the turned one."
    return None


def _verify_domain_loss(case, seen, discriminator, logits, each):
    n, strength = len(case.inputs[2]), reversal_strength(case.inputs[-2] / case.inputs[-1])
    loss, apart = each.mean(), each.detach()
    means = apart[:n].mean() + apart[n:].mean()
    swapped = F.softplus(torch.cat([logits[:n], -logits[n:]])).mean()
    others = [
        (-apart.mean(), "The loss is turned. It stays as it is; only the gradient of the features turns."),
        (strength * apart.mean(), "λ is in the loss. It belongs to the gradient of the features alone."),
        (-strength * apart.mean(), "−λ is in the loss: the discriminator unlearns. Turn the features' gradient alone."),
        (swapped, "The domains are swapped: the source is 1, the target 0."),
        (apart.sum(), "Take the mean over all n + m features, not the sum."),
        (means / 2, "Take one mean over all n + m features, not that of two means."),
        (means, "Take one mean over all n + m features, not the sum of two means."),
        (apart[:n].mean(), "The target is missing in the loss."),
        (apart[n:].mean(), "The source is missing in the loss."),
    ]
    if problem := explain("loss", seen["loss"], apart.mean(), others):
        return problem
    parameters = list(discriminator.parameters())
    own = flatten_gradients(loss_gradients(loss, parameters), parameters)
    turned = "The discriminator's gradient is turned too, so it learns to confuse. Turn that of the features alone."
    others = [
        (-own, turned),
        (-strength * own, turned),
        (strength * own, "The discriminator's gradient has λ in it. λ belongs to the features' gradient alone."),
        (0 * own, "The discriminator gets no gradient, so it does not learn."),
    ]
    problem = "The loss is right, but the discriminator's gradient is not that of the loss."
    return explain("", flatten_gradients(seen["discriminator"], parameters), own, others, problem=problem)
