"""The first call of every notebook: one seed, one device, one figure style, one line that says the versions."""

import os
import platform
import random
from importlib.metadata import version
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
import torch

import tlcourse
from tlcourse.teach.claims import STATED
from tlcourse.teach.figures import STYLE
from tlcourse.training import pick_device


class Session(NamedTuple):
    """What setup() decided: the seed of this run and the device it computes on."""

    seed: int
    device: torch.device

    def seeds(self, n):
        """n seeds for n repetitions; no other session seed gives any of them (n ≤ 1000)."""
        return [1000 * self.seed + i for i in range(n)]


def setup():
    """Seed Python, NumPy and PyTorch, forget the claims of an earlier run, set the figure style, and print the versions.

    The seed is the environment variable TLCOURSE_SEED, 0 if unset; `tlcourse claims` varies it.

    Returns:
        Session with .seed, .device and .seeds(n).

    Raises:
        ValueError: TLCOURSE_SEED is not a whole number ≥ 0.
    """
    text = os.environ.get("TLCOURSE_SEED", "0")
    if not text.isdecimal():
        raise ValueError(f"TLCOURSE_SEED={text!r}: set it to a whole number ≥ 0, or leave it unset")
    seed = int(text)
    STATED.clear()
    random.seed(seed)
    np.random.seed(seed % 2**32)  # all that it takes; a published seed may be larger
    torch.manual_seed(seed)
    torch.backends.cudnn.deterministic = True  # or a GPU gives other weights for the same seed
    mpl.rcParams.update(STYLE)
    session = Session(seed, pick_device())
    print(
        f"tlcourse {tlcourse.__version__} · Python {platform.python_version()} · torch {torch.__version__} · "
        f"torchvision {version('torchvision')} · {session.device} ({torch.get_num_threads()} threads) · seed {seed}"
    )
    return session
