# SPDX-License-Identifier: Apache-2.0
"""Fixed-point conversion of a front end's converter values (counts) to a network's input
integers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from myoedge.numerics.arrays import Array

MULTIPLIER_BITS = 31  # bits of a multiplier's magnitude
SUM_BITS = 62  # bits of an offset's magnitude, and of a product's: int64 holds their sum
COUNT_BITS = 32


@dataclass(frozen=True, slots=True)
class CountConversion:
    """The conversion q = clamp((count * multiplier + offset) >> shift, low, high) of converter
    values (counts) in int64.

    multipliers, offsets   one per channel, or one for all channels
    The offset contains the zero point and the half that rounds to nearest, ties up. The result is
    the exact product rounded, except within 2**-15 steps of a tie, where it may be one step away.
    """

    multipliers: tuple[int, ...]
    offsets: tuple[int, ...]
    shift: int
    low: int
    high: int

    def integers(self, counts: Array) -> Array:
        """Convert counts: integers [..., channels] of at most 32 bits -> int64 [..., channels]."""
        return np.asarray(np.clip(self._integers_before_limits(counts), self.low, self.high))

    def beyond(self, counts: Array) -> float:
        """Return the part of the counts that exceeds the limits, 0 to 1."""
        q = self._integers_before_limits(counts)
        return float(np.mean((q < self.low) | (q > self.high)))

    def _integers_before_limits(self, counts: Array) -> Array:
        multipliers, offsets = (np.array(x, np.int64) for x in (self.multipliers, self.offsets))
        sums = counts.astype(np.int64) * multipliers + offsets
        return np.asarray(sums >> self.shift)


def count_conversion(
    factors: Sequence[Fraction], offsets: Sequence[Fraction], low: int, high: int
) -> CountConversion | None:
    """Return the fixed-point conversion nearest to q = factor * count + offset per channel; None if
    a factor or an offset is too large.

    factors     quantisation steps per count
    offsets     q at count 0, zero point included
    low, high   limits of q
    """
    largest = max(map(abs, factors))
    shift = SUM_BITS if largest == 0 else MULTIPLIER_BITS - 1 - _bound_exponent(largest)
    reach = max(map(abs, offsets)) + 1
    shift = min(shift, SUM_BITS - 1 - _bound_exponent(reach))
    if shift < 1:
        return None
    half = 1 << (shift - 1)
    rows = {
        (round(factor * 2**shift), round(offset * 2**shift) + half)
        for factor, offset in zip(factors, offsets, strict=True)
    }
    if len(rows) > 1:
        multipliers = tuple(round(factor * 2**shift) for factor in factors)
        added = tuple(round(offset * 2**shift) + half for offset in offsets)
    else:
        ((multiplier, offset),) = rows
        multipliers, added = (multiplier,), (offset,)
    return CountConversion(multipliers, added, shift, low, high)


def _bound_exponent(x: Fraction) -> int:
    """Return an exponent e with x < 2**e, at most 1 larger than necessary."""
    return math.frexp(float(x))[1] + 1
