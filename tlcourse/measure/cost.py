"""What a piece of work takes: seconds, and joules where the machine counts them."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_POWERCAP = Path("/sys/class/powercap")  # where Linux keeps the energy counters of the processor

LAPTOP_WATTS = 15.0
"""Processor base power of Intel's laptop chips of the U series (Intel's specification of the Core i5-1235U)."""


@dataclass
class Spent:
    """What was spent inside a metered block; filled at its end.

    Attributes:
        seconds: wall-clock time.
        joules: energy of the processor package.
        counted: True if the machine counted the joules, False if they are seconds × watts.
    """

    seconds: float = 0.0
    joules: float = 0.0
    counted: bool = False


@contextmanager
def metered(watts: float = LAPTOP_WATTS) -> Iterator[Spent]:
    """Measure the seconds and joules of a `with` block: `with metered() as spent: …`, then read spent.

    Args:
        watts: power to reckon with where the machine's own counters cannot be read, above 0.

    Raises:
        ValueError: watts ≤ 0.
    """
    if not watts > 0:
        raise ValueError(f"watts={watts}: a power is above 0")
    spent = Spent()
    before, started = _read_counters(), time.perf_counter()
    yield spent
    spent.seconds = time.perf_counter() - started
    after = _read_counters()
    spent.counted = bool(before) and before.keys() == after.keys()
    if spent.counted:
        spent.joules = sum(_difference(before[path], after[path], path) for path in before) / 1e6
    else:
        spent.joules = spent.seconds * watts


def _read_counters():
    """Microjoules of every processor package by its path; empty where they may not be read (most need root)."""
    try:
        return {path: int((path / "energy_uj").read_text()) for path in sorted(_POWERCAP.glob("intel-rapl:[0-9]"))}
    except (OSError, ValueError):
        return {}


def _difference(before, after, path):
    if after >= before:
        return after - before
    return after - before + int((path / "max_energy_range_uj").read_text())  # the counter began again at 0
