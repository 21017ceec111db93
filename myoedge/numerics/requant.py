# SPDX-License-Identifier: Apache-2.0
"""Requantisation of int32 accumulators, and of weighted sums; limits of integer arithmetic, exact
integer products, and lookup tables. docs/developers/integer-semantics.md has the reasons."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from myoedge.numerics.arrays import Array
from myoedge.numerics.element_type import INT8, ElementType

INT32_MAX = 2**31 - 1
MULT_MAX = 2**15 - 1  # multipliers are positive int16
SHIFT_MAX = 30
PRE_MAX = 20


def whole_number(value: float | np.integer[Any]) -> int:
    """Return a number as an int. Errors: TypeError for one that is no integer."""
    if value != int(value):
        raise TypeError(f"a formula has integers, not {value}")
    return int(value)


def lookup(x: Array, table: Array) -> Array:
    """Return table entries for int8 x [...]; the first of the 256 entries is for -128."""
    return table.take(x.view(np.uint8) ^ 128)  # as uint8, a negative x is 128 or more


def saturated(x: Array, low: int, high: int, dtype: np.dtype[Any]) -> Array:
    """Return integers clipped to [low, high]; for small arrays, np.clip takes twice as long."""
    return np.asarray(np.minimum(np.maximum(x, low), high), dtype)


def exact_matmul(a: Array, b: Array, dtype: type[np.signedinteger[Any]] = np.int64) -> Array:
    """Return an integer matrix product, computed exactly with floats, 40 times faster than with
    int32.

    dtype   integer type of the result, which every sum must fit

    Computed in float32 if no sum exceeds 2**24, otherwise in float64, which is exact below 2**53.
    """
    float_type = np.float32 if _largest_sum(a, b) <= 2**24 else np.float64
    return np.asarray(np.matmul(a.astype(float_type), b.astype(float_type)), dtype)


def exact_sums(a: Array, b: Array, bias: Array) -> Array:
    """Return an integer matrix product plus a bias [columns]: int32 (sums must fit in it) or
    int64."""
    bound = _largest_sum(a, b) + _largest_magnitude(bias)
    acc = exact_matmul(a, b, np.int32 if bound <= INT32_MAX else np.int64)
    acc += bias
    assert bound <= INT32_MAX or np.abs(acc).max(initial=0) <= INT32_MAX
    return acc


def _largest_sum(a: Array, b: Array) -> int:
    """Return a bound on each sum of products: by the range of int8, else by the largest values."""
    left, right = (2**7 if x.dtype == np.int8 else _largest_magnitude(x) for x in (a, b))
    return int(a.shape[-1] * left * right)


def shifted_right(x: Array, bits: Array) -> Array:
    """Return integers x shifted right by `bits`, or shifted left if `bits` is negative."""
    return np.where(bits >= 0, x >> np.maximum(bits, 0), x << np.maximum(-bits, 0))


def inverse_root(x: Array) -> tuple[Array, Array]:
    """Return integers (inverse, half) with 1 / sqrt(x) = inverse / 2**(30 + half), as
    me_inverse_root in C.

    x   int64, 1 .. 2**62
    """
    top = np.frexp(x.astype(np.float64))[1].astype(np.int64) - 1
    top -= (x >> top) == 0  # float64 may have rounded up to the next power of two
    half = (top - 30) >> 1
    root = np.sqrt(shifted_right(x, 2 * half).astype(np.float64)).astype(np.int64)  # exact
    return (2**30 + (root >> 1)) // root, half


def _largest_magnitude(x: Array) -> int:
    return max(int(x.max(initial=0)), -int(x.min(initial=0)))


FACTOR_MAX = 512.0  # from here on, every accumulator except 0 saturates
TYPICAL_STEPS = 40.0  # typical root mean square of an int8 output, in its own steps
TERM_FACTOR_MAX = 2.0**14  # terms may cancel: one step of a term is then 64 int8 ranges
FINE_FACTOR_MAX = 2.0**20  # for int8 terms in int16 results: 16 ranges of them
CONSTANT_MAX = 2.0**23  # in output steps: no int8 term brings such a result back into the range
NUMBERS = ("mult", "offset", "shift")


@dataclass(frozen=True)
class Requant:
    """Fixed-point requantisation q = clip((((acc >> pre) * mult) + offset) >> shift).

    pre     one shift for the operator, 0 .. 20
    mult    int32 [channels], 0 .. 32767
    offset  int32 [channels], rounding half + zero point, already shifted left
    shift   int32 [channels], 0 .. 30
    The three arrays are scalars (no axis) if all channels share one factor.
    """

    pre: int
    mult: Array
    offset: Array
    shift: Array

    def apply(self, acc: Array, low: int, high: int, element_type: ElementType = INT8) -> Array:
        """Requantise int32 accumulators [..., channels] to integers within [low, high].

        One truncation, one rounding; shifts are arithmetic (toward minus infinity). Same bits as
        me_requant() in me_math.h.
        """
        return saturated(self.rescale(acc), low, high, element_type.dtype)

    def rescale(self, acc: Array) -> Array:
        """Rescale int32 accumulators [..., channels] to integers of the same shape, without
        saturation.

        Uses int32 arithmetic, which is ten times faster, if all intermediates fit.
        """
        largest = max(int(acc.max(initial=0)), -int(acc.min(initial=0)))
        fits = largest <= self.exact_bound
        exact: Array = acc.astype(np.int32 if fits else np.int64)
        y = np.asarray((exact >> self.pre) * self.mult if self.pre else exact * self.mult)
        y += self.offset
        y >>= self.shift
        return y

    def channel(self, index: int) -> Requant:
        """Return the requantisation of one channel, without a channel axis."""
        return Requant(self.pre, *(getattr(self, name)[index] for name in NUMBERS))

    @cached_property
    def exact_bound(self) -> int:
        """Largest |acc| for which no intermediate of any channel exceeds int32."""
        mult, offset = (np.asarray(x, np.int64) for x in (self.mult, self.offset))
        kept = (INT32_MAX - np.abs(offset)) // np.maximum(mult, 1)
        return int(np.where(mult > 0, kept << self.pre, INT32_MAX).min(initial=INT32_MAX))

    @property
    def scalars(self) -> dict[str, int]:
        """Return the fields of the C struct that all channels share, by name: `pre`, and the others
        if there is one factor."""
        shared = () if np.ndim(self.mult) else NUMBERS
        return {"pre": self.pre, **{name: int(getattr(self, name)) for name in shared}}

    @property
    def arrays(self) -> dict[str, Array]:
        """Return the fields with one value per channel as arrays, by name; {} if all channels share
        them."""
        return {name: getattr(self, name) for name in (NUMBERS if np.ndim(self.mult) else ())}

    @staticmethod
    def of(fields: Mapping[str, Any]) -> Requant:
        """Return the requantisation with all fields of `scalars` and `arrays`."""
        return Requant(fields["pre"], *(np.asarray(fields[name]) for name in NUMBERS))


def choose_requant(
    real: Array | Sequence[float] | float,
    acc_bound: Array | Sequence[int] | int,
    zero_point: int,
    element_type: ElementType = INT8,
    *,
    pre_max: int = PRE_MAX,
) -> Requant:
    """Return the Requant nearest to acc * real + zero_point that cannot overflow int32.

    real          required factor, > 0, per channel or one for all
    acc_bound     largest |acc| that the operator can produce, per channel or one for all
    element_type  of the results
    pre_max       largest pre-shift
    The pre-shift, common to all channels, has the smallest mean square error in the worst channel:
    a larger shift drops bits of the accumulator, a smaller shift leaves fewer bits for the
    multiplier.
    """
    bound, finer = np.asarray(acc_bound, np.int64), 1 << (element_type.bits - 8)
    # Powers of two that only the rounding of scales to float32 keeps from it; the largest
    # multiplier, 32767, would be less exact
    exact = np.asarray(real, np.float64)
    power = np.exp2(np.rint(np.log2(np.maximum(exact, 1e-300))))
    near = np.where(np.abs(exact - power) < power * 2.0**-20, power, exact)
    factor = np.minimum(near, finer * FACTOR_MAX)
    # A channel that is always 0 does not affect the pre-shift.
    wanted = np.where(bound > 0, factor, 0.0)
    pre = np.arange(pre_max + 1).reshape(-1, *[1] * wanted.ndim)  # an axis of candidates
    mult, offset, shift = _with_pre_shifts(pre, wanted, bound, zero_point)
    error = np.abs(np.ldexp(mult.astype(np.float64), -(shift + pre)) - wanted)
    # The mean square error of the worst channel for each pre-shift, in output steps squared
    typical = np.minimum(bound, finer * TYPICAL_STEPS / np.maximum(wanted, 1e-30))
    dropped = np.where(pre > 0, np.ldexp(wanted, pre - 1), 0.0)
    squares = (typical * error) ** 2 + dropped**2 / 3.0
    best = int(np.argmin(np.asarray(squares.reshape(len(pre), -1).max(axis=1))))
    return Requant(best, *(x[best, ...].astype(np.int32) for x in (mult, offset, shift)))


def _with_pre_shifts(
    pre: Array, real: Array, bound: Array, zero_point: int
) -> tuple[Array, Array, Array]:
    """Return mult, offset and shift [pre-shifts, channels] for each pre-shift; each channel has the
    largest shift, and so the most multiplier bits, that fits in int32.

    pre   the pre-shifts, with as many axes of size 1 as `real` has
    """
    shift = np.clip(15 - np.frexp(real)[1] - pre, 0, SHIFT_MAX).astype(np.int64)
    while True:
        mult = np.minimum(np.rint(np.ldexp(real, shift + pre)), MULT_MAX).astype(np.int64)
        # Half an output step, the mean of the bits that the pre-shift drops, and the zero point.
        half, dropped = (np.int64(1) << shift) >> 1, np.where(pre > 0, mult >> 1, 0)
        offset = half + dropped + (np.int64(zero_point) << shift)
        mult_max = (INT32_MAX - np.abs(offset)) // ((bound >> pre) + 1)
        overflows = (mult > mult_max) & (shift > 0)
        if not overflows.any():
            return np.minimum(mult, np.maximum(mult_max, 0)), offset, shift
        shift = shift - overflows


@dataclass(frozen=True, slots=True)
class SumRequant:
    """Fixed-point requantisation of a sum of terms: q = clip((sum_i x_i * mult_i + offset) >>
    shift)."""

    mult: tuple[int, ...]
    offset: int
    shift: int

    def apply(
        self, terms: Sequence[Array], low: int, high: int, element_type: ElementType = INT8
    ) -> Array:
        """Requantise a sum of integer terms of equal shape to [low, high], with one rounding, as in
        C."""
        fits = self.largest([np.iinfo(x.dtype).max + 1 for x in terms]) <= INT32_MAX
        exact = np.int32 if fits else np.int64  # int32 is twice as fast
        products = (x.astype(exact) * m for x, m in zip(terms, self.mult, strict=True))
        total = np.asarray(sum(products) + self.offset)
        return saturated(total >> self.shift, low, high, element_type.dtype)

    def largest(self, bounds: Sequence[int]) -> int:
        """Return the largest magnitude of an intermediate sum, in any order of summation.

        bounds   largest |x_i| of each term
        """
        return abs(self.offset) + sum(b * abs(m) for b, m in zip(bounds, self.mult, strict=True))


def factor_max(terms: Sequence[ElementType], result: ElementType) -> float:
    """Return the largest allowed factor of a term; with a larger one, 16-bit terms could exceed
    int32."""
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
    """Return the SumRequant nearest to sum_i (x_i - zeros_i) * real_i + constant that fits in
    int32.

    real         factor of each term, any sign
    bounds       largest |x_i| of each term
    zeros        zero point of each term, folded into the offset
    constant     zero point of the output plus any other constant, in output steps
    factor_max   limit at which the factors saturate
    mult_max     largest |multiplier| that the kernel supports
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
