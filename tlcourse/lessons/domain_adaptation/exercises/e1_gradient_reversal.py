"""Put gradient reversal into the loss of a domain discriminator."""

import torch
import torch.nn.functional as F

from tlcourse.adapt import reversal_strength
from tlcourse.checks.compare import differs, explain
from tlcourse.checks.spec import Case
from tlcourse.checks.toolkit import CHANGED, NO_GRADIENT, draw_normal, flatten_gradients, loss_gradients
from tlcourse.lessons.domain_adaptation.observers import WIDTH, build_features

ID, TITLE, POINTS, ENTRY_POINT, SECONDS = "06.1", "Gradient reversal", 5, "domain_loss", 2
PARTS = {"loss": 2, "reversal": 3}


def cases(rng):
    # λ is 0 in the first step, where no gradient of the features is left.
    for part, n, m, step in (("loss", 7, 4, 4), ("loss", 5, 9, 13), ("reversal", 8, 5, 5), ("reversal", 4, 6, 0)):
        shapes = ((6, WIDTH), (n, 6), (m, 6), (WIDTH, 3))
        labels = torch.tensor(rng.integers(3, size=n))
        inputs = (int(rng.integers(2**31)), *(draw_normal(rng, *shape) for shape in shapes), labels, step, 40)
        yield Case(inputs, part=part)


def verify(case, seen):
    if seen is None:
        return NO_GRADIENT
    discriminator, weight, source, target, class_loss = build_features(case.inputs)
    if differs("", seen["features"], [source, target]):
        return CHANGED
    step, steps = case.inputs[-2:]
    p, strength = step / steps, reversal_strength(step / steps)
    logits = discriminator(torch.cat([source, target]))
    is_source = (torch.arange(len(logits)) < len(source)).double()
    each = F.binary_cross_entropy_with_logits(logits, is_source, reduction="none")
    if case.part == "loss":
        return _verify_domain_loss(seen, discriminator, logits.detach(), is_source, each, strength)

    def gradient(leaves, loss):
        return flatten_gradients(loss_gradients(loss, leaves), leaves)

    whole = gradient([source, target], each.mean())
    of_source, of_target = (whole * (is_source == side).repeat_interleave(WIDTH) for side in (1, 0))
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
    turned = "The gradient of the class loss is turned as well. Reverse on the way to the discriminator alone."
    problem = "With the class loss added, the gradient is not the sum of its own and of the turned one."
    others = [(-strength * (domain + classes), turned)]
    return explain("", both, classes - strength * domain, others, problem=problem)


def _verify_domain_loss(seen, discriminator, logits, is_source, each, strength):
    right, of_source, of_target = (
        losses.detach().mean() for losses in (each, each[is_source == 1], each[is_source == 0])
    )
    swapped = F.binary_cross_entropy_with_logits(logits, 1 - is_source)
    others = [
        (-right, "The loss is turned. It stays as it is; only the gradient of the features turns."),
        (strength * right, "λ is in the loss. It belongs to the gradient of the features alone."),
        (-strength * right, "−λ is in the loss: the discriminator unlearns. Turn the features' gradient alone."),
        (swapped, "The domains are swapped: the source is 1, the target 0."),
        (right * len(each), "Take the mean over all n + m features, not the sum."),
        ((of_source + of_target) / 2, "Take one mean over all n + m features, not that of two means."),
        (of_source + of_target, "Take one mean over all n + m features, not the sum of two means."),
        (of_source, "The target is missing in the loss."),
        (of_target, "The source is missing in the loss."),
    ]
    if problem := explain("loss", seen["loss"], right, others):
        return problem
    parameters = list(discriminator.parameters())
    own = flatten_gradients(loss_gradients(each.mean(), parameters), parameters)
    turned = "The discriminator's gradient is turned too, so it learns to confuse. Turn that of the features alone."
    others = [
        (-own, turned),
        (-strength * own, turned),
        (strength * own, "The discriminator's gradient has λ in it. λ belongs to the features' gradient alone."),
        (0 * own, "The discriminator gets no gradient, so it does not learn."),
    ]
    problem = "The loss is right, but the discriminator's gradient is not that of the loss."
    return explain("", flatten_gradients(seen["discriminator"], parameters), own, others, problem=problem)
