# SPDX-License-Identifier: Apache-2.0
"""Records of stages: what is read is what was written, to the bit and in the same memory order."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load, save

from myoedge.building.records import NotRecordable, digest, packed, unpacked
from myoedge.building.stages import CLASSES, operator_classes
from myoedge.graph.ir import Node
from myoedge.graph.origin import Origin
from myoedge.operators.base import OPS
from myoedge.targets import CHIPS
from tests.ops.harness import drawn
from tests.support.each import each


def is_same(a: Any, b: Any) -> bool:
    """Types, values to the bit, and the order of elements in memory."""
    if type(a) is not type(b):
        return isinstance(a, Mapping) and isinstance(b, Mapping) and is_same({**a}, {**b})
    if isinstance(a, np.ndarray):
        known = (a.dtype, a.shape) == (b.dtype, b.shape) and a.tobytes() == b.tobytes()
        return known and all(
            s == t or n == 1 or not a.size
            for s, t, n in zip(a.strides, b.strides, a.shape, strict=True)
        )
    if is_dataclass(a):
        return all(is_same(getattr(a, f.name), getattr(b, f.name)) for f in fields(a))
    if isinstance(a, Mapping):
        return [*a] == [*b] and all(map(is_same, a.values(), b.values()))
    if isinstance(a, tuple | list):
        return len(a) == len(b) and all(map(is_same, a, b))
    return a == b or (a != a and b != b)


KNOWN = CLASSES | operator_classes()


def again(value: Any) -> Any:
    return unpacked(packed(value), KNOWN)


@each("op", sorted(OPS))
def test_networks_of_every_operator_are_read_as_they_were(op: str) -> None:
    (case,) = drawn(op, 1, 0)
    assert is_same(again(case.quant), case.quant)


@pytest.mark.parametrize(
    "value",
    [
        (None, True, 1, -(10**30), 0.1, math.inf, -math.inf, math.nan, "µ", (), (1, (2,))),
        ([1, [2.5]], {"a": (1,), 2: [], (3, "b"): None}, frozenset("abc"), b"\0\xff", b""),
        (np.float32(0.1), np.int8(-3), np.bool_(True), np.float64(1e300)),
    ],
)
def test_plain_values(value: Any) -> None:
    assert is_same(again(value), value)


def arrays() -> dict[str, Any]:
    x = np.random.default_rng(0).standard_normal((2, 3, 4), np.float32)
    return {
        "rows": x,
        "columns": x.T,
        "turned": x.transpose(1, 2, 0),
        "one value": np.broadcast_to(np.float32(3), (2, 3)),
        "rows of one": np.broadcast_to(x[:1], (5, 3, 4)),
        "number": np.array(2, np.int64),
        "none": np.zeros((0, 3), np.uint8),
        "truth": x > 0,
    }


@pytest.mark.parametrize("name", arrays())
def test_arrays_lie_in_memory_as_they_did(name: str) -> None:
    """BLAS and sums of floats round by the order of memory."""
    value = arrays()[name]
    assert is_same(again(value), value)


def test_a_part_of_an_array_has_the_same_values() -> None:
    part = np.arange(24).reshape(4, 6)[::2, 1::2]
    assert np.array_equal(again(part), part)


def test_what_is_one_object_stays_one() -> None:
    x, origin = np.ones(3), Origin("a", "net.py:1")
    first, second, *nodes = again((x, x, Node("add", (), ("y",), {}, (origin, origin))))
    assert first is second
    assert nodes[0].origin[0] is nodes[0].origin[1]


def test_functions_and_objects_are_no_records() -> None:
    for value in (len, object(), np.array([None]), {"f": print}, 1j):
        with pytest.raises(NotRecordable):
            packed(value)
        with pytest.raises(NotRecordable):
            digest(value)


def test_equal_values_have_equal_digests_and_others_do_not() -> None:
    x = np.arange(6.0).reshape(2, 3)
    origin = Origin("a", "b")
    assert digest(x, origin) == digest(x.copy(), Origin("a", "b"))
    assert digest((origin, origin)) == digest((origin, Origin("a", "b")))
    others = [x, x.T, x.reshape(3, 2), x.astype(np.float32), x + 1.0, [*x], (1, 2), [1, 2], 1]
    others = [*others, True, 1.0, "1", b"1", None, {}, frozenset(), {1: 2}, {2: 1}, origin, "a"]
    assert len({digest(other) for other in others}) == len(others)
    assert digest(np.float16([1, 2])) != digest(np.float16([1, 3]))


@pytest.mark.parametrize(
    "written", [{"is": ["Popen", {}]}, {"value": 1}, {"array": [9, [], [], []]}]
)
def test_records_name_nothing_but_known_classes(written: Any) -> None:
    """A record cannot make anything but the dataclasses of stages."""
    forged = save({"0": np.zeros(1)}, metadata={"value": json.dumps(written)})
    with pytest.raises(ValueError, match=r"."):
        unpacked(forged, KNOWN)
    with pytest.raises(ValueError, match=r"."):
        unpacked(forged[:-1], KNOWN)


def test_a_record_is_a_safetensors_file() -> None:
    assert np.array_equal(load(packed((1, np.arange(3))))["0"], [0, 1, 2])


def test_every_chip_has_a_digest() -> None:
    """Results of stages depend on it: without a digest, nothing would be reused."""
    assert len({digest(chip) for chip in CHIPS.values()}) == len(CHIPS)
