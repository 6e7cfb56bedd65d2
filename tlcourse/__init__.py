"""tlcourse: a hands-on course in transfer learning. Submodules load on first use, so importing the package is instant."""

import importlib

from tlcourse import _moved  # noqa: F401  (old names go on working)

__version__ = "0.1.0"

_SUBMODULES = ("adapt", "checks", "data", "measure", "models", "progress", "teach", "training")


def __getattr__(name):
    if name in _SUBMODULES:
        return importlib.import_module(f"tlcourse.{name}")
    raise AttributeError(f"module 'tlcourse' has no attribute {name!r}; it has {', '.join(_SUBMODULES)}")


def __dir__():
    return [*globals(), *_SUBMODULES]
