"""Ways to fine-tune, all with one signature and one budget: strategy(model, train, val, budget) -> FineTuned.

Every strategy gets the same number of gradient steps in each trial and the same number of trials, and the validation
images choose among them.
"""

import copy
import itertools
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import nn

from tlcourse.data.images import Images
from tlcourse.models.groups import find_part, head_name, list_parts
from tlcourse.training.fitting import evaluate, fit
from tlcourse.training.freezing import freeze, unfreeze
from tlcourse.training.labels import check_sets
from tlcourse.training.lora import add_lora, merge_lora
from tlcourse.training.memory import training_memory
from tlcourse.training.regularizers import l2_sp


@dataclass(frozen=True)
class Budget:
    """What every strategy may spend.

    Attributes:
        steps: gradient steps of one trial, at least 1; rounded to whole epochs, at least one. No strategy takes more.
        learning_rates: the highest learning rate of each trial.
        batch_size: images per step.
        seed: draws the order of the images.
        augment: a function from a batch to a batch of training images, or None.
    """

    steps: int = 100
    learning_rates: tuple[float, ...] = (1e-3, 3e-3, 1e-2)
    batch_size: int = 16
    seed: int = 0
    augment: Callable[[torch.Tensor], torch.Tensor] | None = None


class FineTuned(NamedTuple):
    """The network of the best trial, and what it took.

    Attributes:
        model: the fine-tuned network, in eval mode; the one that was given is left as it was.
        lr: the learning rate that the validation images chose (the first of equals).
        val_accuracy: of that trial, in [0, 1].
        trials: dict from each learning rate to its validation accuracy.
        trained_parameters: how many numbers were trained, in the phase that trains most.
        memory: bytes that one of its steps holds; see training_memory().
        seconds: of all trials together.
    """

    model: nn.Module
    lr: float
    val_accuracy: float
    trials: dict[float, float]
    trained_parameters: int
    memory: int
    seconds: float


def head_only(model: nn.Module, train: Images, val: Images, budget: Budget) -> FineTuned:
    """Train the head on the frozen body: a linear probe that can be augmented."""

    def trial(network, lr):
        freeze(network, train=(head_name(network),))
        _fit(network, train, budget, lr)
        return network

    return _choose(model, train, val, budget, trial)


def last_block(model: nn.Module, train: Images, val: Images, budget: Budget) -> FineTuned:
    """Train the head and the last block before it; the rest is frozen."""

    def trial(network, lr):
        freeze(network, train=tuple(list_parts(network)[-2:]))
        _fit(network, train, budget, lr)
        return network

    return _choose(model, train, val, budget, trial)


def full(model: nn.Module, train: Images, val: Images, budget: Budget) -> FineTuned:
    """Train everything at one learning rate."""

    def trial(network, lr):
        _fit(network, train, budget, lr)
        return network

    return _choose(model, train, val, budget, trial)


def discriminative(model: nn.Module, train: Images, val: Images, budget: Budget, decay: float = 0.4) -> FineTuned:
    """Train everything, each part at `decay` times the learning rate of the part behind it (ULMFiT: Howard and Ruder, ACL, 2018).

    Args:
        decay: factor from part to part toward the input, above 0; ULMFiT divides by 2.6.
    """

    def trial(network, lr):
        _fit(network, train, budget, lr, lr_scale=layer_decay(network, decay))
        return network

    return _choose(model, train, val, budget, trial)


def gradual_unfreezing(model: nn.Module, train: Images, val: Images, budget: Budget) -> FineTuned:
    """Train the head alone, then the last part with it, and so on to the input, in equal phases (ULMFiT's order).

    With fewer epochs than parts, several parts thaw at once.
    """

    def trial(network, lr):
        parts, epochs = list_parts(network), _epochs(train, budget)
        opened = [math.ceil(len(parts) * (epoch + 1) / epochs) for epoch in range(epochs)]
        for count, phase in itertools.groupby(opened):
            freeze(network, train=tuple(parts[-count:]))
            _fit(network, train, budget, lr, epochs=len(list(phase)))
        return network

    return _choose(model, train, val, budget, trial)


def lp_ft(model: nn.Module, train: Images, val: Images, budget: Budget) -> FineTuned:
    """Train the head on the frozen body for half of the epochs, then everything at a tenth of the rate (Kumar et al., ICLR, 2022).

    Raises:
        ValueError: the budget is a single epoch, which has no two halves.
    """
    epochs = _epochs(train, budget)
    if epochs < 2:
        raise ValueError(f"budget: {budget.steps} steps are one epoch of {len(train)} images; LP-FT needs two or more")

    def trial(network, lr):
        freeze(network, train=(head_name(network),))
        _fit(network, train, budget, lr, epochs=epochs // 2)
        unfreeze(network)
        _fit(network, train, budget, lr / 10, epochs=epochs - epochs // 2)
        return network

    return _choose(model, train, val, budget, trial)


def l2_sp_tuning(model: nn.Module, train: Images, val: Images, budget: Budget, strength: float = 0.1) -> FineTuned:
    """Train everything with the penalty L2-SP in place of weight decay (Li et al., ICML, 2018).

    Args:
        strength: of the pull toward the source's weights, at least 0.
    """

    def trial(network, lr):
        _fit(network, train, budget, lr, penalty=l2_sp(network, strength), weight_decay=0.0)
        return network

    return _choose(model, train, val, budget, trial)


def lora(model: nn.Module, train: Images, val: Images, budget: Budget, rank: int = 4, alpha: float = 8) -> FineTuned:
    """Train the head and a low-rank correction of every frozen layer, then add it in (Hu et al., ICLR, 2022).

    Args:
        rank, alpha: as in add_lora.
    """

    def trial(network, lr):
        freeze(network, train=(head_name(network),))
        add_lora(network, rank, alpha, seed=budget.seed)
        _fit(network, train, budget, lr)
        return network

    found = _choose(model, train, val, budget, trial)
    return found._replace(model=merge_lora(found.model))


STRATEGIES = {
    "head only": head_only,
    "last block": last_block,
    "full": full,
    "discriminative": discriminative,
    "gradual unfreezing": gradual_unfreezing,
    "LP-FT": lp_ft,
    "L2-SP": l2_sp_tuning,
    "LoRA": lora,
}


def layer_decay(model: nn.Module, decay: float) -> Callable[[str], float]:
    """Make the learning-rate factors of layer-wise decay, for fit(lr_scale=…).

    Args:
        model: the network; list_parts() says what counts as its layers.
        decay: factor from part to part toward the input, above 0; the head has 1, and what lies before the first part has
            its factor.

    Returns:
        function from a parameter's name to its factor.

    Raises:
        ValueError: decay ≤ 0.
    """
    if not decay > 0:
        raise ValueError(f"decay={decay}: want a factor above 0")
    parts = list_parts(model)

    def scale(name):
        return decay ** (len(parts) - 1 - find_part(parts, name))

    return scale


def _epochs(train: Images, budget: Budget) -> int:
    return max(1, round(budget.steps / math.ceil(len(train) / budget.batch_size)))


def _fit(network: nn.Module, train: Images, budget: Budget, lr: float, epochs: int | None = None, **options):
    """Train as the budget says; all of its epochs, unless a strategy divides them."""
    common = {"batch_size": budget.batch_size, "seed": budget.seed, "augment": budget.augment}
    fit(network, train, epochs=epochs or _epochs(train, budget), lr=lr, **common, **options)


def _choose(
    model: nn.Module, train: Images, val: Images, budget: Budget, trial: Callable[[nn.Module, float], nn.Module]
) -> FineTuned:
    """Run a trial for each learning rate on a copy of the network; keep the one that reads most validation images."""
    check_sets(model, train=train, val=val)
    started = time.perf_counter()
    trials = {}

    def run(lr):
        network = trial(copy.deepcopy(model), lr)
        trials[lr] = evaluate(network, val)
        return lr, network

    lr, network = max(map(run, budget.learning_rates), key=lambda tried: trials[tried[0]])  # the first of equals
    seconds = time.perf_counter() - started
    trained = sum(p.numel() for p in network.parameters() if p.requires_grad)
    device = next(network.parameters()).device
    memory = training_memory(network, train.x[: budget.batch_size].to(device))
    return FineTuned(network.eval(), lr, trials[lr], trials, trained, memory, seconds)
