"""Look at this machine and say what works."""

import importlib
import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version

CORE = ("torch", "torchvision", "numpy", "scikit-learn", "matplotlib", "ipywidgets", "safetensors", "nbclient")
OPTIONAL = {"jupyterlab": "lab", "nbgrader": "test", "timm": "timm"}


def diagnose():
    """Check the installation.

    Returns:
        list of (state, what, detail); state is "ok", "note" (something optional is absent) or "bad".
    """
    python_ok = sys.version_info >= (3, 11)
    rows = [("ok" if python_ok else "bad", "Python", f"{platform.python_version()} (3.11 or newer is needed)")]
    rows += [_package(name, None) for name in CORE]
    rows += [_package(name, extra) for name, extra in OPTIONAL.items()]
    try:
        rows += _bundled_models()
        rows.append(_device())
    except Exception as error:  # whatever is broken, the table still prints
        rows.append(("bad", "torch", f"{type(error).__name__}: {error}"))
    writable = os.access(os.getcwd(), os.W_OK)
    rows.append(
        ("ok" if writable else "bad", "this folder", "writable" if writable else "not writable; go to another one")
    )
    return rows


def _package(name, extra):
    try:
        return ("ok", name, version(name))
    except PackageNotFoundError:
        if extra is None:
            return ("bad", name, f"missing: pip install {name}")
        return ("note", name, f"not installed; if you need it: pip install 'tlcourse[{extra}]'")


def _bundled_models():
    models = importlib.import_module("tlcourse.models")
    rows = []
    for card in models.zoo():
        try:
            models.load(card.name)
            rows.append(("ok", f"model {card.name}", "weights are as on their card"))
        except (OSError, ValueError) as error:
            rows.append(("bad", f"model {card.name}", str(error)))
    return rows


def _device():
    torch = importlib.import_module("torch")
    device = importlib.import_module("tlcourse.training").pick_device()
    return ("ok", "compute", f"{device}, {torch.get_num_threads()} CPU threads")
