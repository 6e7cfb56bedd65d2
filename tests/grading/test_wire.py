"""The wire carries plain data unchanged, and refuses everything else."""

import json
import struct
from contextlib import suppress

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save

from tlcourse.checks.compare import Unreadable
from tlcourse.grading import wire

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text() | st.integers(), inner, max_size=3)
    ),
    max_leaves=12,
)


def there_and_back(value):
    frame = wire.encode(value)
    structure, _ = struct.unpack(">II", frame[:8])
    return wire.decode(frame[8 : 8 + structure], frame[8 + structure :])


@given(plain)
def test_plain_data_arrives_as_it_was_sent(value):
    arrived = there_and_back(value)
    assert arrived == value and type(arrived) is type(value)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int64", "int32", "uint8", "bool"])
def test_arrays_and_tensors_keep_dtype_shape_and_bits(dtype):
    array = np.arange(6).reshape(2, 3).astype(dtype)
    arrived, tensor, number = there_and_back([array, torch.from_numpy(array), array[0, 1]])
    assert type(arrived) is np.ndarray and arrived.dtype == array.dtype and (arrived == array).all()
    assert torch.equal(tensor, torch.from_numpy(array)) and tensor.dtype == torch.from_numpy(array).dtype
    assert type(number) is type(array[0, 1]) and number == array[0, 1]


def test_what_is_no_plain_data_arrives_as_its_name():
    assert there_and_back((Unreadable("Liar"), torch.zeros(0, 3)))[0] == Unreadable("Liar")


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_whatever_bytes_come_the_outcome_is_data_or_a_wire_error(structure, numbers):
    with suppress(wire.WireError):
        wire.decode(structure, numbers)


@given(st.recursive(st.none() | st.integers() | st.text(max_size=8), st.lists, max_leaves=8))
def test_whatever_json_comes_the_outcome_is_data_or_a_wire_error(tree):
    with suppress(wire.WireError):
        wire.decode(json.dumps(tree).encode(), save({"0": torch.zeros(2)}))


def test_a_frame_has_limits():
    with pytest.raises(wire.WireError, match="of numbers"):
        wire.encode(torch.zeros(wire.MAX_REPLY // 4 + 1))
    near, far = wire.pair()
    with near, far:
        far.sendall(struct.pack(">II", 1 << 31, 0))
        with pytest.raises(wire.WireError, match="a frame of"):
            wire.receive(near, 1)


def test_reading_ends_in_time_and_at_the_end():
    near, far = wire.pair()
    with near, far:
        far.sendall(b"\0\0")
        with pytest.raises(TimeoutError):
            wire.receive(near, 0.05)
        far.close()
        with pytest.raises(wire.WireClosed):
            wire.receive(near, 1)
