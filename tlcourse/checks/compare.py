"""The one comparator of all exercises: is this output the wanted one, and if not, in what way."""

import numpy as np
import torch


def differs(name, got, want, tolerance=1e-6):
    """Compare a number, array or tensor with the wanted array.

    Args:
        name: what the output is called in the message.
        got: the learner's output: a Python number, list, numpy array or tensor.
        want: numpy array.
        tolerance: largest absolute difference accepted; infinities must agree exactly.

    Returns:
        None if they agree, else a message that says how they differ.
    """
    array = as_array(got)
    if array is None:
        return f"{name}: want an array of numbers, got {type(got).__name__}."
    if array.shape != want.shape:
        return f"{name}: want shape {want.shape}, got {array.shape}."
    if np.isnan(array).any():
        return f"{name}: has NaN in it."
    same_infinity = np.isinf(want) & (array == want)
    with np.errstate(invalid="ignore"):
        close = np.abs(array - want) <= tolerance
    if not (close | same_infinity).all():
        worst = np.unravel_index(np.argmin(close | same_infinity), want.shape)
        return f"{name}: at {tuple(map(int, worst))} got {array[worst]:.6g}, which is not the right value."
    return None


def as_array(value):
    """A float64 array of plain numbers, or None. Objects of the learner's own classes are not asked to convert."""
    if type(value) in (torch.Tensor, torch.nn.Parameter):
        return value.detach().cpu().double().numpy() if not value.is_complex() else None
    if type(value) is np.ndarray or isinstance(value, np.generic):
        return value.astype(np.float64) if value.dtype.kind in "iufb" else None
    if type(value) in (int, float):
        return np.float64(value).reshape(())
    if type(value) in (list, tuple) and all(type(item) in (int, float) for item in value):
        return np.array(value, dtype=np.float64)
    return None
