# SPDX-License-Identifier: Apache-2.0
"""Requantisation that a file gives in integers; reasons in docs/integer-semantics.md."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from myoedge.numerics.arrays import Array
from myoedge.numerics.element_type import INT8, INT16
from myoedge.numerics.fixed_point import INT32_MAX
from myoedge.numerics.quant_params import QuantParams
from myoedge.numerics.requant import Requant

ATTRIBUTE = "requant"  # of a node whose accumulators are requantised so
LEVELS_MAX = 256  # of results: 8 bits


class StatedRequant(NamedTuple):
    """y = clip((x * mult + add + half) >> shift, low, high), half = 1 << shift >> 1.

    mult, add   as many as channels, or one of each; any int32
    shift       0 .. 30
    low, high   limits of y, -128 .. 127 or 0 .. 255 at most
    """

    mult: tuple[int, ...]
    add: tuple[int, ...]
    shift: int
    low: int
    high: int

    @staticmethod
    def of(attrs: Mapping[str, Any]) -> StatedRequant | None:
        """The requantisation that a node's attributes hold; None without one."""
        return StatedRequant(*attrs[ATTRIBUTE]) if ATTRIBUTE in attrs else None

    @property
    def params(self) -> QuantParams:
        """Parameters of the results: whole numbers, unsigned ones with a zero point of -128."""
        return whole_params(self.low, self.high)

    def apply(self, x: Array, axis: int = -1) -> Array:
        """x whole numbers [...], channels along `axis` -> float64 of the same shape."""
        mult, add = (self._along(v, x, axis) for v in (self.mult, self.add))
        acc = np.rint(x.astype(np.float64)).astype(np.int64) * mult + add
        y = (acc + (1 << self.shift >> 1)) >> self.shift
        return np.asarray(np.clip(y, self.low, self.high), np.float64)

    def requant(self, zero_point: int) -> Requant:
        """Requantisation of integers whose results have this zero point.

        A factor 2^k that multiplier and divisor share goes: floor((2^k a + b) / 2^(k + s)) is
        floor((a + (b >> k)) / 2^s).
        """
        mult, add = (np.array(v, np.int64) for v in (self.mult, self.add))
        mult, add = np.broadcast_arrays(mult, add)
        twos = np.where(mult == 0, self.shift, _trailing_zeros(mult))
        common = np.minimum(twos, self.shift)
        shift = self.shift - common
        offset = (add + (1 << self.shift >> 1) >> common) + (np.int64(zero_point) << shift)
        offset = np.clip(offset, -INT32_MAX, INT32_MAX)  # where that cuts, the proof fails (E117)
        fields = (mult >> common, offset, shift)
        single = () if mult.size == 1 else mult.shape
        return Requant(0, *(x.reshape(single).astype(np.int32) for x in fields))

    @staticmethod
    def _along(values: tuple[int, ...], x: Array, axis: int) -> Array:
        shape = [-1 if d == axis % max(x.ndim, 1) else 1 for d in range(x.ndim)]
        return np.array(values, np.int64).reshape(shape if len(values) > 1 else ())


def given_requant(attrs: Mapping[str, Any], zero_point: int) -> Requant | None:
    """Requantisation that a node's attributes hold, of results with this zero point; None where it
    is chosen here."""
    stated = StatedRequant.of(attrs)
    return None if stated is None else stated.requant(zero_point)


def whole_params(low: int, high: int) -> QuantParams:
    """Parameters of whole numbers within these limits: int8 or uint8 where they hold them, else
    int16; a step is 1."""
    if INT8.low <= low and high <= INT8.high:
        return QuantParams(1.0, 0)
    if low >= 0 and high <= INT8.high - INT8.low:
        return QuantParams(1.0, INT8.low)
    return QuantParams(1.0, 0, INT16)


def product_bound(requant: Requant, bound: Array | int) -> int:
    """Largest |intermediate| of requantising accumulators of at most these magnitudes."""
    mult, offset = (np.abs(x.astype(np.int64)) for x in (requant.mult, requant.offset))
    return int((np.asarray(bound, np.int64) * mult + offset).max())


def _trailing_zeros(x: Array) -> Array:
    lowest = x & -x
    return np.frexp(lowest.astype(np.float64))[1].astype(np.int64) - 1
