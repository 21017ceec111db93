# SPDX-License-Identifier: Apache-2.0
"""[mlperf]: how the bytes of a data set's file become the integers of a network's input."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from myoedge.errors import MyoedgeError
from myoedge.numerics.arrays import Array

if TYPE_CHECKING:
    from myoedge.quantization.scales import QuantGraph

ModelName = Literal["ad01", "ic01", "ic02", "kws01", "vww01"]
ValueType = Literal["uint8", "int8", "float32"]
FLOATS = "float32"
MOST_LIMITS = 255  # of floats: the input has 8 bits
SIGN = 1 << 31


@dataclass(frozen=True, slots=True)
class Dataset:
    """[mlperf]: the task, and the values of a file of its data set.

    model   task by which the benchmark's runner chooses its test
    input   type of a value; float32 values are real numbers, of others scale * (value - zero_point)
    axes    axes of the network's input in the order of the file; None: as they are
    """

    model: ModelName | None = None
    input: ValueType | None = None
    scale: float = 1.0
    zero_point: int = 0
    axes: list[int] | None = None

    @property
    def value_bytes(self) -> int:
        """Bytes of a value in the file."""
        return np.dtype(self.input or FLOATS).itemsize

    def real(self, values: Array) -> Array:
        """The real numbers of values in the file, float32."""
        reals = self.scale * (values.astype(np.float64) - self.zero_point)
        return np.asarray(reals, np.float32)


@dataclass(frozen=True)
class FileAxis:
    """An axis of a file: its length, and the distance of its elements in the input."""

    length: int
    stride: int


def file_axes(dataset: Dataset, shape: Sequence[int]) -> list[FileAxis]:
    """Return the axes of a file, the slowest first. Errors: E232 axes of another number."""
    order = [*range(len(shape))] if dataset.axes is None else dataset.axes
    if sorted(order) != [*range(len(shape))]:
        facts = {"needs": f"0 to {len(shape) - 1}, each once", "has": order}
        raise MyoedgeError("E232", "[mlperf] axes are not the axes of the input", facts)
    strides = [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
    return [FileAxis(shape[axis], strides[axis]) for axis in order]


def integers_of_bytes(dataset: Dataset, q: QuantGraph, name: str) -> Array:
    """Return the input's integer for each byte of a file, as the reference quantises it: integers
    [channels, 256], where channels are those that the host normalises by themselves, or 1."""
    values = np.arange(256, dtype=np.uint8).view(dataset.input or FLOATS)
    return np.stack([_integers(q, name, real) for real in dataset.real(values)], -1)


def limits_of_floats(q: QuantGraph, name: str) -> Array:
    """Return the least floats that the reference quantises to each integer above the lowest, as
    keys, uint32 [channels, 255].

    The key of a float is its bits as an integer, in an order of the floats (`keys_of`).
    """
    low, high = keys_of(np.array([-np.inf, np.inf], np.float32)).astype(np.int64)
    lowest = q.params[name].low
    wanted = np.arange(lowest + 1, lowest + 1 + MOST_LIMITS)[:, None]
    channels = _integers(q, name, np.zeros(1, np.float32)).size
    below = np.full((MOST_LIMITS, channels), low - 1)
    reached = np.full((MOST_LIMITS, channels), high)
    while np.any(reached - below > 1):
        middle = (below + reached) // 2
        is_reached = _integers_at(q, name, middle) >= wanted
        reached = np.where(is_reached, middle, reached)
        below = np.where(is_reached, below, middle)
    return np.asarray(reached.T, np.uint32)


def keys_of(x: Array) -> Array:
    """Return the keys of float32 numbers, uint32: larger for larger numbers."""
    bits = np.asarray(x, np.float32).view(np.uint32)
    return np.where(bits & np.uint32(SIGN), ~bits, bits | np.uint32(SIGN))


def _integers_at(q: QuantGraph, name: str, keys: Array) -> Array:
    """The input's integers at floats of these keys, int64 [limits, channels]."""
    bits = np.where(keys >= SIGN, keys - SIGN, 2 * SIGN - 1 - keys).astype(np.uint32)
    rows = [_integers(q, name, row) for row in bits.view(np.float32)]
    return np.stack(rows).astype(np.int64)


def _integers(q: QuantGraph, name: str, real: Array) -> Array:
    """The input's integers [channels] at a real number, or at one for each channel."""
    border, shape = q.graph.input_normalization.get(name), [1] * len(q.graph.shape(name))
    if border is not None:
        shape[border.axis] = len(border.scale)
    channels = np.broadcast_to(real, math.prod(shape))
    return q.input_integers(name, channels.reshape(shape)).ravel()
