"""What an architecture is made of and what it costs, without a single weight: networks on PyTorch's meta device."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


@dataclass(frozen=True)
class Architecture:
    """The size and cost of a network.

    Attributes:
        parameters: how many numbers it learns. A tensor that two layers share counts once.
        layers: how many modules have weights of two or more dimensions: convolutions, linear layers, embeddings.
        multiply_adds: of the matrix products and convolutions of one forward pass. Papers write "FLOPs" for either
            this number or twice this number.
        megabytes: of its parameters in float32, 10⁶ bytes.
    """

    parameters: int
    layers: int
    multiply_adds: int
    megabytes: float


def inspect(build: Callable[[], nn.Module], **inputs: torch.Tensor) -> Architecture:
    """Measure an architecture on the meta device, where tensors have shapes and no values.

    Args:
        build: function of no arguments that returns the network.
        inputs: the arguments of its forward pass by name, tensors with the shapes that it is to be measured at.

    Returns:
        Architecture.

    Raises:
        TypeError: build is not a function, or a network that exists already.
    """
    model = _build_on_meta(build)
    parameters = list(model.parameters())
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(**{name: value.to("meta") for name, value in inputs.items()})
    return Architecture(
        parameters=sum(p.numel() for p in parameters),
        layers=sum(any(p.ndim >= 2 for p in module.parameters(recurse=False)) for module in model.modules()),
        multiply_adds=counter.get_total_flops() // 2,  # the counter takes a multiply-add as two operations
        megabytes=4 * sum(p.numel() for p in parameters) / 1e6,
    )


def measure_latency(build: Callable[[], nn.Module], repeats: int = 3, **inputs: torch.Tensor) -> float:
    """Seconds that one forward pass takes on this CPU: the median of some repeats after a warm-up.

    The network runs with all weights zero: what it costs does not depend on what it has learned.

    Args:
        build: function of no arguments that returns the network.
        repeats: timed passes, at least 1.
        inputs: the arguments of its forward pass by name, on the CPU.

    Raises:
        ValueError: repeats < 1.
        TypeError: build is not a function.
    """
    if repeats < 1:
        raise ValueError(f"repeats={repeats}: time at least 1 pass")
    model = _build_on_meta(build).to_empty(device="cpu")
    seconds = []
    with torch.inference_mode():
        for tensor in [*model.parameters(), *model.buffers()]:
            tensor.zero_()  # empty memory may hold denormal numbers, which are slow
        for _ in range(repeats + 1):
            started = time.perf_counter()
            model(**inputs)
            seconds.append(time.perf_counter() - started)
    return statistics.median(seconds[1:])


def _build_on_meta(build: Callable[[], nn.Module]) -> nn.Module:
    if isinstance(build, nn.Module) or not callable(build):
        raise TypeError(f"build: want a function that builds the network, got {type(build).__name__}; use lambda: …")
    with torch.device("meta"):
        return build().eval()
