# SPDX-License-Identifier: Apache-2.0
"""Piecewise linear approximation of discontinuous functions of int16 values; segments may begin at
jumps and kinks."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice

import numpy as np

from myoedge.nest.formulas import where
from myoedge.nest.intervals import Interval
from myoedge.nest.ir import Call, Expr, Number
from myoedge.nest.primitive import Primitive
from myoedge.numerics.arrays import Array, rounded_shift
from myoedge.numerics.element_type import INT16
from myoedge.numerics.pointwise import Chain, evaluate
from myoedge.numerics.quant_params import QuantParams
from myoedge.operators.described import nest_constant

SEGMENTS_MAX = 1024
SLOPE_BITS = 14  # fraction bits of a slope
STEPS_MAX = 4  # values of a step function that is comparisons: more take longer than a search
FIRST_ERROR, LAST_ERROR = 0.5, 2.0**13  # first and last allowed error of a line, in int16 steps
WINDOW = 64  # number of inputs for which a segment is tried first


@lru_cache(64)
def segments_of(chain: Chain, x: QuantParams, y: QuantParams) -> Array:
    """Fit line segments to a chain of functions of an int16 input, for the kernel's binary search.

    -> int32 [S, 2], S a power of two: slope; start (lower half) and value (upper half). Values for
    int8 results have 8 fraction bits.
    """
    real = (np.arange(INT16.low, INT16.high + 1) - x.zero_point) * x.scale
    values = evaluate(chain, real)
    steps = np.where(np.isnan(values), 0.0, np.clip(values, -1e290, 1e290)) / y.scale + y.zero_point
    finer = 2.0 ** (16 - y.element_type.bits)
    found = fitted(np.clip(steps * finer, INT16.low, INT16.high), FIRST_ERROR * finer**0.75)
    last = found[-1:] * ((1 << math.ceil(math.log2(len(found)))) - len(found))
    start, value, slope = np.array(found + last, np.int64).T
    place = (value << 16) | ((start + INT16.low) & 0xFFFF)
    return np.stack((slope, place), -1).astype(np.int32)


def fitted(wanted: Array, error: float) -> list[tuple[int, int, int]]:
    """Fit lines to function values so that their error is at most `error`; return (start, value,
    slope) of each.

    The error doubles until SEGMENTS_MAX lines are enough; beyond LAST_ERROR, constant segments of
    equal length are returned.
    wanted   function values at the 2^16 inputs, within int16
    """
    while error <= LAST_ERROR:
        lines = [*islice(_fit_lines(wanted, error), SEGMENTS_MAX + 1)]
        if len(lines) <= SEGMENTS_MAX:
            return lines
        error *= 2
    each = len(wanted) // SEGMENTS_MAX
    middle = np.rint(wanted[each // 2 :: each]).astype(int).tolist()
    return [(i * each, value, 0) for i, value in enumerate(middle)]


def _fit_lines(wanted: Array, error: float) -> Iterator[tuple[int, int, int]]:
    """Yield the lines (start, value, slope) that approximate function values; each is as long as
    its error allows."""
    start = 0
    while start < len(wanted):
        value, slope, length = round(float(wanted[start])), 0, 1
        window = WINDOW
        while True:
            more, better = _longest_line(wanted[start + 1 : start + window], value, error)
            slope, length = better, more + 1
            if length < window or start + window >= len(wanted):
                break
            window *= 4
        yield start, value, slope
        start += length


def _longest_line(wanted: Array, value: int, error: float) -> tuple[int, int]:
    """Return (length, slope) of the longest line from `value` that stays within the error."""
    far = np.arange(1, len(wanted) + 1)
    scale = 2.0**SLOPE_BITS / far
    least = np.maximum.accumulate(np.ceil((wanted - error - value) * scale))
    most = np.minimum.accumulate(np.floor((wanted + error - value) * scale))
    passed = int(np.count_nonzero(least <= most))  # bounds cross only once
    return passed, int((least[passed - 1] + most[passed - 1]) // 2) if passed else 0


def _evaluate_segment(table: Array, x: Array, levels: Array, drop: Array) -> Array:
    """Return the line segment at each element, not yet limited.

    table   int32 [2 S]: segments as segments_of returns, one after the other
    """
    slope, place = table.reshape(-1, 2).astype(np.int64).T
    start, value = (place & 0xFFFF ^ 0x8000) - 0x8000, place >> 16
    v = np.asarray(x, np.int64)
    at = np.searchsorted(start, v, side="right") - 1
    line = (value[at] << SLOPE_BITS) + (v - start[at]) * slope[at]
    bits = SLOPE_BITS + drop
    return np.asarray(rounded_shift(line, bits))


def _segment_range(table: Array, x: Interval, levels: Interval, drop: Interval) -> Interval:
    reach = 2 ** (31 - SLOPE_BITS - drop[0])  # sums are inside int32
    return -reach, reach


ON_SEGMENT = Primitive("me_on_segment", "me_segments.h", _evaluate_segment, _segment_range)


def on_segment(segments: Array, x: Expr, drop: int) -> Expr:
    """Return a function of an int16 value by its line segments.

    segments   as segments_of returns
    drop       fraction bits of the values
    """
    levels = Number(len(segments).bit_length() - 1)
    table = nest_constant("segments", segments.reshape(-1))
    return Call(ON_SEGMENT, table, (x, levels, Number(drop)))


def is_few_steps(segments: Array) -> bool:
    """Return whether a function has a few values, such as a threshold."""
    return not segments[:, 0].any() and 2 <= len(_segment_starts(segments)) <= STEPS_MAX


def _segment_starts(segments: Array) -> dict[int, int]:
    """Return start of a segment -> value; the repeated last segment is there once."""
    place = segments[:, 1].astype(np.int64)
    starts = (place & 0xFFFF ^ 0x8000) - 0x8000
    return dict(zip(starts.tolist(), (place >> 16).tolist(), strict=True))


def compared(segments: Array, x: Expr, drop: int) -> Expr:
    """Return a step function of few steps as comparisons. Arguments as of on_segment."""
    bits = SLOPE_BITS + drop
    half = 1 << bits >> 1
    rounded = {
        at: ((y << SLOPE_BITS) + half) >> bits for at, y in _segment_starts(segments).items()
    }
    found, *later = rounded.items()
    value: Expr = Number(found[1])
    for at, y in later:
        value = where(x < at, value, y)
    return value
