"""Look at this machine and say what works."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version

CORE = ["torch", "torchvision", "safetensors", "numpy", "pandas", "scikit-learn", "matplotlib"]
CORE += ["ipywidgets", "nbclient"]
OPTIONAL = {"jupyterlab": "lab", "nbgrader": "test", "timm": "timm"}


def diagnose():
    """Check the installation.

    Returns:
        list of (state, what, detail); state is "ok", "note" (something optional is absent) or "bad".
    """
    rows = [("ok", "Python", platform.python_version())]
    rows += [_package(name, f"missing: pip install {name}", "bad") for name in CORE]
    for name, extra in OPTIONAL.items():
        rows.append(_package(name, f"not installed; if you need it: pip install 'tlcourse[{extra}]'", "note"))
    try:
        rows += _models_and_device()
    except Exception as error:  # whatever is broken, the table still prints
        rows.append(("bad", "torch", f"{type(error).__name__}: {error}"))
    if os.access(os.getcwd(), os.W_OK):
        return [*rows, ("ok", "this folder", "writable")]
    return [*rows, ("bad", "this folder", "not writable; go to another one")]


def _package(name, if_absent, state):
    try:
        return ("ok", name, version(name))
    except PackageNotFoundError:
        return (state, name, if_absent)


def _models_and_device():
    import torch

    from tlcourse import models, training

    rows = []
    for card in models.zoo():
        try:
            models.load(card.name)
            rows.append(("ok", f"model {card.name}", "weights are as on their card"))
        except (OSError, ValueError) as error:
            rows.append(("bad", f"model {card.name}", str(error)))
    return [*rows, ("ok", "compute", f"{training.pick_device()}, {torch.get_num_threads()} CPU threads")]
