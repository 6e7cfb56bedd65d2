"""Exercises of lesson 06: reverse a gradient, CORAL, information, the price of a validator, a partial target, mend a loop."""

import copy
import math
from itertools import product

import numpy as np
import torch
import torch.nn.functional as F
from scipy.spatial.distance import cdist, pdist
from scipy.special import softmax
from torch import nn

from tlcourse.adapt import DomainDiscriminator, coral_loss, entropy, mutual_information, reversal_strength
from tlcourse.checks.compare import as_array, differs, misfit, name_mistake, named_tensors, same_tensors
from tlcourse.checks.spec import Case, Exercise

_NO_GRADIENT = "Return a tensor without dimensions that has a gradient: no item(), no torch.no_grad()."
_CHANGED = "The features are others than before your call. Leave them as they are: no change in place."


def _explain(got, right, others, problem, tolerance=1e-6):
    return name_mistake(got, others, problem, tolerance) if differs("", got, right, tolerance) else None


def _draw(rng, *shape):
    return torch.tensor(rng.normal(size=shape))


def _is_loss(value):
    return isinstance(value, torch.Tensor) and value.dim() == 0 and value.requires_grad


# 06.1 Gradient reversal

_LOSS, _REVERSAL = "loss", "reversal"
_WIDTH = 5


def _turn_cases(rng):
    cases = []
    # λ is 0 in the first step, where no gradient of the features is left.
    for part, n, m, step in ((_LOSS, 7, 4, 4), (_LOSS, 5, 9, 13), (_REVERSAL, 8, 5, 5), (_REVERSAL, 4, 6, 0)):
        shapes = ((6, _WIDTH), (n, 6), (m, 6), (_WIDTH, 3))
        labels = torch.tensor(rng.integers(3, size=n))
        inputs = (int(rng.integers(2**31)), *(_draw(rng, *shape) for shape in shapes), labels, step, 40)
        cases.append(Case(inputs, {"part": part}, part))
    return cases


def _features(inputs):
    """The discriminator, the weight that makes the features, the features of both domains, and the loss of the classes."""
    seed, weight, x, z, head, labels, _, _ = inputs
    discriminator, weight = DomainDiscriminator(_WIDTH, 8, seed).double(), weight.clone().requires_grad_()
    source, target = x @ weight, z @ weight
    return discriminator, weight, source, target, F.cross_entropy(source @ head, labels)


def _observe_turn(function, inputs):
    discriminator, weight, source, target, class_loss = _features(inputs)
    loss = function(source, target, discriminator, *inputs[-2:])
    if not _is_loss(loss):
        return None

    def gradients(loss, leaves):
        return list(torch.autograd.grad(loss, leaves, retain_graph=True, allow_unused=True))

    return {
        "loss": loss,
        "features": [source.detach().clone(), target.detach().clone()],
        "discriminator": gradients(loss, list(discriminator.parameters())),
        "alone": gradients(loss, [source, target]),
        "both": gradients(loss + class_loss, [weight])[0],
    }


def _flat(gradients, leaves):
    """Gradients end to end; None is a gradient of 0."""
    return torch.cat([torch.zeros(v.numel()) if g is None else g.reshape(-1) for g, v in zip(gradients, leaves)])


def _verify_turn(case, seen):
    if seen is None:
        return _NO_GRADIENT
    discriminator, weight, source, target, class_loss = _features(case.inputs)
    if any(differs("", got, value) for got, value in zip(seen["features"], (source, target))):
        return _CHANGED
    logits, n = discriminator(torch.cat([source, target])), len(source)
    is_source = (torch.arange(len(logits)) < n).double()
    each = F.binary_cross_entropy_with_logits(logits, is_source, reduction="none")
    if case.truth["part"] == _LOSS:
        return _verify_domain_loss(case, seen, discriminator, logits.detach(), each)

    def gradient(leaves, loss):
        return _flat(torch.autograd.grad(loss, leaves, retain_graph=True), leaves)

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
    if problem := _explain(_flat(seen["alone"], [source, target]), -strength * whole, others, problem):
        return problem
    # A hook on the features themselves meets the gradient of the classes as well.
    domain, classes = gradient([weight], each.mean()), gradient([weight], class_loss)
    both = _flat([seen["both"]], [weight])
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
    if problem := differs("loss", seen["loss"], apart.mean()):
        return name_mistake(seen["loss"], others, problem)
    parameters = list(discriminator.parameters())
    own = _flat(torch.autograd.grad(loss, parameters), parameters)
    turned = "The discriminator's gradient is turned too, so it learns to confuse. Turn that of the features alone."
    others = [
        (-own, turned),
        (-strength * own, turned),
        (strength * own, "The discriminator's gradient has λ in it. λ belongs to the features' gradient alone."),
        (0 * own, "The discriminator gets no gradient, so it does not learn."),
    ]
    problem = "The loss is right, but the discriminator's gradient is not that of the loss."
    return _explain(_flat(seen["discriminator"], parameters), own, others, problem)


# 06.2 CORAL

_TRANSFORM = "transform"


def _coral_cases(rng):
    cases = []
    for part in (_LOSS, _TRANSFORM):
        for n, m, width in ((14, 9, 5), (6, 8, 7)):  # in the second the source's covariance has no inverse
            pair = [_draw(rng, size, width) @ _draw(rng, width, width) + _draw(rng, width) for size in (n, m)]
            cases.append(Case(tuple(pair), {"part": part}, part))
    return cases


def _observe_coral(function, inputs):
    leaves = [value.clone().requires_grad_() for value in inputs]
    output = function(*leaves)
    if type(output) is not tuple or len(output) != 2:
        return None
    loss, moved = output
    gradients = list(torch.autograd.grad(loss, leaves, allow_unused=True)) if _is_loss(loss) else None
    return {"loss": loss, "gradients": gradients, "moved": moved, "after": leaves}


def _verify_coral(case, seen):
    if seen is None:
        return "Return two things: the loss, and the moved source features."
    if any(differs("", got, value) for got, value in zip(seen["after"], case.inputs)):
        return _CHANGED
    return (_verify_coral_loss if case.truth["part"] == _LOSS else _verify_transform)(seen, *case.inputs)


def _verify_coral_loss(seen, source, target):
    leaves = [value.clone().requires_grad_() for value in (source, target)]
    n, d = source.shape
    right, apart = coral_loss(*leaves), (source.mean(dim=0) - target.mean(dim=0)).square()
    squares = right.detach() * 4 * d**2

    def by(matrix):
        return (matrix(source) - matrix(target)).square().sum() / (4 * d**2)

    others = [
        (by(lambda x: torch.cov(x.T, correction=0)), "A covariance divides by n − 1, and yours by n."),
        (by(lambda x: x.T @ x / (len(x) - 1)), "Subtract the mean of each column before you multiply."),
        (by(lambda x: x.T @ x / len(x)), "Subtract the mean of each column first, and divide by n − 1."),
        (by(lambda x: (x - x.mean(dim=0)).T @ (x - x.mean(dim=0))), "Divide each covariance by its own n − 1."),
        (by(lambda x: torch.corrcoef(x.T)), "Those are correlations. Covariances keep the scale."),
        (by(lambda x: torch.cov(x.T).diag()), "Only the variances are in it. Take the whole matrices."),
        (squares.sqrt() / (4 * d**2), "The norm is to be squared."),
        (squares.sqrt(), "The norm is to be squared, and divided by 4 d²."),
        (squares, "Divide by 4 d²."),
        (squares / (4 * d), "You divide by 4 d. It is 4 d²."),
        (squares / d**2, "The 4 is missing: 4 d², where the mean of the squares has d²."),
        (squares / (4 * n**2), "d is the number of features, the columns. You take the rows."),
        (squares / d**2 + apart.mean(), "The means do not count in CORAL, and the squares are divided by 4 d²."),
        (right.detach() + apart.sum(), "The means do not count in CORAL."),
        (right.detach() + apart.mean(), "The means do not count in CORAL."),
    ]
    if problem := differs("loss", seen["loss"], right.detach()):
        return name_mistake(seen["loss"], others, problem)
    if seen["gradients"] is None:
        return f"loss: the value is right. {_NO_GRADIENT}"
    wanted = _flat(torch.autograd.grad(right, leaves), leaves)
    if differs("", _flat(seen["gradients"], leaves), wanted):
        return "The loss is right, but its gradient is not. Did you detach one of the two sides?"
    return None


def _power(matrix, exponent):
    values, vectors = torch.linalg.eigh(matrix)
    return vectors * values.clamp(min=1e-12) ** exponent @ vectors.T


def _verify_transform(seen, source, target):
    plain = [torch.cov(x.T) for x in (source, target)]
    unit, centred = torch.eye(source.shape[1]), source - source.mean(dim=0)
    c_s, c_t = (matrix + unit for matrix in plain)
    of_n = [torch.cov(x.T, correction=0) + unit for x in (source, target)]
    uncentred = [x.T @ x / (len(x) - 1) + unit for x in (source, target)]
    lower, back = torch.linalg.cholesky(c_t), torch.linalg.inv(torch.linalg.cholesky(c_s))

    def move(first, second, x=source):
        return x @ _power(first, -0.5) @ _power(second, 0.5)

    mean = "A mean is taken from the rows. Only the covariances are centred: multiply the rows as they are."
    cholesky = "Those are Cholesky factors. Take the symmetric roots."
    others = [
        (move(*plain), "The unit matrix is missing: add it to both covariances."),
        (move(c_s, plain[1]), "The unit matrix is missing in the target's covariance."),
        (move(plain[0], c_t), "The unit matrix is missing in the source's covariance."),
        (move(c_t, c_s), "The two are swapped: whiten by the source's matrix, colour by the target's."),
        (source @ _power(c_t, 0.5) @ _power(c_s, -0.5), "The order is turned: whiten first, then colour."),
        (source @ _power(c_s, -1) @ c_t, "Take the roots: the power −1/2 of the one matrix and 1/2 of the other."),
        (source @ _power(c_s, -0.5), "The features are whitened, but not coloured by the target."),
        (source @ _power(c_t, 0.5), "The features are coloured, but not whitened first."),
        (source @ back.T @ lower.T, cholesky),
        (source @ back @ lower, cholesky),
        (move(*of_n), "A covariance divides by n − 1, and yours by n."),
        (move(*uncentred), "The covariances are not centred: subtract the mean of each column."),
        *((move(c_s, c_t, centred) + shift, mean) for shift in (0, source.mean(dim=0), target.mean(dim=0))),
    ]
    if problem := misfit("moved", seen["moved"], source.shape):
        is_root = "NaN" in problem
        return f"{problem} The root of a matrix is not the root of its entries." if is_root else problem
    problem = "The moved features are not source · (C_S + I)^(−1/2) · (C_T + I)^(1/2)."
    return _explain(seen["moved"], move(c_s, c_t), others, problem)


# 06.3 Information maximisation

_MODERATE, _LARGE = "moderate logits", "large logits"


def _sure_cases(rng):
    cases = []
    for part, n, classes in ((_MODERATE, 11, 4), (_MODERATE, 8, 6), (_LARGE, 9, 5)):
        logits = 1.5 * _draw(rng, n, classes)
        if part == _LARGE:  # sure answers, ties among them; no image is of the last class
            logits[:6] = torch.tensor(rng.choice((-1000.0, 1000.0), size=(6, classes)))
            logits[torch.arange(6), torch.arange(6) % 4], logits[:, -1] = 1000, -1000
            logits[0] = torch.tensor([0, 0, 1000, 0, -1000])
        factors = (round(float(value), 2) for value in rng.permutation(rng.uniform((0.3, 1.2), (0.8, 2.0))))
        cases.append(Case((logits, *factors), {"part": part}, part))
    return cases


def _observe_sure(function, inputs):
    logits = inputs[0].clone().requires_grad_()
    loss = function(logits, *inputs[1:])
    if not _is_loss(loss):
        return None
    return {"loss": loss, "gradient": torch.autograd.grad(loss, logits, allow_unused=True)[0]}


def _verify_sure(case, seen):
    logits, a, b = case.inputs
    if seen is None:
        return _NO_GRADIENT
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
    if problem := differs("loss", seen["loss"], right.detach()):
        return name_mistake(seen["loss"], others, problem)
    if seen["gradient"] is None or not torch.isfinite(seen["gradient"]).all():
        return "The value is right, but the gradient is not finite: on the way back there is a log 0."
    if differs("", seen["gradient"], torch.autograd.grad(right, leaf)[0]):
        return "The value is right, but the gradient is not. Did you detach one of the entropies?"
    return None


# 06.4 What a validator costs

_VALIDATORS = {"information": 1, "agreement": 1, "entropy": -1, "source risk": -1}  # −1: better when smaller


def _regret_cases(rng):
    return [Case(_regret_inputs(rng, seeds, runs), {}) for seeds, runs in ((4, 7), (6, 5))]


def _regret_inputs(rng, seeds, runs):
    """Runs for which every likely mistake chooses other runs, or gives another regret."""
    while True:
        accuracies = np.round(rng.uniform(0.3, 0.95, size=(seeds, runs)), 3)
        scores = {}
        for name, sign in _VALIDATORS.items():
            values = np.round(2 + 3 * sign * (accuracies - 0.6) + rng.normal(0, 0.6, size=(seeds, runs)), 3)
            values[2] -= 3 * sign  # a bad seed: the mean of all scores would be the best of them
            values[[0, 1, 2], rng.permutation(runs)[:3]] = np.nan, np.inf, -np.inf
            values[3, accuracies[3].argmax()] = np.nan  # the best run has no score
            best = _chosen(values, sign)
            last = runs - 1 - (best[0] == runs - 1)
            values[0, last] = values[0, best[0]]  # a tie, not always of neighbours
            scores[name] = values
        inputs = accuracies, scores, [name for name, sign in _VALIDATORS.items() if sign < 0]
        right, choices = _choices(accuracies, scores)
        regrets, measures = _regrets(accuracies, scores, right)
        runs_of = np.stack([right, *(other for other, _ in choices)]).reshape(len(choices) + 1, -1)
        values_of = np.stack([regrets, *(other for other, _ in measures)])
        if pdist(runs_of).min() > 0 and pdist(values_of).min() > 1e-3:
            return inputs


def _chosen(values, sign, refused=lambda v: ~np.isfinite(v)):
    """The run of each seed with the best score, the first of equals."""
    return np.where(refused(values), -np.inf, sign * values).argmax(axis=1)


def _choices(accuracies, scores):
    """The runs that each validator chooses (validators, seeds), and those of likely mistakes with the message to each."""

    def choose(rule):
        return np.stack([rule(scores[name], sign) for name, sign in _VALIDATORS.items()])

    def on_average(values, sign):
        mean = np.nanmean(np.where(np.isfinite(values), values, np.nan), axis=0)
        return np.full(len(values), (sign * mean).argmax())

    infinite = "An infinite score is chosen. Runs whose score is not finite are out."
    return choose(_chosen), [
        (choose(lambda v, sign: _chosen(v, 1)), "Risks are better when smaller. You take the largest everywhere."),
        (choose(lambda v, sign: _chosen(v, -1)), "Only risks are better small. You take the smallest everywhere."),
        (choose(lambda v, sign: _chosen(v, -sign)), "The direction is turned: small is better for risks alone."),
        (choose(on_average), "You choose one run for all seeds. Each seed is a choice of its own."),
        (choose(lambda v, sign: (sign * v).argmax(axis=1)), "argmax takes NaN for the best. Leave such runs out."),
        (choose(lambda v, sign: _chosen(v, sign, np.isnan)), infinite),
        (choose(lambda v, sign: _chosen(np.nan_to_num(v), sign)), "What is not finite became a number. Leave it out."),
        (choose(lambda v, sign: v.shape[1] - 1 - _chosen(v[:, ::-1], sign)), "Of equal scores the first is chosen."),
        (choose(lambda v, sign: accuracies.argmax(axis=1)), "You choose by the accuracies. Only the oracle sees them."),
    ]


def _regrets(accuracies, scores, chosen):
    """The regret of each validator, and what likely mistakes give with the message to each."""
    got, best = np.take_along_axis(accuracies, chosen.T, axis=1).T, accuracies.max(axis=1)
    finite = np.stack([np.where(np.isfinite(scores[name]), accuracies, 0).max(axis=1) for name in _VALIDATORS])
    regrets = 100 * (best - got).mean(axis=1)
    rivals = [
        (accuracies.mean(axis=1), "You compare with the mean of the runs. The oracle is the best run of the seed."),
        (accuracies[:, -1], "You compare with the last run. The oracle is the best run of the seed."),
        (accuracies[:, 0], "You compare with the first run. The oracle is the best run of the seed."),
        (accuracies.mean(axis=0).max(), "Your oracle takes one run for all seeds. It takes the best of each seed."),
        (accuracies.max(), "Your oracle is the best run of all seeds. It takes the best of each seed."),
        (finite, "Your oracle leaves out runs without a finite score. It looks at no score."),
    ]
    return regrets, [
        (regrets / 100, "The regret is a fraction. Points are 100 times that."),
        (-regrets, "The sign is turned: the regret is the oracle's accuracy minus that of the chosen run."),
        *((100 * (rival - got).mean(axis=1), message) for rival, message in rivals),
        (100 * ((best - got) / best).mean(axis=1), "You divide by the oracle's accuracy. Take the difference."),
        (100 * (best - got).max(axis=1), "Take the mean over the seeds, not the worst of them."),
        (100 * (best - got).sum(axis=1), "Take the mean over the seeds, not the sum."),
        (100 * np.median(best - got, axis=1), "Take the mean over the seeds, not the median."),
    ]


def _verify_regret(case, output):
    accuracies, scores, _ = case.inputs
    if type(output) is not dict or output.keys() != scores.keys():
        return f"Return a dict with the names of the validators as keys: {', '.join(scores)}."
    for name, value in output.items():
        if type(value) is not tuple or len(value) != 2:
            return f"{name}: want two things, the chosen runs and the regret."
        if problem := misfit(f"{name}, runs", value[0], (len(accuracies),), kind="integers"):
            return problem
        if problem := misfit(f"{name}, regret", value[1], ()):
            return problem
    chosen, regrets = (np.stack([as_array(output[name][i]) for name in _VALIDATORS]) for i in (0, 1))
    right, choices = _choices(accuracies, scores)
    problem = "Other runs have the best score. Choose within each seed, among the finite scores."
    if problem := _explain(chosen, right, choices, problem):
        return problem
    right, measures = _regrets(accuracies, scores, right)
    return _explain(
        regrets, right, measures, "The runs are right, but a regret is not the oracle's lead, in points.", 1e-6
    )


# 06.5 A partial target

_PREDICTIONS, _WEIGHTS = "predictions", "weights"
_CLASSES, _SPACE = 8, 8
_STAYED_THERE = "These are the answers of the source's classifier: the target did not move."
_AMONG_ALL = "The target was moved to the mean of all source classes, the absent ones too. Weigh the classes."
_TAKE_TURNS = "Weights and place depend on each other, and one turn is not enough: take turns."


def _partial_cases(rng):
    worlds = [_partial_world(rng) for _ in range(3)]
    return [Case(inputs, truth | {"part": part}, part) for part in (_PREDICTIONS, _WEIGHTS) for inputs, truth in worlds]


def _partial_world(rng):
    """A source, and a target that its classifier misreads, whether the target moves to the mean of all classes or not."""
    while True:
        means = 2.2 * rng.normal(size=(_CLASSES, _SPACE))
        if not 5 < pdist(means).min() < pdist(means).max() < 12:
            continue
        order, labels = rng.permutation(_CLASSES), rng.permutation(np.repeat(np.arange(_CLASSES), 40))
        absent = order[3 + cdist(means[order[:1]], means[order[3:]])[0].argmin()]
        moved = rng.uniform(0.52, 0.6) * (means[absent] - means[order[0]])  # nearer to a class that is not there
        truth = rng.permutation(np.repeat(order[:3], (100, 60, 40)))
        source, target = (means[y] + rng.normal(size=(len(y), _SPACE)) for y in (labels, truth))
        inputs, shares = (source, labels, target + moved), np.bincount(truth, minlength=_CLASSES) / 100
        wrong = [
            (predicted == truth).mean() < 0.88 and abs(weights - shares).max() > 0.2
            for (weights, predicted), _ in _partial_others(*inputs)
        ]
        if all(wrong) and (_nearest(*inputs, rounds=3)[1] == truth).mean() > 0.985:  # and no luck is needed
            return inputs, {"truth": truth, "shares": shares}


def _nearest(source, labels, target, rounds, partial=True):
    """Weights of the classes and predictions by the nearest mean, after moves to the (weighted) mean of the source."""
    means = np.stack([source[labels == c].mean(axis=0) for c in range(_CLASSES)])
    for _ in range(rounds + 1):
        probs = softmax(-cdist(target, means, "sqeuclidean") / 2, axis=1)
        weights = probs.mean(axis=0) / probs.mean(axis=0).max()
        each = weights[labels] if partial else np.ones(len(labels))
        target = target + np.average(source, axis=0, weights=each) - target.mean(axis=0)
    return weights, probs.argmax(axis=1)


def _partial_others(source, labels, target):
    """(weights, predictions) of what does not do here, with the message to each."""
    scaled = (target - target.mean(axis=0)) / target.std(axis=0) * source.std(axis=0) + source.mean(axis=0)
    return [
        (_nearest(source, labels, target, rounds=0), _STAYED_THERE),
        (_nearest(source, labels, target, rounds=1, partial=False), _AMONG_ALL),
        (_nearest(source, labels, scaled, rounds=0), _AMONG_ALL),
        (_nearest(source, labels, target, rounds=1), _TAKE_TURNS),
    ]


def _verify_partial(case, output):
    truth, shares = case.truth["truth"], case.truth["shares"]
    if type(output) is not tuple or len(output) != 2:
        return "Return two arrays: the weights of the classes, and the predicted classes."
    others = _partial_others(*case.inputs)
    if case.truth["part"] == _PREDICTIONS:
        if problem := misfit("predictions", output[1], truth.shape, kind="integers"):
            return problem
        right = (as_array(output[1]) == truth).mean()
        alike = [message for (_, other), message in others if _unlike(output[1], other) < 0.04]
        likely = alike[0] if alike else _TAKE_TURNS
        return None if right >= 0.95 else f"{right:.1%} of the predictions are right, and 95% are wanted. {likely}"
    if problem := misfit("weights", output[0], shares.shape):
        return problem
    gap = abs(as_array(output[0]) - shares).max()
    mistaken = [
        (shares / shares.sum(), "The weights add up to 1. Divide by the largest, so that the largest is 1."),
        ((shares > 0) * 1.0, "A weight is the mean probability of a class, over the largest: it is not just 0 or 1."),
        (np.ones(_CLASSES), "All weights are alike. Classes that the target lacks weigh almost nothing."),
        *((weights, f"These weights are those of the first look. {message}") for (weights, _), message in others),
    ]
    problem = f"A weight is off by {gap:.2f}, and 0.15 is allowed."
    return name_mistake(output[0], mistaken, problem, 0.05) if gap > 0.15 else None


def _unlike(first, second):
    """Share of the entries that differ."""
    return (as_array(first) != as_array(second)).mean()


# 06.6 Bug clinic

_TRAINING, _CHOICE = "training", "choice"
_STEPS, _RATE = 5, 0.3
_OWN, _RUNNING, _LEFT = range(3)  # whose statistics evaluate: the target's, the running ones, and these train as well
# What can be wrong with the training: the way of it, and whether the weights of the last round were kept.
_SINGLE = (((True, _OWN), False), ((False, _RUNNING), False), ((False, _LEFT), False), ((False, _OWN), True))
_BOTH = "Both domains pass as one batch, so BatchNorm takes statistics of the mixture. Pass them one by one."
_MIXED = "The evaluation takes BatchNorm's running statistics, which mix the two domains. Take those of the target."
_STAYED = "After the first evaluation the network stays in eval mode, and so trains by running statistics."
_SHARED = "The predictions are those of the last round: state_dict() holds the weights themselves. Copy what you keep."
_OTHER = "Another round has the largest mutual information between target image and answer."
_LEAK = "In this round the accuracy on the target is best. Its labels may not choose: they are for the report alone."


def _clinic_cases(rng):
    first = _clinic_world(rng, (0.0, 1.0, 5.0, 25.0, 125.0), taken=None)
    second = _clinic_world(rng, (1.0, 5.0, 25.0, 125.0, 500.0), taken=first[0])
    worlds = [world for _, *world in (first, second)]
    return [Case(inputs, truth | {"part": part}, part) for part in (_TRAINING, _CHOICE) for inputs, truth in worlds]


def _clinic_world(rng, strengths, taken):
    """The round to choose, not the taken one, and domains where it is ahead, labels would choose another, and bugs show."""
    while True:
        means, shares = 1.1 * rng.normal(size=(4, 6)), rng.permutation([64, 48, 32, 16])
        y, truth = (rng.permutation(np.repeat(np.arange(4), counts)) for counts in (40, shares))
        x, z = (means[labels] + rng.normal(size=(160, 6)) for labels in (y, truth))
        z = z * np.exp(rng.normal(0, 0.5, size=6)) + 1.5 * rng.normal(size=6)
        x, y, z, truth = map(torch.tensor, (x, y, z, truth))
        inputs = int(rng.integers(2**31)), x, y, z, truth, strengths
        plain = _adapted(*inputs, both=False, left=False)
        information, accuracy = _judged(plain[_OWN], truth)
        best = information.argmax()
        ahead = information[best] - np.delete(information, best).max()
        if ahead < 0.03 or best in (taken, len(strengths) - 1) or accuracy.max() < accuracy[best] + 0.02:
            continue
        runs = {(False, statistics): plain[statistics] for statistics in (_OWN, _RUNNING)}
        mixed = _adapted(*inputs, both=True, left=False)
        runs |= {(True, statistics): mixed[statistics] for statistics in (_OWN, _RUNNING)}
        runs |= {(both, _LEFT): _adapted(*inputs, both, left=True)[_RUNNING] for both in (False, True)}
        classes = {way: [logits.argmax(dim=1) for logits in run] for way, run in runs.items()}
        chosen = {way: [values.argmax() for values in _judged(run, truth)] for way, run in runs.items()}
        shown = all(
            _ways(classes, classes[way][-1 if last else chosen[way][0]], chosen[way][0], 0.06)[0] == (way, last)
            for way, last in _SINGLE
        )
        information, accuracy = chosen[True, _LEFT]
        if shown and (taken is not None or accuracy not in (best, information)):  # once is enough to fail the script
            return best, inputs, {"classes": classes, "chosen": chosen}


def _ways(classes, predicted, number, slack=0.02):
    """What may have led to predictions, fewest bugs first: (way, whether they belong to the last round instead)."""
    ways = sorted(product(classes, (False, True)), key=lambda pair: pair[0][0] + pair[0][1] + pair[1])
    return [(way, last) for way, last in ways if _unlike(predicted, classes[way][-1 if last else number]) <= slack]


def _judged(run, truth):
    """Information and accuracy of each round."""
    information = [mutual_information(logits).item() for logits in run]
    return np.array(information), np.array([1 - _unlike(logits.argmax(dim=1), truth) for logits in run])


def _clinic_network(seed):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers = nn.Linear(6, 24), nn.BatchNorm1d(24), nn.ReLU(), nn.Linear(24, 4)
    return nn.Sequential(*layers).double().eval()


def _adapted(seed, x, y, z, _, strengths, both, left):
    """The target's logits after each round, by the target's own statistics and by the running ones.

    Args:
        both: whether the domains pass as one batch.
        left: whether the network is left in eval mode after the first round.
    """
    network = _clinic_network(seed).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=_RATE)
    own, running = [], []
    for strength in strengths:
        for _ in range(_STEPS):
            logits = network(torch.cat([x, z])) if both else torch.cat([network(x), network(z)])
            optimizer.zero_grad()
            (F.cross_entropy(logits[: len(x)], y) + strength * entropy(logits[len(x) :]).mean()).backward()
            optimizer.step()
        seen = copy.deepcopy(network)
        running.append(seen.eval()(z).detach())
        own.append(seen.train()(z).detach())
        network.train(not left)
    return own, running


def _observe_clinic(function, inputs):
    seed, x, y, z, truth, strengths = inputs
    model = _clinic_network(seed)
    answer = function(model, (x, y), (z, truth), list(strengths), _STEPS, _RATE)
    return {"answer": answer, "given": named_tensors(model)}


def _verify_clinic(case, seen):
    seed, _, _, _, truth, strengths = case.inputs
    classes, chosen = case.truth["classes"], case.truth["chosen"]
    if type(seen["answer"]) is not tuple or len(seen["answer"]) != 3:
        return "Return three things: the round, the predicted classes, their accuracy."
    number, predicted, accuracy = seen["answer"]
    if problem := misfit("round", number, (), kind="integers"):
        return problem
    number = int(as_array(number))
    if not 0 <= number < len(strengths):
        return f"round: want a number from 0 to {len(strengths) - 1}, got {number}."
    if problem := misfit("classes", predicted, (len(truth),), kind="integers"):
        return problem
    if any(not same_tensors(got, want) for got, want in zip(seen["given"], named_tensors(_clinic_network(seed)))):
        return "The network that you were given was changed. Train a copy.deepcopy of it."
    alike = _ways(classes, predicted, number)
    if not alike:
        return "The predictions are not what this training makes of the network by the end of that round."
    if case.truth["part"] == _TRAINING:
        (both, statistics), last = alike[0]
        has = (both, statistics != _OWN, statistics == _LEFT, last)
        return " ".join(bug for bug, is_there in zip((_BOTH, _MIXED, _STAYED, _SHARED), has) if is_there) or None
    # The choice is judged by itself: along the training that led to the predictions, bugs and all.
    if number not in [chosen[way][0] for way, _ in alike]:
        return _LEAK if number in [chosen[way][1] for way, _ in alike] else _OTHER
    right = {1 - _unlike(predicted, truth), *(1 - _unlike(classes[way][number], truth) for way, _ in alike)}
    if all(differs("", accuracy, value, 0.021) for value in right):
        return "The accuracy is not that of the predictions in the chosen round, as a number from 0 to 1."
    return None


EXERCISES = [
    Exercise(
        "06.1",
        "Gradient reversal",
        5,
        "domain_loss",
        2,
        _turn_cases,
        _verify_turn,
        _observe_turn,
        {_LOSS: 2, _REVERSAL: 3},
    ),
    Exercise("06.2", "CORAL", 5, "coral", 2, _coral_cases, _verify_coral, _observe_coral, {_LOSS: 2, _TRANSFORM: 3}),
    Exercise(
        "06.3",
        "Information maximisation",
        5,
        "information_loss",
        2,
        _sure_cases,
        _verify_sure,
        _observe_sure,
        {_MODERATE: 3, _LARGE: 2},
    ),
    Exercise("06.4", "What a validator costs", 5, "validator_regret", 2, _regret_cases, _verify_regret),
    Exercise(
        "06.5",
        "A partial target",
        6,
        "adapt_partial",
        20,
        _partial_cases,
        _verify_partial,
        parts={_PREDICTIONS: 3, _WEIGHTS: 3},
    ),
    Exercise(
        "06.6",
        "Bug clinic",
        6,
        "adapt_in_rounds",
        20,
        _clinic_cases,
        _verify_clinic,
        _observe_clinic,
        {_TRAINING: 3, _CHOICE: 3},
    ),
]
