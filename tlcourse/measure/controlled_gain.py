"""Take the gain of pre-training apart: data, architecture, scale of the weights, and the features themselves."""

import copy
import statistics
from dataclasses import dataclass
from itertools import pairwise

import torch
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits
from torch import nn

from tlcourse import models, training
from tlcourse.data.splits import few_shot


@dataclass(frozen=True)
class ControlledGain:
    """Accuracies of four rungs, each with one thing more than the rung before.

    Attributes:
        accuracy: rung → list of test accuracies in [0, 1], one per seed. The rungs: "data", a linear classifier on
            pixels; "architecture", the network from its usual random weights; "scale", from random weights with the
            mean and variance of each pre-trained tensor; "features", from the pre-trained weights.
        lr: rung → the learning rate chosen on the validation images; None for "data".
        chance: accuracy of the commonest class of the test images.
    """

    accuracy: dict
    lr: dict
    chance: float

    def steps(self):
        """What each rung adds to the one before, in percentage points, as rung → list with one number per seed."""
        runs = {"chance": [self.chance] * len(self.accuracy["data"]), **self.accuracy}
        names = list(runs)
        return {
            name: [100 * (now - before) for before, now in zip(runs[below], runs[name], strict=True)]
            for below, name in pairwise(names)
        }


def controlled_gain(sources, train, val, test, *, per_class, seeds, learning_rates, epochs, batch_size=16):
    """Measure what data, architecture, weight scale and features each contribute to fine-tuning from few labels.

    The rung "scale" is the Mean Var initialisation of Raghu et al., Transfusion: Understanding Transfer Learning for
    Medical Imaging, NeurIPS, 2019. All rungs get the same images; those of the network the same steps and as many
    trials.

    Args:
        sources: names of bundled networks (see models.zoo); the seeds take them in turn.
        train: Images to draw the labelled ones from.
        val: Images on which each rung chooses its learning rate, by the mean accuracy over the seeds.
        test: Images to report on; used once for each rung and seed.
        per_class: labelled images of each class.
        seeds: one repetition each: it draws the images, the random weights and the order.
        learning_rates: the rates that each rung tries.
        epochs, batch_size: as in training.fit.

    Returns:
        ControlledGain.

    Raises:
        ValueError: no sources, seeds or learning rates; or as few_shot, load and fit.
    """
    for name, values in (("sources", sources), ("seeds", seeds), ("learning_rates", learning_rates)):
        if isinstance(values, str) or not len(values):
            raise ValueError(f"{name}={values!r}: give a list with at least one entry")
    accuracy = {"data": [], "architecture": [], "scale": [], "features": []}
    chosen = {"data": None}
    for seed in seeds:
        few = few_shot(train, per_class, seed=seed)
        with threadpool_limits(limits=1, user_api="blas"):  # starting threads takes longer than these sums
            pixels = LogisticRegression(max_iter=2000).fit(few.x.flatten(1), few.y)
        accuracy["data"].append(pixels.score(test.x.flatten(1), test.y))
    for rung in ("architecture", "scale", "features"):
        trained = {lr: [] for lr in learning_rates}
        for lr, networks in trained.items():
            for i, seed in enumerate(seeds):
                network = _start(rung, sources[i % len(sources)], len(train.classes), seed)
                few = few_shot(train, per_class, seed=seed)
                training.fit(network, few, epochs=epochs, lr=lr, batch_size=batch_size, seed=seed)
                networks.append(network)
        on_val = {lr: statistics.mean(training.evaluate(n, val) for n in trained[lr]) for lr in trained}
        chosen[rung] = max(on_val, key=lambda rate: on_val[rate])
        accuracy[rung] = [training.evaluate(network, test) for network in trained[chosen[rung]]]
    return ControlledGain(accuracy, chosen, torch.bincount(test.y).max().item() / len(test))


def _start(rung, source, num_classes, seed):
    if rung == "architecture":
        return models.tiny_resnet(num_classes, seed=seed)
    pretrained = models.load(source, num_classes=num_classes, seed=seed)
    return pretrained if rung == "features" else match_scale(pretrained, seed=seed)


def match_scale(model, seed=0):
    """Copy a network and draw each parameter anew from a normal distribution with that tensor's mean and variance.

    Everything that training has put into the weights is gone but their scale (Raghu et al., Transfusion, NeurIPS, 2019).
    BatchNorm's running statistics begin again: they describe features that are gone. The last linear layer, a fresh
    head in transfer, is copied as it is.

    Args:
        model: network with a linear head.
        seed: draws the weights; the global random state is left as it was.

    Returns:
        nn.Module in the mode of model.
    """
    matched = copy.deepcopy(model)
    generator = torch.Generator().manual_seed(seed)
    head = models.head_name(model)
    with torch.no_grad():
        for name, parameter in matched.named_parameters():
            if not name.startswith(f"{head}."):
                noise = torch.randn(parameter.shape, generator=generator).to(parameter.device)
                parameter.copy_(parameter.mean() + parameter.std(correction=0) * noise)
    for module in matched.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.reset_running_stats()
    return matched
