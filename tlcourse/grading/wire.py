"""Messages between the judge and a child: JSON for the structure, safetensors for the numbers, nothing evaluated.

A frame is two big-endian 32-bit lengths, then the JSON, then the safetensors. The judge reads frames that a student's
code may have written, so every length is checked before it is believed and every fault is a WireError.
"""

import json
import socket
import struct
import time

import numpy as np
import torch
from safetensors.torch import load, save

from tlcourse.checks.compare import Unreadable, short_name

MAX_JSON = 4 << 20  # bytes of structure
MAX_REQUEST, MAX_REPLY = 128 << 20, 8 << 20  # bytes of numbers: a request may hold a whole notebook
_MAX_TENSOR_HEADER = 1 << 20
_MAX_DEPTH, _MAX_ITEMS = 24, 200_000
_LENGTHS = struct.Struct(">II")


class WireError(Exception):
    """A frame that is not of the agreed form."""


class WireClosed(WireError):
    """The other side is gone."""


def encode(value, limit=MAX_REPLY):
    """Turn plain data, as checks.compare.as_plain() gives it, into the bytes of a frame.

    Raises:
        WireError: over MAX_JSON bytes of structure, or limit bytes of numbers.
    """
    tensors = {}

    def tree(value):
        kind = type(value)
        if value is None or kind in (bool, int, float, str):
            return value
        if kind is Unreadable:
            return ["unreadable", value.type_name]
        if kind in (list, tuple):
            return [kind.__name__, *map(tree, value)]
        if kind is dict:
            return ["dict", *([key, tree(item)] for key, item in value.items())]
        name = str(len(tensors))
        if kind is torch.Tensor:
            tensors[name] = value.contiguous()
            return ["tensor", name]
        tensors[name] = torch.from_numpy(np.array(value, order="C"))
        return ["array" if kind is np.ndarray else "number", name]

    structure = json.dumps(tree(value)).encode()
    numbers = save(tensors) if tensors else b""
    if len(structure) > MAX_JSON or len(numbers) > limit:
        raise WireError(f"over {MAX_JSON >> 20} MiB of structure or {limit >> 20} MiB of numbers")
    return _LENGTHS.pack(len(structure), len(numbers)) + structure + numbers


def decode(structure, numbers):
    """Turn the two parts of a frame back into plain data; whatever is wrong with them is a WireError."""
    items = 0

    def value(tree, depth):
        nonlocal items
        items += 1
        if depth > _MAX_DEPTH or items > _MAX_ITEMS:
            raise WireError("nested too deep, or too many items")
        if not isinstance(tree, list):
            return tree
        tag, *rest = tree
        if tag in ("list", "tuple"):
            return (list if tag == "list" else tuple)(value(item, depth + 1) for item in rest)
        if tag == "dict":
            return {key: value(item, depth + 1) for key, item in rest}
        (name,) = rest
        if tag == "unreadable":
            return Unreadable(short_name(name))
        tensor = tensors.pop(name)  # once each: a small frame must not stand for a large answer
        return {"tensor": lambda: tensor, "array": tensor.numpy, "number": lambda: tensor.numpy()[()]}[tag]()

    try:
        tree = json.loads(structure)
        if int.from_bytes(numbers[:8], "little") > _MAX_TENSOR_HEADER:
            raise WireError("too many tensors")
        tensors = load(numbers) if numbers else {}
        return value(tree, 0)
    except WireError:
        raise
    except (Exception, RecursionError) as error:
        raise WireError(f"{type(error).__name__}: {error}") from error


def send(channel, frame):
    """Write a frame to a socket; WireClosed if the other side is gone, TimeoutError if it does not read."""
    try:
        channel.sendall(frame)
    except TimeoutError:
        raise
    except OSError as error:
        raise WireClosed(str(error)) from error


def receive(channel, seconds=None, limit=MAX_REPLY):
    """Read one frame from a socket and decode it.

    Args:
        channel: a connected stream socket.
        seconds: how long the whole frame may take; None waits for ever.
        limit: bytes of numbers at most.

    Raises:
        WireClosed: the other side is gone.
        WireError: not a frame.
        TimeoutError: seconds have passed.
    """
    deadline = None if seconds is None else time.monotonic() + seconds
    lengths = _LENGTHS.unpack(_read(channel, _LENGTHS.size, deadline))
    if lengths[0] > MAX_JSON or lengths[1] > limit:
        raise WireError(f"a frame of {sum(lengths):,} bytes")
    return decode(*(_read(channel, length, deadline) for length in lengths))


def _read(channel, length, deadline):
    content = bytearray()
    while len(content) < length:
        if deadline is not None:
            channel.settimeout(max(0.001, deadline - time.monotonic()))
        try:
            part = channel.recv(min(1 << 20, length - len(content)))
        except TimeoutError:
            raise
        except OSError as error:
            raise WireClosed(str(error)) from error
        if not part:
            raise WireClosed("the other side closed the channel")
        content += part
        if deadline is not None and time.monotonic() > deadline:
            raise TimeoutError
    return bytes(content)


def pair():
    """Two connected stream sockets."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
