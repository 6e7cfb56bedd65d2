"""Answers to the exercises of lesson 06: right ones, written differently, and wrong ones with what they must hear."""

import copy
import itertools
import math

import numpy as np
import torch
import torch.nn.functional as F
from scipy.linalg import fractional_matrix_power
from scipy.spatial.distance import cdist
from scipy.special import softmax
from sklearn.cluster import KMeans
from torch import nn

from tlcourse import adapt


def _strength(step, steps, steepness=10.0):
    return 2 / (1 + math.exp(-steepness * step / steps)) - 1


def domain_loss_by_function(source, target, discriminator, step, steps):
    class Turn(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, strength):
            ctx.strength = strength
            return x.clone()

        @staticmethod
        def backward(ctx, gradient):
            return gradient.neg() * ctx.strength, None

    logits = [discriminator(Turn.apply(features, math.tanh(5 * step / steps))) for features in (source, target)]
    return (F.softplus(-logits[0]).sum() + F.softplus(logits[1]).sum()) / (len(source) + len(target))


def domain_loss_with(
    turn=lambda x, strength: (1 + strength) * x.detach() - strength * x,
    strength=_strength,
    loss=lambda logits, is_source: F.binary_cross_entropy_with_logits(logits, is_source),
    finish=lambda loss, strength: loss,
    label=lambda is_source: is_source,
):
    def domain_loss(source_features, target_features, discriminator, step, steps):
        features = torch.cat([source_features, target_features])
        is_source = label((torch.arange(len(features)) < len(source_features)).double())
        factor = strength(step, steps)
        return finish(loss(discriminator(turn(features, factor)), is_source), factor)

    return domain_loss


def domain_loss_by_hook(on_copies):
    """Right on copies; on the features themselves, the hook turns every gradient that flows through them."""

    def domain_loss(source_features, target_features, discriminator, step, steps):
        both = [
            features.view_as(features) if on_copies else features for features in (source_features, target_features)
        ]
        for features in both:
            features.register_hook(lambda gradient: -_strength(step, steps) * gradient)
        logits = discriminator(torch.cat(both))
        is_source = torch.cat([torch.ones(len(both[0])), torch.zeros(len(both[1]))]).to(logits.dtype)
        return nn.BCELoss()(logits.sigmoid(), is_source)

    return domain_loss


def _meddle(source_features, target_features, discriminator, step, steps):
    loss = domain_loss_with()(source_features, target_features, discriminator, step, steps)
    source_features.data.neg_()
    return loss


def _turned_whole(source_features, target_features, discriminator, step, steps):
    """Turned behind the discriminator, so that it is turned too."""
    logits = discriminator(torch.cat([source_features, target_features]))
    is_source = (torch.arange(len(logits)) < len(source_features)).double()
    factor = _strength(step, steps)
    return F.binary_cross_entropy_with_logits((1 + factor) * logits.detach() - factor * logits, is_source)


def coral_by_numpy(source, target):
    """The loss by sums over pairs of columns, the transform by scipy."""
    centred = [x - x.mean(dim=0, keepdim=True) for x in (source, target)]
    c_s, c_t = (torch.einsum("ni,nj->ij", x, x) / (x.shape[0] - 1) for x in centred)
    loss = torch.linalg.matrix_norm(c_s - c_t) ** 2 / (2 * source.shape[1]) ** 2
    unit = np.eye(source.shape[1])
    whiten, colour = (
        fractional_matrix_power(np.cov(x.detach().numpy(), rowvar=False) + unit, power).real
        for x, power in ((source, -0.5), (target, 0.5))
    )
    return loss, source.detach().numpy() @ whiten @ colour


def _root(matrix, power):
    values, vectors = torch.linalg.eigh(matrix)
    return vectors @ torch.diag(values**power) @ vectors.T


def coral_with(
    covariance=lambda x: torch.cov(x.T),
    scale=lambda difference, d: difference.square().sum() / (4 * d**2),
    unit=(1, 1),
    whiten=lambda c: _root(c, -0.5),
    colour=lambda c: _root(c, 0.5),
    move=lambda x, w, c: x @ w @ c,
    order=(0, 1),
    finish=lambda loss, moved: (loss, moved),
):
    def coral(source, target):
        matrices = [covariance(x) for x in (source, target)]
        loss = scale(matrices[0] - matrices[1], source.shape[1])
        ridged = [matrices[i] + unit[i] * torch.eye(source.shape[1]) for i in order]
        with torch.no_grad():
            moved = move(source, whiten(ridged[0]), colour(ridged[1]))
        return finish(loss, moved)

    return coral


def _published_coral(source, target):
    """The mean of squares, and a term of the means."""
    loss = (torch.cov(source.T) - torch.cov(target.T)).square().mean()
    return loss + (source.mean(dim=0) - target.mean(dim=0)).square().mean(), coral_with()(source, target)[1]


def information_by_clamp(logits, certain, diverse):
    probs = logits.softmax(dim=1)
    own = -(probs * probs.clamp(min=1e-12).log()).sum(dim=1).mean()
    mean = probs.mean(dim=0)
    return certain * own + diverse * (mean * mean.clamp(min=1e-12).log()).sum()


def information_by_crossentropy(logits, certain, diverse):
    """Mean entropy is the cross-entropy of the predictions to themselves; the other is that of log C less a divergence."""
    own = F.cross_entropy(logits, logits.softmax(dim=1))
    mean = logits.softmax(dim=1).mean(dim=0)
    divergence = torch.xlogy(mean, mean.clamp(min=1e-30)).sum() + math.log(logits.shape[1])
    return certain * own - diverse * (math.log(logits.shape[1]) - divergence)


def information_with(
    combine=lambda own, spread, a, b: a * own - b * spread,
    entropies=lambda logits: adapt.entropy(logits).mean(),
    mean=lambda logits: logits.softmax(dim=1).mean(dim=0),
    spread=lambda p: -(p * p.clamp(min=1e-12).log()).sum(),
):
    def information_loss(logits, certain, diverse):
        return combine(entropies(logits), spread(mean(logits)), certain, diverse)

    return information_loss


def _naive_entropy(p):
    return -(p * p.log()).sum(dim=-1)


def _epsilon(epsilon):
    return information_with(
        entropies=lambda logits: -(logits.softmax(1) * (logits.softmax(1) + epsilon).log()).sum(dim=1).mean(),
        spread=lambda p: -(p * (p + epsilon).log()).sum(),
    )


def regret_by_loops(accuracies, scores, risks):
    found = {}
    for name, values in scores.items():
        chosen, lost = [], 0.0
        for row, accuracy in zip(values.tolist(), accuracies.tolist()):
            usable = [
                (value if name in risks else -value, run) for run, value in enumerate(row) if math.isfinite(value)
            ]
            chosen.append(min(usable)[1])
            lost += max(accuracy) - accuracy[chosen[-1]]
        found[name] = (chosen, 100 * lost / len(values))
    return found


def regret_with(
    clean=lambda v: np.where(np.isfinite(v), v, np.nan),
    sign=lambda name, risks: -1 if name in risks else 1,
    choose=lambda v, accuracies: np.nanargmax(v, axis=1),
    oracle=lambda accuracies, v: accuracies.max(axis=1),
    regret=lambda best, got: 100 * (best - got).mean(),
):
    def validator_regret(accuracies, scores, risks):
        found = {}
        for name, v in scores.items():
            chosen = choose(sign(name, risks) * clean(v), accuracies)
            got = accuracies[np.arange(len(v)), chosen]
            found[name] = (chosen, regret(oracle(accuracies, v), got))
        return found

    return validator_regret


def _one_run(v, accuracies):
    return np.full(len(v), np.nanargmax(np.nanmean(v, axis=0)))


def _last(v, accuracies):
    return v.shape[1] - 1 - np.nanargmax(v[:, ::-1], axis=1)


def partial_by_gaussians(source, labels, target):
    """Expectation maximisation for the shift of a mixture whose centres are the source's, and then for its shares."""
    means = np.stack([source[labels == c].mean(axis=0) for c in range(8)])
    shift, shares = np.zeros(source.shape[1]), np.full(8, 1 / 8)
    for number in range(40):
        probs = softmax(np.log(shares + 1e-12) - cdist(target - shift, means, "sqeuclidean") / 2, axis=1)
        shift = (target - probs @ means).mean(axis=0)
        shares = probs.mean(axis=0) if number > 20 else shares
    return shares / shares.max(), probs.argmax(axis=1)


def partial_by_clusters(source, labels, target):
    """Three clusters of the target, and the three classes whose centres have the same distances."""
    found = KMeans(3, n_init=10, random_state=0).fit(target)
    means = np.stack([source[labels == c].mean(axis=0) for c in range(8)])
    triples = [(a, b, c) for a in range(8) for b in range(8) for c in range(8) if len({a, b, c}) == 3]

    def misfit(triple):
        points = means[list(triple)]
        return np.abs(points - points.mean(axis=0) - found.cluster_centers_ + found.cluster_centers_.mean(axis=0)).sum()

    best = np.array(min(triples, key=misfit))
    counts = np.bincount(best[found.labels_], minlength=8)
    return counts / counts.max(), best[found.labels_]


def partial_by_network(source, labels, target):
    """A linear classifier in torch and a shift that is learned by the weighted means."""
    x, y, z = torch.tensor(source), torch.tensor(labels), torch.tensor(target)
    head = nn.Linear(8, 8).double()
    optimizer = torch.optim.LBFGS(head.parameters(), max_iter=50)

    def closure():
        optimizer.zero_grad()
        loss = F.cross_entropy(head(x), y) + 1e-3 * head.weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    with torch.no_grad():
        for _ in range(15):
            weights = head(z).softmax(dim=1).mean(dim=0)
            weights = weights / weights.max()
            each = weights[y][:, None]
            z = z + (each * x).sum(dim=0) / each.sum() - z.mean(dim=0)
    return weights, head(z).argmax(dim=1)


def partial_with(
    rounds=10, weigh=lambda probs: probs.mean(axis=0), centre=None, prepare=lambda z, x: z, finish=lambda w, p: (w, p)
):
    def adapt_partial(source, labels, target):
        means = np.stack([source[labels == c].mean(axis=0) for c in range(8)])
        target = prepare(target, source)
        for _ in range(rounds + 1):
            probs = softmax(-cdist(target, means, "sqeuclidean") / 2, axis=1)
            weights = weigh(probs) / weigh(probs).max()
            each = weights[labels] if centre is None else np.ones(len(labels))
            target = target + np.average(source, axis=0, weights=each) - target.mean(axis=0)
        return finish(weights, probs.argmax(axis=1))

    return adapt_partial


def _coloured(z, x):
    """CORAL, from the target to the source, with the means."""
    roots = fractional_matrix_power(np.cov(z.T), -0.5) @ fractional_matrix_power(np.cov(x.T), 0.5)
    return (z - z.mean(axis=0)) @ roots.real + x.mean(axis=0)


def adapt_by_statistics(model, source, target, weights, steps, lr):
    """The target's statistics are put into the running ones of a copy, which evaluates in eval mode."""
    (x, y), (z, truth) = source, target
    network = copy.deepcopy(model).train()
    found = []
    for weight in weights:
        for _ in range(steps):
            network.zero_grad()
            of_target = network(z)
            loss = F.cross_entropy(network(x), y) + weight * adapt.entropy(of_target).mean()
            loss.backward()
            with torch.no_grad():
                for parameter in network.parameters():
                    parameter -= lr * parameter.grad
        seen = copy.deepcopy(network)
        seen[1].reset_running_stats()
        seen[1].momentum = None
        with torch.no_grad():
            seen(z)
            logits = seen.eval()(z)
        found.append((adapt.mutual_information(logits).item(), logits.argmax(dim=1)))
    best = max(range(len(found)), key=lambda i: found[i][0])
    return best, found[best][1], (found[best][1] == truth).float().mean().item()


def adapt_with(
    both=False,
    evaluate=lambda network: network.train(),
    back=lambda network: network.train(),
    keep=copy.deepcopy,
    judge=lambda logits, truth: adapt.mutual_information(logits).item(),
    start=copy.deepcopy,
    weigh=lambda weight: weight,
    report=lambda predicted, truth: (predicted == truth).double().mean().item(),
):
    def adapt_in_rounds(model, source, target, weights, steps, lr):
        (x, y), (z, truth) = source, target
        network = start(model).train()
        optimizer = torch.optim.SGD(network.parameters(), lr=lr)
        best = (None, None, -math.inf)
        for number, weight in enumerate(weights):
            for _ in range(steps):
                pair = network(torch.cat([x, z])).split([len(x), len(z)]) if both else (network(x), network(z))
                loss = F.cross_entropy(pair[0], y) + weigh(weight) * adapt.entropy(pair[1]).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            evaluate(network)
            with torch.no_grad():
                value = judge(network(z), truth)
            if value > best[2]:
                best = (number, keep(network.state_dict()), value)
            back(network)
        network.load_state_dict(best[1])
        evaluate(network)
        with torch.no_grad():
            predicted = network(z).argmax(dim=1)
        return best[0], predicted, report(predicted, truth)

    return adapt_in_rounds


def _accuracy(logits, truth):
    return (logits.argmax(dim=1) == truth).double().mean().item()


_NUMBERS = itertools.count()


def _eval(network):
    return network.eval()


RIGHT = [
    ("06.1", domain_loss_by_function),
    ("06.1", domain_loss_with()),
    ("06.1", domain_loss_by_hook(on_copies=True)),
    ("06.2", coral_by_numpy),
    ("06.2", coral_with()),
    ("06.3", information_by_clamp),
    ("06.3", information_by_crossentropy),
    ("06.3", _epsilon(1e-9)),
    ("06.4", regret_by_loops),
    ("06.4", regret_with()),
    ("06.5", partial_by_gaussians),
    ("06.5", partial_by_clusters),
    ("06.5", partial_by_network),
    ("06.5", partial_with()),
    ("06.5", partial_with(rounds=6, weigh=lambda p: np.bincount(p.argmax(axis=1), minlength=8) / len(p))),
    ("06.6", adapt_by_statistics),
    ("06.6", adapt_with()),
]


WRONG = [
    ("06.1", domain_loss_by_hook(on_copies=False), "The gradient of the class loss is turned as well"),
    ("06.1", domain_loss_with(turn=lambda x, s: x), "The features' gradient is that of the loss"),
    ("06.1", domain_loss_with(turn=lambda x, s: 2 * x.detach() - x), "λ is missing: the factor is −λ"),
    ("06.1", domain_loss_with(turn=lambda x, s: (1 - s) * x.detach() + s * x), "it is not turned: the factor is −λ"),
    ("06.1", domain_loss_with(turn=lambda x, s: -s * x), "loss: "),
    ("06.1", domain_loss_with(turn=lambda x, s: x.detach()), "No gradient reaches the features"),
    ("06.1", domain_loss_with(turn=lambda x, s: (1 + s * s) * x.detach() - s * s * x), "λ is in it twice"),
    ("06.1", domain_loss_with(strength=lambda i, n: i / n), "Your factor is −p"),
    ("06.1", domain_loss_with(strength=lambda i, n: _strength(i, n, 1.0)), "The 10 is missing"),
    ("06.1", domain_loss_with(strength=lambda i, n: _strength(i, n - 1)), "not step / (steps − 1)"),
    ("06.1", domain_loss_with(strength=lambda i, n: _strength(i + 1, n)), "0 in the first step"),
    ("06.1", domain_loss_with(strength=lambda i, n: _strength(n - i, n)), "λ falls from step to step"),
    ("06.1", domain_loss_with(strength=lambda i, n: _strength(i, n) + 1), "λ ends with − 1"),
    ("06.1", domain_loss_with(finish=lambda loss, s: -loss), "The loss is turned"),
    ("06.1", domain_loss_with(turn=lambda x, s: x, finish=lambda loss, s: -s * loss), "the discriminator unlearns"),
    ("06.1", domain_loss_with(finish=lambda loss, s: s * loss), "λ is in the loss"),
    ("06.1", domain_loss_with(label=lambda y: 1 - y), "The domains are swapped"),
    (
        "06.1",
        domain_loss_with(loss=lambda z, y: F.binary_cross_entropy_with_logits(z, y, reduction="sum")),
        "Take the mean over all n + m features, not the sum",
    ),
    (
        "06.1",
        domain_loss_with(loss=lambda z, y: (F.softplus(-z[y == 1]).mean() + F.softplus(z[y == 0]).mean()) / 2),
        "not that of two means",
    ),
    ("06.1", domain_loss_with(loss=lambda z, y: F.softplus(-z[y == 1]).mean()), "The target is missing in the loss"),
    ("06.1", _turned_whole, "The discriminator's gradient is turned too"),
    ("06.1", _meddle, "no change in place"),
    ("06.1", domain_loss_with(finish=lambda loss, s: loss.item()), "has a gradient: no item()"),
    ("06.2", _published_coral, "The means do not count in CORAL, and the squares"),
    ("06.2", coral_with(covariance=lambda x: torch.cov(x.T, correction=0)), "divides by n − 1, and yours by n"),
    ("06.2", coral_with(covariance=lambda x: x.T @ x / (len(x) - 1)), "Subtract the mean of each column before"),
    ("06.2", coral_with(covariance=lambda x: x.T @ x / len(x)), "Subtract the mean of each column first, and"),
    ("06.2", coral_with(covariance=lambda x: (x - x.mean(0)).T @ (x - x.mean(0))), "by its own n − 1"),
    ("06.2", coral_with(covariance=lambda x: torch.corrcoef(x.T)), "Those are correlations"),
    ("06.2", coral_with(covariance=lambda x: torch.diag(x.var(dim=0))), "Only the variances"),
    ("06.2", coral_with(scale=lambda c, d: c.norm() / (4 * d**2)), "The norm is to be squared."),
    ("06.2", coral_with(scale=lambda c, d: c.square().sum()), "Divide by 4 d²."),
    ("06.2", coral_with(scale=lambda c, d: c.square().sum() / (4 * d)), "You divide by 4 d."),
    ("06.2", coral_with(scale=lambda c, d: c.square().mean()), "The 4 is missing"),
    ("06.2", coral_with(scale=lambda c, d: (c.square().sum() / (4 * d**2)).detach()), "loss: the value is right"),
    ("06.2", lambda s, t: (coral_with()(s, t.detach())[0], coral_with()(s, t)[1]), "its gradient is not"),
    ("06.2", coral_with(unit=(0, 0)), "add it to both covariances"),
    ("06.2", coral_with(unit=(1, 0), colour=lambda c: _root(c, 0.5)), "missing in the target's covariance"),
    ("06.2", coral_with(unit=(0, 1)), "missing in the source's covariance"),
    ("06.2", coral_with(order=(1, 0)), "The two are swapped"),
    ("06.2", coral_with(move=lambda x, w, c: x @ c @ w), "whiten first, then colour"),
    ("06.2", coral_with(whiten=torch.linalg.inv, colour=lambda c: c), "Take the roots"),
    ("06.2", coral_with(colour=lambda c: torch.eye(len(c), dtype=c.dtype)), "whitened, but not coloured"),
    ("06.2", coral_with(whiten=lambda c: torch.eye(len(c), dtype=c.dtype)), "coloured, but not whitened"),
    (
        "06.2",
        coral_with(
            whiten=lambda c: torch.linalg.inv(torch.linalg.cholesky(c)).T, colour=lambda c: torch.linalg.cholesky(c).T
        ),
        "Cholesky factors",
    ),
    ("06.2", coral_with(colour=torch.sqrt), "The root of a matrix is not the root of its entries"),
    ("06.2", coral_with(move=lambda x, w, c: (x - x.mean(0)) @ w @ c), "A mean is taken from the rows"),
    ("06.2", coral_with(finish=lambda loss, moved: loss), "Return two things"),
    ("06.3", information_with(combine=lambda own, spread, a, b: b * spread - a * own), "The sign is turned"),
    ("06.3", information_with(combine=lambda own, spread, a, b: a * own + b * spread), "so it has a minus"),
    ("06.3", information_with(combine=lambda own, spread, a, b: b * own - a * spread), "The two factors are swapped"),
    ("06.3", information_with(combine=lambda own, spread, a, b: a * spread - b * own), "The two entropies are swapped"),
    ("06.3", information_with(combine=lambda own, spread, a, b: own - spread), "are missing"),
    ("06.3", information_with(combine=lambda own, spread, a, b: a * own), "one class for all images"),
    (
        "06.3",
        information_with(combine=lambda own, spread, a, b: (a * own - b * spread) / math.log(2)),
        "Those are bits",
    ),
    ("06.3", information_with(entropies=lambda logits: adapt.entropy(logits).sum()), "not the sum"),
    (
        "06.3",
        information_with(entropies=lambda logits: -(logits.softmax(1) * logits.log_softmax(1)).mean()),
        "You take a mean over them",
    ),
    ("06.3", information_with(mean=lambda logits: logits.mean(dim=0).softmax(dim=0)), "the softmax of the mean logits"),
    ("06.3", _epsilon(1e-5), "An epsilon is in your logarithm"),
    ("06.3", information_with(entropies=lambda z: _naive_entropy(z.softmax(1)).mean()), "0 · log 0 is NaN"),
    ("06.3", information_with(spread=_naive_entropy), "0 · log 0 is NaN"),
    ("06.3", information_with(spread=lambda p: torch.special.entr(p).sum()), "the gradient is not finite"),
    ("06.3", information_with(spread=lambda p: -(p * p.log()).nan_to_num().sum()), "the gradient is not finite"),
    ("06.3", information_with(spread=lambda p: _naive_entropy(p).nan_to_num()), "Only the mean entropy is in it"),
    ("06.3", information_with(mean=lambda z: z.softmax(1).mean(0).detach()), "Did you detach one of the entropies"),
    ("06.3", lambda logits, a, b: information_by_clamp(logits, a, b).item(), "has a gradient: no item()"),
    ("06.4", regret_with(sign=lambda name, risks: 1), "Risks are better when smaller"),
    ("06.4", regret_with(sign=lambda name, risks: -1), "Only risks are better small"),
    ("06.4", regret_with(sign=lambda name, risks: 1 if name in risks else -1), "The direction is turned"),
    ("06.4", regret_with(choose=_one_run), "You choose one run for all seeds"),
    ("06.4", regret_with(clean=lambda v: v, choose=lambda v, a: v.argmax(axis=1)), "argmax takes NaN for the best"),
    ("06.4", regret_with(clean=lambda v: v), "An infinite score is chosen"),
    ("06.4", regret_with(clean=np.nan_to_num), "What is not finite became a number"),
    ("06.4", regret_with(choose=_last), "Of equal scores the first is chosen"),
    ("06.4", regret_with(choose=lambda v, accuracies: accuracies.argmax(axis=1)), "You choose by the accuracies"),
    ("06.4", regret_with(regret=lambda best, got: (best - got).mean()), "Points are 100 times that"),
    ("06.4", regret_with(regret=lambda best, got: 100 * (got - best).mean()), "The sign is turned"),
    (
        "06.4",
        regret_with(regret=lambda best, got: 100 * (1 - got / best).mean()),
        "You divide by the oracle's accuracy",
    ),
    ("06.4", regret_with(regret=lambda best, got: 100 * (best - got).max()), "not the worst of them"),
    ("06.4", regret_with(regret=lambda best, got: 100 * (best - got).sum()), "not the sum"),
    ("06.4", regret_with(oracle=lambda a, v: a.mean(axis=1)), "You compare with the mean of the runs"),
    ("06.4", regret_with(oracle=lambda a, v: a[:, -1]), "You compare with the last run"),
    ("06.4", regret_with(oracle=lambda a, v: a.mean(axis=0).max()), "Your oracle takes one run for all seeds"),
    ("06.4", regret_with(oracle=lambda a, v: a.max()), "the best run of all seeds"),
    (
        "06.4",
        regret_with(oracle=lambda a, v: np.where(np.isfinite(v), a, 0).max(axis=1)),
        "leaves out runs without a finite score",
    ),
    ("06.4", lambda a, s, r: {name: 0.0 for name in s}, "want two things"),
    ("06.4", lambda a, s, r: [0.0], "Return a dict"),
    ("06.5", partial_with(rounds=0), "the target did not move"),
    ("06.5", partial_with(rounds=1), "one turn is not enough"),
    ("06.5", partial_with(rounds=1, centre="all"), "the absent ones too. Weigh the classes"),
    ("06.5", partial_with(rounds=10, centre="all"), "the absent ones too. Weigh the classes"),
    (
        "06.5",
        partial_with(rounds=0, prepare=lambda z, x: (z - z.mean(0)) / z.std(0) * x.std(0) + x.mean(0)),
        "the absent ones too. Weigh the classes",
    ),
    ("06.5", partial_with(rounds=0, prepare=_coloured), "and 95% are wanted"),
    ("06.5", partial_with(finish=lambda w, p: (w / w.sum(), p)), "The weights add up to 1"),
    ("06.5", partial_with(finish=lambda w, p: ((w > 0.1) * 1.0, p)), "not just 0 or 1"),
    ("06.5", partial_with(finish=lambda w, p: (np.ones(8), p)), "All weights are alike"),
    (
        "06.5",
        lambda s, y, t: (partial_with(rounds=0)(s, y, t)[0], partial_with()(s, y, t)[1]),
        "those of the first look",
    ),
    ("06.5", lambda s, y, t: partial_with()(s, y, t)[1], "Return two arrays"),
    ("06.6", adapt_with(both=True), "Both domains pass as one batch"),
    ("06.6", adapt_with(evaluate=_eval), "The evaluation takes BatchNorm's running statistics"),
    ("06.6", adapt_with(evaluate=_eval, back=_eval), "the network stays in eval mode"),
    ("06.6", adapt_with(keep=lambda state: state), "state_dict() holds the weights themselves"),
    ("06.6", adapt_with(judge=_accuracy), "Its labels may not choose"),
    ("06.6", adapt_with(both=True, evaluate=_eval), "BatchNorm"),
    (
        "06.6",
        adapt_with(judge=lambda logits, truth: next(_NUMBERS)),
        "Another round has the largest mutual information",
    ),
    ("06.6", adapt_with(start=lambda model: model), "The network that you were given was changed"),
    ("06.6", adapt_with(weigh=lambda weight: 1.0), "not what this training makes of the network"),
    ("06.6", adapt_with(report=lambda predicted, truth: 1.0), "The accuracy is not that of the predictions"),
    ("06.6", lambda model, s, t, weights, steps, lr: 3, "Return three things"),
]
