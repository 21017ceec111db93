# SPDX-License-Identifier: Apache-2.0
"""[mlperf]: conversion of the bytes of a data-set file to the integers of a network's input."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from myoedge.building.config_rules import positive_sizes
from myoedge.errors import MyoedgeError
from myoedge.numerics.arrays import Array

if TYPE_CHECKING:
    from myoedge.quantization.scales import QuantGraph

ModelName = Literal["ad01", "ic01", "ic02", "kws01", "vww01"]
ValueType = Literal["uint8", "int8", "float32"]
FLOATS = "float32"
MOST_LIMITS = 255  # limits of an int8 input's floats
SIGN = 1 << 31


@dataclass(frozen=True, slots=True)
class Dataset:
    """[mlperf]: the benchmark's task, and the format of its data-set files.

    model               task, by which the benchmark's runner selects its test
    input               type of the values; float32 values are real numbers, others scale * (value -
                        zero_point)
    scale, zero_point   quantisation parameters of integer values
    axes                the input's axes in the file's order; None: unchanged
    """

    model: ModelName | None = None
    input: ValueType | None = None
    scale: float = 1.0
    zero_point: int = 0
    axes: list[int] | None = None

    @property
    def value_bytes(self) -> int:
        """Bytes per value in the file."""
        return np.dtype(self.input or FLOATS).itemsize

    def real(self, values: Array) -> Array:
        """Convert values of the file to real numbers, float32."""
        reals = self.scale * (values.astype(np.float64) - self.zero_point)
        return np.asarray(reals, np.float32)


def rules(table: Dataset) -> Iterator[tuple[str, bool]]:
    """Yield the ranges of the numbers of [mlperf], each with whether it is satisfied."""
    yield from positive_sizes({"mlperf.scale": table.scale})
    low, high = (-128, 127) if table.input == "int8" else (0, 255)
    yield f"mlperf.zero_point must be {low} to {high}", low <= table.zero_point <= high
    is_plain = (table.scale, table.zero_point) == (1.0, 0)
    yield "mlperf.scale and zero_point are for bytes", is_plain or table.input != FLOATS


@dataclass(frozen=True)
class FileAxis:
    """An axis of a data-set file.

    length   number of elements
    stride   distance of two elements in the network's input array
    """

    length: int
    stride: int


def file_axes(dataset: Dataset, shape: Sequence[int]) -> list[FileAxis]:
    """Return the axes of a data-set file, slowest first. Errors: E232 a wrong number of axes."""
    order = [*range(len(shape))] if dataset.axes is None else dataset.axes
    if sorted(order) != [*range(len(shape))]:
        facts = {"needs": f"0 to {len(shape) - 1}, each once", "has": order}
        raise MyoedgeError("E232", "[mlperf] axes are not the axes of the input", facts)
    strides = [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
    return [FileAxis(shape[axis], strides[axis]) for axis in order]


def integers_of_bytes(dataset: Dataset, q: QuantGraph, name: str) -> Array:
    """Return the network input's integer for each of the 256 byte values, quantised as in the
    reference, [channels, 256].

    channels is 1 unless the host normalises them separately.
    """
    values = np.arange(256, dtype=np.uint8).view(dataset.input or FLOATS)
    return np.stack([_quantise_input(q, name, real) for real in dataset.real(values)], -1)


def limits_of_floats(q: QuantGraph, name: str) -> Array:
    """Return the float thresholds between a network input's integers, as keys (`keys_of`), uint32
    [channels, 255].

    For each integer above the lowest, it is the smallest float that the reference quantises to it.
    The firmware finds an integer by binary search.
    """
    low, high = keys_of(np.array([-np.inf, np.inf], np.float32)).astype(np.int64)
    lowest = q.params[name].low
    wanted = np.arange(lowest + 1, lowest + 1 + MOST_LIMITS)[:, None]
    channels = _quantise_input(q, name, np.zeros(1, np.float32)).size
    below = np.full((MOST_LIMITS, channels), low - 1)
    reached = np.full((MOST_LIMITS, channels), high)
    while np.any(reached - below > 1):
        middle = (below + reached) // 2
        # The input's integers for the floats with these keys, int64 [limits, channels]
        bits = np.where(middle >= SIGN, middle - SIGN, 2 * SIGN - 1 - middle).astype(np.uint32)
        rows = [_quantise_input(q, name, row) for row in bits.view(np.float32)]
        is_reached = np.stack(rows).astype(np.int64) >= wanted
        reached = np.where(is_reached, middle, reached)
        below = np.where(is_reached, below, middle)
    return np.asarray(reached.T, np.uint32)


def keys_of(x: Array) -> Array:
    """Return float32 numbers as uint32 keys that have the same order."""
    bits = np.asarray(x, np.float32).view(np.uint32)
    return np.where(bits & np.uint32(SIGN), ~bits, bits | np.uint32(SIGN))


def _quantise_input(q: QuantGraph, name: str, real: Array) -> Array:
    """Return the input's integers [channels] at a real number, or at one number per channel."""
    port = q.input_port(name)
    border, shape = port.normalization, [1] * len(port.shape)
    if border is not None:
        shape[border.axis] = len(border.scale)
    channels = np.broadcast_to(real, math.prod(shape))
    return port.integers(channels.reshape(shape)).ravel()
