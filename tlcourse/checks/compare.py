"""The one comparator of all exercises. It sees plain data only, so no object of a learner's has a say in its verdict."""

from typing import NamedTuple

import numpy as np
import torch

_MAX_DEPTH, _MAX_ITEMS = 16, 100_000


class Unreadable(NamedTuple):
    """Stands for an output that is no plain data; remembers the name of its type."""

    type_name: str


def as_plain(value):
    """Copy an output into plain data: what the comparator reads and what a graded answer sends.

    Args:
        value: None, a bool, number or string; a dense tensor or numeric array of exactly torch's or NumPy's class; or
            lists, tuples and dicts of these. Anything else, subclasses included, becomes an Unreadable.

    Returns:
        the copy, on the CPU, detached, sharing no memory with value.

    Raises:
        ValueError: nested deeper than 16 levels, or more than 100,000 items.
    """
    items = 0

    def copy(value, depth):
        nonlocal items
        items += 1
        if depth > _MAX_DEPTH or items > _MAX_ITEMS:
            raise ValueError(f"the output is nested deeper than {_MAX_DEPTH} levels or has over {_MAX_ITEMS:,} items")
        kind = type(value)
        if value is None or kind in (bool, int, float, str):
            return value
        if kind in (torch.Tensor, torch.nn.Parameter):
            dense = value.layout is torch.strided and not value.is_meta and not value.is_complex()
            return value.detach().cpu().contiguous().clone() if dense else Unreadable("sparse, meta or complex tensor")
        if kind is np.ndarray or (isinstance(value, np.generic) and kind.__module__ == "numpy"):
            if value.dtype.kind not in "iufb":
                return Unreadable(f"{value.dtype.name} array")
            common = (
                np.float64 if value.dtype.itemsize > 8 else value.dtype.newbyteorder("=")
            )  # long double is no format
            return np.array(value, dtype=common)[()] if kind is not np.ndarray else value.astype(common)
        if kind in (list, tuple):
            return kind(copy(item, depth + 1) for item in value)
        if kind is dict and all(type(key) in (str, int) for key in value):
            return {key: copy(item, depth + 1) for key, item in value.items()}
        return Unreadable(short_name(kind.__name__))

    return copy(value, 0)


def named_tensors(module):
    """The parameters and buffers of a network, read from where PyTorch keeps them: no method of its class is asked.

    Returns:
        (dict of parameters, dict of buffers), both by PyTorch's names; buffers that are not saved are left out.
    """
    parameters, buffers = {}, {}
    for prefix, part in _parts(module):
        parameters |= {prefix + name: value for name, value in part["_parameters"].items() if value is not None}
        saved = {name: value for name, value in part["_buffers"].items() if value is not None}
        buffers |= {prefix + name: saved[name] for name in saved.keys() - part["_non_persistent_buffers_set"]}
    return parameters, buffers


def project(module, x=None):
    """Describe a network by plain data, for the comparator.

    Args:
        module: nn.Module.
        x: input to run it on in the mode that it is in, without gradients; None runs nothing.

    Returns:
        dict: "state" (name → tensor, copied before x runs), "trainable" (sorted names of the parameters that require
        gradients), "training" (whether any part is in training mode), "output" (for x, else None).
    """
    parameters, buffers = named_tensors(module)
    described = {
        "state": {name: value.detach().clone() for name, value in (parameters | buffers).items()},
        "trainable": sorted(name for name, parameter in parameters.items() if parameter.requires_grad),
        "training": any(part["training"] for _, part in _parts(module)),
        "output": None,
    }
    if x is not None:
        with torch.no_grad():
            described["output"] = module(x)
    return described


def _parts(module, prefix=""):
    """(prefix, attribute dict) of a network and all networks within it."""
    attributes = object.__getattribute__(module, "__dict__")
    parts = [(prefix, attributes)]
    for name, child in attributes["_modules"].items():
        if child is not None:
            parts += _parts(child, f"{prefix}{name}.")
    return parts


def misfit(name, got, shape=None, kind="numbers"):
    """Say what is wrong with the form of an output, before its values are looked at.

    Args:
        name: what the output is called in the message.
        got: plain data.
        shape: the wanted shape, or None for any.
        kind: "numbers", or "integers" where only whole-number types are right (labels, indices).

    Returns:
        None, or a message about its type, shape, dtype or NaN.
    """
    array = as_array(got)
    if array is None:
        return f"{name}: want an array of numbers, got {type_name(got)}."
    if shape is not None and array.shape != tuple(shape):
        return f"{name}: want shape {tuple(shape)}, got {array.shape}."
    if kind == "integers" and not _is_integer(got):
        return f"{name}: want whole numbers (an integer dtype), got {getattr(got, 'dtype', type_name(got))}."
    if np.isnan(array).any():
        return f"{name}: has NaN in it."
    return None


def differs(name, got, want, tolerance=1e-6):
    """Compare an output with the wanted one.

    Args:
        name: what the output is called in the message.
        got: plain data.
        want: an array, tensor or number; a string, bool or None; or a list, tuple or dict of these.
        tolerance: largest absolute difference of two numbers. The default leaves room for float64 sums in another
            order; give 1e-4 for sums over a network's float32 activations. Infinities and whole numbers must agree
            exactly; any numeric dtype will do where the values agree.

    Returns:
        None if they agree, else a message that says how they differ.
    """
    if want is None or type(want) in (bool, str):
        if type(got) is not type(want):
            return f"{name}: want {_article(type_name(want))}, got {type_name(got)}."
        return None if got == want else f"{name}: got {got!r:.80}, which is not the right value."
    if type(want) is dict:
        if type(got) is not dict or got.keys() != want.keys():
            return f"{name}: want a dict with the keys {sorted(map(str, want))}, got {_keys(got)}."
        return _first(differs(f"{name}[{key!r}]", got[key], want[key], tolerance) for key in want)
    if type(want) in (list, tuple) and not all(type(item) in (int, float) for item in want):
        if type(got) not in (list, tuple) or len(got) != len(want):
            return f"{name}: want {len(want)} items, got {len(got) if type(got) in (list, tuple) else type_name(got)}."
        return _first(differs(f"{name}[{i}]", got[i], want[i], tolerance) for i in range(len(want)))
    wanted, array = as_array(want), as_array(got)
    problem = misfit(name, got, wanted.shape)
    if problem:
        return problem
    same_infinity = np.isinf(wanted) & (array == wanted)
    with np.errstate(invalid="ignore"):
        agree = same_infinity | (np.abs(array - wanted) <= tolerance)
    if not agree.all():
        worst = np.unravel_index(np.argmin(agree), wanted.shape)
        return f"{name}: at {tuple(map(int, worst))} got {array[worst]:.6g}, which is not the right value."
    return None


def explain(name, got, right, others, tolerance=1e-6, problem=None):
    """Compare an output with the right one, and where they differ say which mistake gives it.

    Args:
        name, got, right, tolerance: as for differs().
        others: list of (what a mistake gives, the message to it); the first that fits is named.
        problem: the message where none does; by default what differs() says.

    Returns:
        None if got is right, else a message.
    """
    found = differs(name, got, right, tolerance)
    return found and name_mistake(got, others, problem or found, tolerance)


def name_mistake(got, others, problem, tolerance=1e-6):
    """The message to the likely mistake that gives this value; where none does, the problem as it is.

    Args:
        others: list of (what a mistake gives, the message to it).
    """
    return next((message for other, message in others if not differs("", got, other, tolerance)), problem)


def same_tensors(got, want):
    """Whether two dicts hold the same names with bitwise the same tensors, dtypes included."""
    return (
        type(got) is dict
        and got.keys() == want.keys()
        and all(
            type(got[name]) is torch.Tensor
            and got[name].dtype == want[name].dtype
            and torch.equal(got[name], want[name])
            for name in want
        )
    )


def as_array(value):
    """A float64 array of plain numbers, or None."""
    if type(value) in (torch.Tensor, torch.nn.Parameter):
        return value.detach().cpu().double().numpy() if not value.is_complex() else None
    if type(value) is np.ndarray or isinstance(value, np.generic):
        return value.astype(np.float64) if value.dtype.kind in "iufb" else None
    if type(value) in (int, float):
        return np.float64(value).reshape(())
    if type(value) in (list, tuple) and all(type(item) in (int, float) for item in value):
        return np.array(value, dtype=np.float64)
    return None


def type_name(value):
    """The name of a value's type, for a message."""
    return value.type_name if type(value) is Unreadable else type(value).__name__


def short_name(name):
    """A type's name as a message may show it: the learner's code chose it, and may have hidden anything in it."""
    is_plain = (
        type(name) is str and len(name) <= 40 and all(part.isidentifier() for part in name.replace(",", "").split())
    )
    return name if is_plain else "an object"


def _is_integer(value):
    if type(value) is torch.Tensor:
        return not (value.is_floating_point() or value.dtype is torch.bool)
    if type(value) is np.ndarray or isinstance(value, np.generic):
        return value.dtype.kind in "iu"
    return type(value) is int or (type(value) in (list, tuple) and all(type(item) is int for item in value))


def _article(name):
    return "nothing (None)" if name == "NoneType" else f"a {name}"


def _keys(value):
    return sorted(map(str, value)) if type(value) is dict else type_name(value)


def _first(messages):
    return next((message for message in messages if message), None)
