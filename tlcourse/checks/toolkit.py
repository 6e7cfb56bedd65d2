"""What the checks of several exercises build alike. It lies beside a student's code: no answer belongs in here."""

from itertools import combinations

import numpy as np
import torch
from scipy.stats import norm, sem, t
from torch import nn

from tlcourse.checks.compare import as_array

# What an exercise says where loss_gradients() gives None, or where features were changed.
NO_GRADIENT = "Return a tensor without dimensions that has a gradient: no item(), no torch.no_grad()."
CHANGED = "The features are others than before your call. Leave them as they are: no change in place."


def moved_batchnorm(model, seed):
    """Give the BatchNorm layers of a network weights and statistics of their own, so that losing them shows.

    Args:
        model: nn.Module, changed in place.
        seed: int, decides their values: means and biases within 0 ± 0.2, variances and weights within 1 ± 0.2.

    Returns:
        model, in eval mode.
    """
    generator = torch.Generator().manual_seed(seed)
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            for name, value in layer.state_dict().items():
                if value.is_floating_point():
                    centre = 0.0 if name in ("bias", "running_mean") else 1.0
                    value.copy_(centre + 0.4 * torch.rand(value.shape, generator=generator) - 0.2)
    return model.eval()


def loss_gradients(loss, leaves):
    """The gradients of what a learner's function returned, if that is a loss.

    Args:
        loss: any object.
        leaves: list of tensors that require gradients. Their graph is kept, so other losses may share it.

    Returns:
        list with a gradient for each leaf, None for one that the loss does not depend on; None in place of the list
        where loss is not a tensor without dimensions that has a gradient.
    """
    if type(loss) is not torch.Tensor or loss.is_complex() or loss.dim() or not loss.requires_grad:
        return None  # isinstance would let in a subclass, which answers for itself what it is
    return list(torch.autograd.grad(loss, leaves, retain_graph=True, allow_unused=True))


def flatten_gradients(gradients, leaves):
    """The gradients of some leaves end to end; None is a gradient of 0."""
    return torch.cat([torch.zeros(v.numel()) if g is None else g.reshape(-1) for g, v in zip(gradients, leaves)])


def draw_images(rng, n):
    """(n, 3, 16, 16) random float32 images in [0, 1]: a quarter of the work of 32 × 32; the networks take any size."""
    return torch.tensor(rng.uniform(0, 1, size=(n, 3, 16, 16)), dtype=torch.float32)


def draw_normal(rng, *shape):
    """A float64 tensor of standard normal draws."""
    return torch.tensor(rng.normal(size=shape))


def interval_mistakes(ours, theirs, unit, normal, unpaired):
    """What likely mistakes make of the 95% t-interval for the mean of paired differences.

    Args:
        ours, theirs: arrays (…, n) whose last axes are paired. The interval is that of the mean of ours - theirs.
        unit: what the n values are, for the messages: "seeds", "runs".
        normal, unpaired: the messages to 1.96 in place of Student's t, and to two spreads in place of that of the
            differences.

    Returns:
        list of (half the width of the interval, of shape (…), message).
    """
    n = ours.shape[-1]
    error, t_value = sem(ours - theirs, axis=-1), t.ppf(0.975, n - 1)
    unpaired_error = np.hypot(sem(ours, axis=-1), sem(theirs, axis=-1))
    return [
        (1.96 * error, normal),
        (
            norm.ppf(0.975) * error,
            f"That is the normal quantile. With {n} {unit} take Student's t with {n - 1} degrees of freedom.",
        ),
        (t_value * unpaired_error, unpaired),
        (t.ppf(0.975, 2 * n - 2) * unpaired_error, f"The {unit} are paired: no test of two independent samples."),
        (error, "That is one standard error to each side. A 95% interval takes t times that."),
        (t.ppf(0.95, n - 1) * error, "That leaves 5% on each side. A 95% interval leaves 2.5%."),
        (t.ppf(0.975, n) * error, f"{n} differences leave {n - 1} degrees of freedom."),
        (t_value * error * n**0.5, f"That is the spread of the {unit}. Divide by the root of their number."),
        (t_value * error * ((n - 1) / n) ** 0.5, "The standard deviation divides by n − 1: ddof=1."),
    ]


def as_numbers(value):
    """A list or tuple of single numbers of any type as one array; anything else as it is."""
    items = [as_array(item) for item in value] if type(value) in (list, tuple) else [None]
    return value if any(item is None or item.shape for item in items) else np.array(items)


def disagreement(first, second):
    """Share of the entries in which two arrays of plain numbers differ."""
    return (as_array(first) != as_array(second)).mean()


def all_differ(right, others, least=1e-3):
    """Whether the right value and those of all mistakes differ from each other, by more than least in some number.

    Args:
        right, others: as for compare.explain().
    """
    values = [right, *(value for value, _ in others)]
    return all(np.max(np.abs(a - b)) > least for a, b in combinations(values, 2))
