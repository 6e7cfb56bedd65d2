"""Fix a script that adapts in rounds and chooses one of them without the target's labels."""

import copy
from itertools import product

import numpy as np
import torch
import torch.nn.functional as F

from tlcourse.adapt import entropy, mutual_information
from tlcourse.checks.compare import as_array, differs, misfit, project, same_tensors
from tlcourse.checks.spec import Case
from tlcourse.checks.toolkit import disagreement
from tlcourse.lessons.domain_adaptation.observers import RATE, STEPS, build_network

ID, TITLE, POINTS, ENTRY_POINT, SECONDS = "06.6", "Bug clinic", 6, "adapt_in_rounds", 20
PARTS = {"training": 3, "choice": 3}
_OWN, _RUNNING, _LEFT = range(3)  # whose statistics evaluate: the target's, the running ones, and these train as well
# What can be wrong with the training: the way of it, and whether the weights of the last round were kept.
_SINGLE = (((True, _OWN), False), ((False, _RUNNING), False), ((False, _LEFT), False), ((False, _OWN), True))
_BOTH = "Both domains pass as one batch, so BatchNorm takes statistics of the mixture. Pass them one by one."
_MIXED = "The evaluation takes BatchNorm's running statistics, which mix the two domains. Take those of the target."
_STAYED = "After the first evaluation the network stays in eval mode, and so trains by running statistics."
_SHARED = "The predictions are those of the last round: state_dict() holds the weights themselves. Copy what you keep."


def cases(rng):
    best, *first = _draw_world(rng, (0.0, 1.0, 5.0, 25.0, 125.0), taken=None)
    _, *second = _draw_world(rng, (1.0, 5.0, 25.0, 125.0, 500.0), taken=best)
    return [Case(*world, part) for part in PARTS for world in (first, second)]


def verify(case, seen):
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
    if not same_tensors(seen["given"], project(build_network(seed))["state"]):
        return "The network that you were given was changed. Train a copy.deepcopy of it."
    alike = _ways(classes, predicted, number)
    if not alike:
        return "The predictions are not what this training makes of the network by the end of that round."
    if case.part == "training":
        (both, statistics), last = alike[0]
        has = (both, statistics != _OWN, statistics == _LEFT, last)
        return " ".join(bug for bug, is_there in zip((_BOTH, _MIXED, _STAYED, _SHARED), has) if is_there) or None
    # The choice is judged by itself: along the training that led to the predictions, bugs and all.
    if number not in [chosen[way][0] for way, _ in alike]:
        if number in [chosen[way][1] for way, _ in alike]:
            return "In this round the accuracy on the target is best. Its labels may not choose: they are for the report alone."
        return "Another round has the largest mutual information between target image and answer."
    right = {1 - disagreement(predicted, truth), *(1 - disagreement(classes[way][number], truth) for way, _ in alike)}
    if all(differs("", accuracy, value, 0.021) for value in right):
        return "The accuracy is not that of the predictions in the chosen round, as a number from 0 to 1."
    return None


def _draw_world(rng, strengths, taken):
    """The round to choose, not the taken one, and domains where it is ahead, labels would choose another, and bugs show."""
    while True:
        means, shares = 1.1 * rng.normal(size=(4, 6)), rng.permutation([64, 48, 32, 16])
        y, truth = (rng.permutation(np.repeat(np.arange(4), counts)) for counts in (40, shares))
        x, z = (means[labels] + rng.normal(size=(160, 6)) for labels in (y, truth))
        z = z * np.exp(rng.normal(0, 0.5, size=6)) + 1.5 * rng.normal(size=6)
        x, y, z, truth = map(torch.tensor, (x, y, z, truth))
        inputs = int(rng.integers(2**31)), x, y, z, truth, strengths
        information, accuracy = _judged(_adapted(*inputs, one_batch=False, left_in_eval=False)[0], truth)
        best = information.argmax()
        ahead = information[best] - np.delete(information, best).max()
        if ahead < 0.03 or best in (taken, len(strengths) - 1) or accuracy.max() < accuracy[best] + 0.02:
            continue
        runs = {}
        for both in (False, True):
            runs[both, _OWN], runs[both, _RUNNING] = _adapted(*inputs, both, left_in_eval=False)
        runs |= {(both, _LEFT): _adapted(*inputs, both, left_in_eval=True)[1] for both in (False, True)}
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
    return [(way, last) for way, last in ways if disagreement(predicted, classes[way][-1 if last else number]) <= slack]


def _judged(run, truth):
    """Information and accuracy of each round."""
    pairs = [(mutual_information(logits).item(), 1 - disagreement(logits.argmax(dim=1), truth)) for logits in run]
    return np.array(pairs).T


def _adapted(seed, x, y, z, _, strengths, one_batch, left_in_eval):
    """The target's logits after each round, by its own statistics and by the running ones."""
    network = build_network(seed).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=RATE)
    own, running = [], []
    for strength in strengths:
        for _ in range(STEPS):
            logits = network(torch.cat([x, z])) if one_batch else torch.cat([network(x), network(z)])
            optimizer.zero_grad()
            (F.cross_entropy(logits[: len(x)], y) + strength * entropy(logits[len(x) :]).mean()).backward()
            optimizer.step()
        seen = copy.deepcopy(network)
        running.append(seen.eval()(z).detach())
        own.append(seen.train()(z).detach())
        network.train(not left_in_eval)
    return own, running
