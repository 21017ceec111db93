# SPDX-License-Identifier: Apache-2.0
"""Requantisation of weighted sums with one rounding; reasons in docs/integer-semantics.md."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from myoedge.numerics.arrays import Array
from myoedge.numerics.element_type import INT8, ElementType
from myoedge.numerics.fixed_point import INT32_MAX, MULT_MAX, SHIFT_MAX

TERM_FACTOR_MAX = 2.0**14  # terms may cancel: one step of a term is 64 ranges of 8 bits
FINE_FACTOR_MAX = 2.0**20  # of 8-bit terms in results of 16 bits: 16 ranges of them
CONSTANT_MAX = 2.0**23  # in output steps: no term of 8 bits brings it back into the range


@dataclass(frozen=True, slots=True)
class SumRequant:
    """Scale of a sum of terms: q = clip((sum_i x_i * mult_i + offset) >> shift)."""

    mult: tuple[int, ...]
    offset: int
    shift: int

    def apply(
        self, terms: Sequence[Array], low: int, high: int, element_type: ElementType = INT8
    ) -> Array:
        """int32 terms of one shape -> integers within [low, high]; one rounding, as in C."""
        products = (x.astype(np.int64) * m for x, m in zip(terms, self.mult, strict=True))
        total = np.asarray(sum(products) + self.offset)
        return np.asarray(np.clip(total >> self.shift, low, high), element_type.dtype)

    def largest(self, bounds: Sequence[int]) -> int:
        """Largest |intermediate| for |x_i| <= bounds_i, in any order of summation."""
        return abs(self.offset) + sum(b * abs(m) for b, m in zip(bounds, self.mult, strict=True))


def factor_max(terms: Sequence[ElementType], result: ElementType) -> float:
    """Largest factor of a term: 16-bit terms times more would leave int32."""
    return FINE_FACTOR_MAX if result.bits > max(t.bits for t in terms) else TERM_FACTOR_MAX


def choose_sum_requant(
    real: Sequence[float],
    bounds: Sequence[int],
    zeros: Sequence[int],
    constant: float,
    *,
    factor_max: float = TERM_FACTOR_MAX,
    mult_max: int = MULT_MAX,
) -> SumRequant:
    """The SumRequant nearest to sum_i (x_i - zeros_i) * real_i + constant that fits in int32.

    real        factors, any sign   bounds  largest |x_i|   zeros  zero points, folded in
    constant    zero point of the output, and whatever else is added, in output steps
    factor_max  where the factors saturate
    mult_max    largest |multiplier| of the kernel: 16 bits, or the whole of int32
    """
    factors = [min(max(float(r), -factor_max), factor_max) for r in real]
    added = min(max(float(constant), -CONSTANT_MAX), CONSTANT_MAX)
    for shift in range(SHIFT_MAX, -1, -1):
        mult = tuple(round(math.ldexp(r, shift)) for r in factors)
        offset = ((1 << shift) >> 1) + round(math.ldexp(added, shift))
        offset -= sum(z * m for z, m in zip(zeros, mult, strict=True))
        requant = SumRequant(mult, offset, shift)
        if max(map(abs, mult)) <= mult_max and requant.largest(bounds) <= INT32_MAX:
            return requant
    raise ValueError(f"no shift keeps a sum of {len(factors)} terms in int32")
