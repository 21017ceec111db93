# SPDX-License-Identifier: Apache-2.0
"""Pointwise functions as tables: 256 entries for int8; for int16, points with linear
interpolation, or a requantisation if the function is linear."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from myoedge.nest.formulas import clip
from myoedge.nest.intervals import Interval
from myoedge.nest.ir import Axis, Call, Expr, Lookup, Nest, Number
from myoedge.nest.primitive import Primitive
from myoedge.numerics.arrays import Array, rounded_shift
from myoedge.numerics.element_type import INT8, INT16
from myoedge.numerics.pointwise import Chain, evaluate, is_continuous, is_linear, result_range
from myoedge.numerics.quant_params import QuantParams, quantize
from myoedge.numerics.requant import INT32_MAX, choose_requant
from myoedge.operators.attributes import CHAIN
from myoedge.operators.base import (
    QuantizedNode,
    QuantizedParams,
    QuantizeInputs,
    RequantParams,
    add_operator,
)
from myoedge.operators.chains import in_tiles
from myoedge.operators.common_rules import broadcast_streaming_rule, same_attrs, same_shape
from myoedge.operators.described import nest_constant, requantised, saturated, unary_nest
from myoedge.operators.elementwise import segments
from myoedge.operators.format import EITHER_WIDTH
from myoedge.operators.kernel_formats import by_width
from myoedge.operators.library import pointwise as flat
from myoedge.operators.traits import Constants, Described, Result

POINTS_PER_OCTAVE = 64  # smaller magnitudes have one point each, every octave above has this many
TOP = POINTS_PER_OCTAVE.bit_length() - 1
HALF = POINTS_PER_OCTAVE * 11 + 2  # ME_TABLE_HALF: points of one sign, up to a magnitude of 2**16
HEADROOM_BITS = 1  # extra bits of points, for the last segment before saturation


def make_table(chain: Chain, x: QuantParams, y: QuantParams) -> Array:
    """Return the lookup table of a chain of functions, int8 [256]: its result for every int8 input;
    NaN becomes the zero point, infinities saturate.

    x, y   quantisation parameters of input and result
    """
    values = evaluate(chain, (np.arange(-128, 128) - x.zero_point) * x.scale)
    return quantize(np.where(np.isnan(values), 0.0, np.clip(values, -1e290, 1e290)), y)


def points() -> Array:
    """Return the nonnegative inputs for which an int16 table stores results, int64 [HALF]."""
    at = np.arange(HALF)
    shift = np.maximum(at // POINTS_PER_OCTAVE - 1, 0)
    return np.asarray((at - POINTS_PER_OCTAVE * shift) << shift)


@dataclass(frozen=True, slots=True, kw_only=True)
class TableParams(QuantizedParams):
    """Integer constants of a pointwise function.

    lut      table int8 [256], or int16 points for int16 operands
    x_zero   zero point of an int16 input; None for int8
    """

    lut: Array
    x_zero: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentParams(QuantizedParams):
    """Integer constants of a discontinuous function of int16 values, as line segments.

    segments   int32 [S, 2] as segments_of returns
    levels     steps of the binary search, log2(S)
    """

    ranges: ClassVar[Mapping[str, None]] = {"levels": None}
    segments: Array
    levels: int


@dataclass(frozen=True, kw_only=True)
class LineParams(RequantParams):
    """Integer constants of a linear function of int16 values, within limits: requantisation of
    x - x_zero.

    x_zero        zero point of the input
    falls         whether the slope is negative: x_zero - x is requantised
    least, most   limits of the result
    """

    ranges: ClassVar[Mapping[str, None]] = {"falls": None}
    x_zero: int
    falls: int
    least: int
    most: int


def _compose_line(chain: Chain, x: QuantParams, y: QuantParams) -> LineParams | None:
    """Return a chain of linear functions and clamps as one line within limits; None for other
    chains, constants, and lines that int32 does not hold."""
    line = [call for call in chain if call[0] != "clamp"]
    start, rise = evaluate(line, np.array([0.0, 1.0])) if is_linear(line) else (0.0, 0.0)
    slope = float(rise - start)
    if slope == 0 or not math.isfinite(slope):
        return None
    bound, place = INT16.high - INT16.low, float(start) / y.scale + y.zero_point
    if abs(place) > bound:
        return None
    r = choose_requant(abs(slope) * x.scale / y.scale, bound, math.floor(place), y.element_type)
    offset = int(r.offset) + round((place - math.floor(place)) * (1 << int(r.shift)))
    if (bound >> r.pre) * int(r.mult) + abs(offset) > INT32_MAX:
        return None
    numbers: dict[str, Any] = {"pre": r.pre, "mult": int(r.mult), "shift": int(r.shift)}
    # a chain of monotone functions has its limits at infinite arguments
    least, most = sorted(
        int(quantize(end, y)) for end in evaluate(chain, np.array([-np.inf, np.inf]))
    )
    numbers |= {"x_zero": x.zero_point, "falls": int(slope < 0), "least": least, "most": most}
    return LineParams(**numbers, offset=offset)


def _build_table(inputs: QuantizeInputs) -> TableParams | SegmentParams | LineParams:
    """Build the table: 256 entries for int8; for int16, a line, points between which
    me_table_s16 interpolates, or segments if the function jumps."""
    chain, x, y = inputs.attrs["chain"], inputs.params(0), inputs.target
    if x.element_type == y.element_type == INT8:
        return TableParams(lut=make_table(chain, x, y))
    if x.element_type == INT16 and (line := _compose_line(chain, x, y)) is not None:
        return line
    if x.element_type == INT16 and not is_continuous(chain):
        lines = segments.segments_of(chain, x, y)
        return SegmentParams(segments=lines, levels=int(math.log2(len(lines))))
    x_wide, drop = x.element_type == INT16, 16 - y.element_type.bits
    at = np.concatenate([points(), -points()]) if x_wide else np.arange(-128, 128) - x.zero_point
    values = evaluate(chain, at * x.scale)
    # the value at 0: that half a step from 0, on the side where it is defined
    above, below = evaluate(chain, np.array([0.5, -0.5]) * x.scale)
    values = np.where(
        np.isinf(values) & (at == 0), float(below if np.isnan(above) else above), values
    )
    steps = np.where(np.isnan(values), 0.0, np.clip(values, -1e290, 1e290)) / y.scale + y.zero_point
    entries = np.rint(np.ldexp(steps, drop - HEADROOM_BITS if x_wide else 0))
    lut = np.clip(entries, INT16.low, INT16.high).astype(np.int16)
    return TableParams(x_zero=x.zero_point, lut=lut)


def _interpolate(table: Array, v: Array, drop: Array) -> Array:
    """Return the function at v = x - x_zero, not yet limited: on the line between the points next
    to |v|, with `drop` fraction bits less.

    table   int16 points of positive, then of negative numbers
    """
    entries, at_value = table.astype(np.int64), np.asarray(v, np.int64)
    size = np.abs(at_value)
    magnitude = np.maximum(size, POINTS_PER_OCTAVE).astype(np.float64)
    shift = np.frexp(magnitude)[1].astype(np.int64) - 1 - TOP
    at = np.where(at_value < 0, HALF, 0) + (size >> shift) + POINTS_PER_OCTAVE * shift
    part = (entries[at + 1] - entries[at]) * (size & ((1 << shift) - 1))
    line = (entries[at] * (1 << shift) + part) << HEADROOM_BITS
    bits = shift + drop
    return np.asarray(rounded_shift(line, bits))


def _interpolation_range(table: Array, v: Interval, drop: Interval) -> Interval:
    low, high = int(table.min()) << HEADROOM_BITS, int(table.max()) << HEADROOM_BITS
    return low >> drop[0], (high >> drop[0]) + 1


BETWEEN_POINTS = Primitive("me_between_points", "me_points.h", _interpolate, _interpolation_range)


def _describe_table(step: QuantizedNode) -> Nest:
    """Describe a pointwise function of integers: int8 by lookup, int16 between two points or on a
    line segment."""
    numbers, drop = step.integers, 16 - step.element_type.bits

    def formula(x: Expr, axes: tuple[Axis, ...]) -> Expr:
        if isinstance(numbers, SegmentParams):
            few = not step.as_data and segments.is_few_steps(numbers.segments)
            function = segments.compared if few else segments.on_segment
            return saturated(step, function(numbers.segments, x, drop))
        if isinstance(numbers, LineParams):
            v = x - numbers.x_zero
            y = requantised(step, -v if numbers.falls else v)
            is_limited = any(name == "clamp" for name, *_ in step.attrs["chain"])
            return clip(y, numbers.least, numbers.most) if is_limited else y
        table = nest_constant("lut", numbers.lut)
        if step.read_type(0) == INT8:
            return Lookup(table, x - INT8.low)
        between = Call(BETWEEN_POINTS, table, (x - numbers.x_zero, Number(drop)))
        return saturated(step, between)

    return unary_nest(step, formula)


TABLE = add_operator(
    name="table",
    attributes={"chain": CHAIN},
    doc="any element-wise function: activations, abs, square, exp, log, ...",
    shape=same_shape,
    real=lambda attrs, x: evaluate(attrs["chain"], x).astype(x.dtype),
    integer=Described(_describe_table),
    constants=Constants(_build_table, kinds=(TableParams, SegmentParams, LineParams)),
    result=Result(bounds=lambda attrs: result_range(attrs["chain"]) if "chain" in attrs else None),
    kernels=by_width(flat.lookup, in_tiles, EITHER_WIDTH),
    permute_rule=same_attrs,
    streaming_rule=broadcast_streaming_rule,
)
