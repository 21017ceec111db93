# SPDX-License-Identifier: Apache-2.0
"""Integer arithmetic that every operator shares; docs/integer-semantics.md says why it is so."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from myoedge.numerics.arrays import Array

INT32_MAX = 2**31 - 1
MULT_MAX = 2**15 - 1  # a multiplier is a positive signed 16-bit number
SHIFT_MAX = 30
PRE_MAX = 20
FACTOR_MAX = 512.0  # from here on every accumulator but 0 saturates, whatever the factor
TERM_FACTOR_MAX = 2.0**14  # of a sum's terms, which may cancel: one step of a term is 64 ranges
CONSTANT_MAX = 2.0**23  # of a sum, in output steps: no term of 8 bits brings it back into the range
TYPICAL_STEPS = 40.0  # root mean square of an output that fills 8 bits, in its own steps


@dataclass(frozen=True, slots=True)
class QuantParams:
    """real = scale * (q - zero_point), q an integer of `dtype`.

    scale is a float32 value; zero_point lies in the dtype's range, so that 0.0 is exact.
    """

    scale: float
    zero_point: int
    dtype: str = "int8"

    @property
    def low(self) -> int:
        return int(np.iinfo(self.dtype).min)

    @property
    def high(self) -> int:
        return int(np.iinfo(self.dtype).max)


@dataclass(frozen=True, slots=True)
class Requant:
    """Scales accumulators: q = clip((((acc >> pre) * mult) + offset) >> shift).

    pre     one shift for the operator, 0 .. 20
    mult    int32 [channels], 0 .. 32767
    offset  int32 [channels], rounding half + zero point, already shifted left
    shift   int32 [channels], 0 .. 30
    """

    pre: int
    mult: Array
    offset: Array
    shift: Array


def quantize(x: Array | float, q: QuantParams) -> Array:
    """Nearest integer, ties to even, saturating. x float [...] -> q.dtype [...]."""
    scaled = np.rint(np.asarray(x, np.float64) / q.scale) + q.zero_point
    return np.asarray(np.clip(scaled, q.low, q.high), q.dtype)


def dequantize(x: Array, q: QuantParams) -> Array:
    """int [...] -> float32 [...]."""
    return ((x.astype(np.float64) - q.zero_point) * q.scale).astype(np.float32)


def requantize(acc: Array, r: Requant, low: int, high: int, kind: type = np.int8) -> Array:
    """int32 accumulators [..., channels] -> int8 or int16; one truncation, one rounding.

    Shifts are arithmetic (toward minus infinity). Same bits as me_requant() in me_math.h.
    """
    return np.asarray(np.clip(rescale(acc, r), low, high), kind)


def rescale(acc: Array, r: Requant) -> Array:
    """int32 accumulators [..., channels] -> int64 of the same shape, not yet limited."""
    wide = acc.astype(np.int64)
    return np.asarray(((wide >> r.pre) * r.mult + r.offset) >> r.shift)


def choose_requant(
    real: Array | Sequence[float],
    acc_bound: Array | Sequence[int],
    zero_point: int,
    dtype: str = "int8",
) -> Requant:
    """The Requant nearest to acc * real + zero_point that cannot overflow int32.

    real       wanted factor per channel, > 0
    acc_bound  largest |acc| per channel that the operator can produce
    dtype      of the results
    Among the common pre-shifts the one with the smallest mean square error in the worst channel is
    taken: a larger one drops bits of the accumulator, a smaller one leaves the multiplier fewer.
    """
    bound, finer = np.asarray(acc_bound, np.int64), 1 << 8 * (np.dtype(dtype).itemsize - 1)
    # A channel that is always 0 has no say in the pre-shift.
    wanted = np.where(bound > 0, np.minimum(np.asarray(real, np.float64), finer * FACTOR_MAX), 0.0)
    candidates = [_at_pre_shift(pre, wanted, bound, zero_point) for pre in range(PRE_MAX + 1)]
    return min(candidates, key=lambda r: _square_error(r, wanted, bound, finer * TYPICAL_STEPS))


def _at_pre_shift(pre: int, real: Array, bound: Array, zero_point: int) -> Requant:
    """Per channel the largest shift, so most bits of the multiplier, that int32 leaves room for."""
    shift = np.clip(15 - np.frexp(real)[1] - pre, 0, SHIFT_MAX).astype(np.int64)
    while True:
        mult = np.minimum(np.rint(np.ldexp(real, shift + pre)), MULT_MAX).astype(np.int64)
        offset = _offset(mult, shift, pre, zero_point)
        room = (INT32_MAX - np.abs(offset)) // ((bound >> pre) + 1)
        too_far = (mult > room) & (shift > 0)
        if not too_far.any():
            mult = np.minimum(mult, np.maximum(room, 0))
            return Requant(pre, *(x.astype(np.int32) for x in (mult, offset, shift)))
        shift -= too_far


def _offset(mult: Array, shift: Array, pre: int, zero_point: int) -> Array:
    """Half an output step, half of what the pre-shift drops on average, and the zero point."""
    half = (np.int64(1) << shift) >> 1
    dropped = mult >> 1 if pre else 0
    return np.asarray(half + dropped + (np.int64(zero_point) << shift))


def _square_error(r: Requant, real: Array, bound: Array, steps: float) -> float:
    """Of the worst channel, in output steps squared.

    The multiplier's error counts at a typical output of so many steps; what the pre-shift drops is
    spread evenly.
    """
    error = np.abs(np.ldexp(r.mult.astype(np.float64), -(r.shift + r.pre)) - real)
    typical = np.minimum(bound, steps / np.maximum(real, 1e-30))
    dropped = np.ldexp(real, r.pre - 1) if r.pre else np.zeros_like(real)
    return float(np.max((typical * error) ** 2 + dropped**2 / 3.0))


@dataclass(frozen=True, slots=True)
class Combine:
    """Scales a sum of products: q = clip((sum_i x_i * mult_i + offset) >> shift)."""

    mult: tuple[int, ...]
    offset: int
    shift: int


def combine(terms: Sequence[Array], c: Combine, low: int, high: int, kind: type = np.int8) -> Array:
    """int32 terms of one shape -> int8 or int16; one rounding. Same bits as the C of `add`."""
    total = sum(x.astype(np.int64) * m for x, m in zip(terms, c.mult, strict=True)) + c.offset
    return np.asarray(np.clip(np.asarray(total) >> c.shift, low, high), kind)


def choose_combine(
    real: Sequence[float], bound: Sequence[int], zeros: Sequence[int], constant: float
) -> Combine:
    """The Combine nearest to sum_i (x_i - zeros_i) * real_i + constant that cannot overflow int32.

    real      factors, any sign   bound  largest |x_i|   zeros  zero points of the terms, folded in
    constant  zero point of the output, and what else is added, in output steps
    """
    capped = [_within(r, TERM_FACTOR_MAX) for r in real]
    added = _within(constant, CONSTANT_MAX)
    fits = (c for s in range(SHIFT_MAX, -1, -1) if (c := _at_shift(s, capped, bound, zeros, added)))
    return next(fits)


def _within(value: float, limit: float) -> float:
    return min(max(float(value), -limit), limit)


def _at_shift(
    shift: int, real: Sequence[float], bound: Sequence[int], zeros: Sequence[int], constant: float
) -> Combine | None:
    found = _with_shift(shift, real, zeros, constant)
    reach = abs(found.offset) + sum(b * abs(m) for b, m in zip(bound, found.mult, strict=True))
    return found if max(map(abs, found.mult)) <= MULT_MAX and reach <= INT32_MAX else None


def _with_shift(
    shift: int, real: Sequence[float], zeros: Sequence[int], constant: float
) -> Combine:
    mult = tuple(round(math.ldexp(r, shift)) for r in real)
    offset = ((1 << shift) >> 1) + round(math.ldexp(constant, shift))
    return Combine(mult, offset - sum(z * m for z, m in zip(zeros, mult, strict=True)), shift)


def lookup(x: Array, table: Array) -> Array:
    """int8 [...] through a 256-entry table whose first entry is for -128."""
    return np.asarray(table[x.astype(np.int32) + 128])


def range_qparams(low: float, high: float) -> QuantParams:
    """int8 parameters that cover [low, high] and 0.0; an empty range gets scale 1/128."""
    low, high = min(low, 0.0), max(high, 0.0)
    if high - low < 2.0**-60:
        return QuantParams(2.0**-7, 0)
    scale = float(np.float32((high - low) / 255.0))
    zero_point = int(np.clip(np.rint(-128.0 - low / scale), -128, 127))
    return QuantParams(scale, zero_point)


def symmetric_qparams(low: float, high: float, dtype: str = "int8") -> QuantParams:
    """Parameters that cover [low, high] without a zero point; an empty range: 1/128."""
    largest = max(-low, high)
    scale = float(np.float32(largest / np.iinfo(dtype).max)) if largest >= 2.0**-60 else 2.0**-7
    return QuantParams(scale, 0, dtype)


def choose_wide(
    real: Sequence[float], bound: Sequence[int], zeros: Sequence[int], constant: float
) -> Combine:
    """As `choose_combine`, for terms and results of 16 bits: multipliers have up to 23 bits."""
    for shift in range(SHIFT_MAX, -1, -1):
        found = _with_shift(shift, real, zeros, constant)
        reach = sum(b * abs(m) for b, m in zip(bound, found.mult, strict=True)) + abs(found.offset)
        if reach <= INT32_MAX:
            return found
    raise AssertionError("factors of sums are limited")


def round_up_12_bits(x: float) -> float:
    """x with 12 significant bits, away from zero: the last bits of another BLAS do not show."""
    if x == 0.0 or not math.isfinite(x):
        return x
    mantissa, exponent = math.frexp(x)
    steps = math.ceil(abs(mantissa) * 4096 - 2.0**-12)
    return math.copysign(math.ldexp(steps / 4096, exponent), x)


def exact_matmul(a: Array, b: Array) -> Array:
    """Integer matmul through floats, 40 times faster than int32: float32 where no sum goes beyond
    2**24, else float64, exact below 2**53."""
    kind = np.float32 if a.shape[-1] * _reach(a) * _reach(b) <= 2**24 else np.float64
    return np.asarray(np.matmul(a.astype(kind), b.astype(kind)), np.int64)


def _reach(x: Array) -> int:
    return max(int(x.max(initial=0)), -int(x.min(initial=0)))
