"""Look at a network in eval mode and leave it as it was found."""

from contextlib import contextmanager


@contextmanager
def evaluating(model):
    """Hold a network in eval mode inside a `with` block; every module's own mode is put back at its end."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield model
    finally:
        for module, mode in modes.items():
            module.training = mode
