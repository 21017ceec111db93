# SPDX-License-Identifier: Apache-2.0
"""Layer norm and RMS norm over the last axis, in integers: one square root and one division per
row."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from myoedge.graph.ir import Attrs
from myoedge.nest.formulas import broadcast_axes, in_int32, maximum, total
from myoedge.nest.intervals import INT32, Interval
from myoedge.nest.ir import Axis, Call, Nest, Reduced, Value, as_expr
from myoedge.nest.nodes import Assumed, results_of
from myoedge.nest.primitive import Primitive
from myoedge.numerics.arrays import Array
from myoedge.numerics.element_type import INT16
from myoedge.numerics.requant import CONSTANT_MAX, INT32_MAX, inverse_root
from myoedge.operators.attributes import NOT_NEGATIVE
from myoedge.operators.base import (
    QuantizedNode,
    QuantizedParams,
    QuantizeInputs,
    add_operator,
    add_variant,
)
from myoedge.operators.chains import in_tiles
from myoedge.operators.common_rules import last_axis_kept, same_shape, stream_except_last_axis
from myoedge.operators.described import nest_constant, operand, read_as_data, result, saturated
from myoedge.operators.format import EITHER_WIDTH
from myoedge.operators.kernel_formats import is_large, on_nine_cores
from myoedge.operators.traits import (
    BOUND,
    SHIFT,
    SYMMETRIC_32,
    Constants,
    Described,
    Learnt,
    Operands,
    Weights,
    sums_fit,
)

LENGTH_MAX = 1023  # elements per row: sums of 11-bit squares fit 32 bits
NORMAL_BITS = 15  # bits of a normalised value without the sign
WIDE_BITS = 11  # bits of squared int16 values without the sign
EPS_BITS = 61  # bits of eps; a larger eps is shifted right together with the squares
AS_MACS = 32  # multiply-accumulates that take as long as one normalised element
WIDE = -(1 << WIDE_BITS), (1 << WIDE_BITS) - 1  # int16 values before they are squared


def layer_norm_real(attrs: Attrs, x: Array, gain: Array, offset: Array) -> Array:
    """Compute layer norm in float64, because float32 leaves few significant digits in nearly
    constant rows."""
    rows = x.astype(np.float64)
    centred = rows - rows.mean(axis=-1, keepdims=True)
    variance = np.square(centred).mean(axis=-1, keepdims=True)
    y = centred / np.sqrt(variance + attrs["eps"]) * gain + offset
    return np.asarray(y, x.dtype)


def rms_norm_real(attrs: Attrs, x: Array, gain: Array) -> Array:
    square = np.square(x.astype(np.float64)).mean(axis=-1, keepdims=True)
    return np.asarray(x / np.sqrt(square + attrs["eps"]) * gain, x.dtype)


def fraction_bits(length: int) -> int:
    """Return the fraction bits of a normalised value stored in 15 bits; its magnitude is at most
    sqrt(length)."""
    return 15 - math.ceil(math.log2(length) / 2)


def quantize(inputs: QuantizeInputs) -> NormParams:
    """Return the constants of y = (n * gain + offset) >> shift, where n is the normalised value and
    all channels share the shift."""
    length = inputs.shapes[0][-1]
    return affine_params(inputs, length, fraction_bits(length), NORMAL_BITS)


@dataclass(frozen=True, slots=True, kw_only=True)
class NormParams(QuantizedParams):
    """Integer constants of a layer norm or group norm.

    down                least right shift of int16 inputs
    x_zero              zero point of the input
    gain, offset        int32 per channel
    shift               right shift of n * gain + offset, common to all channels
    eps_low, eps_high   eps as eps_high * 2**31 + eps_low, in units of length**2 times the variance
                        of shifted inputs
    acc_bound           largest |n * gain + offset|
    """

    down: int
    x_zero: int
    shift: int
    eps_low: int
    eps_high: int
    acc_bound: int
    gain: Array
    offset: Array


def learnt(normal_bits: int) -> Learnt:
    """Return what a norm takes from its weights: n * gain + offset stays in int32.

    normal_bits   all bits of a normalised value except the sign
    """
    return Learnt(
        {"gain": SYMMETRIC_32, "offset": SYMMETRIC_32, "shift": SHIFT, "acc_bound": BOUND},
        lambda integers, site: sums_fit(integers.gain, integers.offset, normal_most(normal_bits)),
    )


def affine_params(inputs: QuantizeInputs, length: int, bits: int, normal_bits: int) -> NormParams:
    """Return gains and offsets with a common shift, and eps in units of length**2 times the
    variance.

    length        number of elements over which the mean is taken
    bits          fraction bits of a normalised value
    normal_bits   all bits of a normalised value except the sign
    """
    x = inputs.params(0)
    factor = inputs.constant(1).astype(np.float64) / inputs.target.scale
    offset = inputs.constant(2) if len(inputs.constants) > 2 else np.zeros(factor.shape)
    added = offset.astype(np.float64) / inputs.target.scale + inputs.target.zero_point
    most = CONSTANT_MAX * 2.0 ** (inputs.target.element_type.bits - 8)
    added = np.clip(added, -most, most)
    gains, offsets, shift = _common_shift(factor, added, bits, normal_bits)
    eps = round(inputs.attrs["eps"] * (length / x.scale) ** 2)
    down = max(eps.bit_length() - EPS_BITS + 1, 0) // 2 if x.element_type == INT16 else 0
    eps = min(eps >> 2 * down, 2**EPS_BITS)
    return NormParams(
        down=down,
        x_zero=x.zero_point,
        shift=shift,
        eps_low=eps % 2**31,
        eps_high=eps >> 31,
        acc_bound=int(_largest_result(gains, offsets, normal_bits).max()),
        gain=gains.astype(np.int32),
        offset=offsets.astype(np.int32),
    )


def _common_shift(
    factor: Array, added: Array, bits: int, normal_bits: int
) -> tuple[Array, Array, int]:
    """Return (gains, offsets, common shift) with the largest shift for which n * gain + offset fits
    int32; n and gain have 30 bits together.

    A channel that exceeds int32 even with shift 0 has its gain and offset reduced by a power of
    two; one step of its n then exceeds the range of y.
    """
    for shift in range(30, -1, -1):
        gains = np.rint(np.ldexp(factor, shift - bits))
        offsets = np.rint(np.ldexp(added, shift)) + ((1 << shift) >> 1)
        # by how much gains, or n * gain + offset, exceed their bits; at most 1 if they fit
        reach = _largest_result(gains, offsets, normal_bits)
        over = np.asarray(
            np.maximum(np.abs(gains) / (2 ** (30 - normal_bits) - 1), reach / INT32_MAX)
        )
        if over.max() <= 1.0:
            return gains.astype(np.int64), offsets.astype(np.int64), shift
    less = np.exp2(-np.ceil(np.log2(np.maximum(over, 1.0))))
    return (gains * less).astype(np.int64), (offsets * less).astype(np.int64), 0


def _largest_result(gains: Array, offsets: Array, normal_bits: int) -> Array:
    """Return the largest |n * gain + offset|."""
    return np.asarray(np.abs(gains) * normal_most(normal_bits) + np.abs(offsets))


def normal_most(normal_bits: int) -> int:
    """Return the largest magnitude of a normalised value: at most sqrt(length) times 1 + 2**-14
    from rounding the root and its inverse, and one step from rounding it."""
    return (1 << normal_bits) + (1 << normal_bits - 13)


def meaning(step: QuantizedNode[NormParams]) -> Nest:
    """Describe the norm of the rows of x [..., C]: a line per row, a gain and an offset per
    channel."""
    axes, x, c = broadcast_axes(step.out), operand(step, 0), step.integers
    row, length = Axis("r", step.out[-1]), step.out[-1]
    own, along = x[axes], x[(*axes[:-1], row)]
    less, kind = as_expr(0), "sum"
    if step.read_type(0) == INT16:  # 11 bits and a sign stay, and eps fits its bits
        # The right shift of a row of int16
        reach = maximum(Reduced("max", row, along), -1 - Reduced("min", row, along))
        top = Call(HIGHEST_BIT, None, (maximum(reach, 1 << (WIDE_BITS - 1)),))
        halvings = maximum(top - (WIDE_BITS - 1), c.down)
        own, along = (Assumed(value >> halvings, *WIDE) for value in (own, along))
        less, kind = (halvings - c.down) * 2, "int32 sum"
    sum_ = total(row, along)
    squares = Reduced(kind, row, along * along)
    middle = sum_ if step.node.op == "layer_norm" else as_expr(length * c.x_zero)
    bits = fraction_bits(length)
    numbers: list[Value] = [sum_, squares, middle, length, c.eps_high, c.eps_low, less, bits]
    slope, start, shift = results_of(Call(LINE_OF_ROW, None, tuple(map(as_expr, numbers))))
    normal = in_int32("+", in_int32("*", own, slope), start) >> shift
    gain, offset = (nest_constant(name, getattr(c, name))[axes[-1]] for name in ("gain", "offset"))
    places = read_as_data(step, "shift", c.shift)
    most = normal_most(NORMAL_BITS)
    value = Assumed(normal, -most, most) * gain + offset
    index = tuple(axis.at for axis in axes)
    return Nest(axes, (x,), result(step), index, saturated(step, value >> places))


def line(
    spread: Array, length: int, middle: Array, bits: int, normal_bits: int
) -> tuple[Array, Array, Array]:
    """Return (slope, start, shift) per row for the normalised value (x * slope + start) >> shift.

    spread        length**2 times the variance, 1 .. 2**62
    length        number of elements over which the mean is taken
    middle        length times the mean
    bits          fraction bits of the normalised value, minus the right shift of the root
    normal_bits   all bits of the normalised value except the sign
    """
    inverse, half = inverse_root(spread)
    drop = np.maximum(normal_bits + half - bits, 0)
    shift = 30 + half - bits - drop
    slope = length * inverse >> drop
    start = -(middle * inverse >> drop) + ((1 << shift) >> 1)
    return slope, start, shift


def on_line(x: Array, along: tuple[Array, Array, Array]) -> Array:
    """Return the normalised values (x * slope + start) >> shift, modulo 2**32 before the shift.

    along   slope, start and shift, as returned by `line`
    """
    slope, start, shift = along
    return np.asarray((x * slope + start).astype(np.int32) >> shift)


def _row_slope_and_start(table: None, *values: Array) -> tuple[Array, Array, Array]:
    """Return slope, start and shift of rows, as me_line_of_row in C.

    values   sum, sum of the squares modulo 2**32, middle, length, eps_high, eps_low, less, bits
    """
    sum_, squares, middle = values[:3]
    length, eps_high, eps_low, less, bits = values[3:]
    whole = np.asarray(squares, np.int64) & 0xFFFFFFFF
    spread = int(length) * whole + np.asarray(middle, np.int64) * (middle - 2 * np.asarray(sum_))
    spread = spread + (((int(eps_high) << 31) + int(eps_low)) >> np.asarray(less, np.int64))
    found = line(np.maximum(spread, 1), int(length), middle, int(bits), NORMAL_BITS)
    slope, start, shift = (np.asarray(x, np.int64) for x in found)
    return slope, start.astype(np.int32).astype(np.int64), shift


def _row_line_ranges(table: None, *ranges: Interval) -> tuple[Interval, Interval, Interval]:
    """Return the ranges of slope, start and shift: the inverse root has 15 bits."""
    return (0, ranges[3][1] << 15), INT32, (0, NORMAL_BITS)


LINE_OF_ROW = Primitive(
    "me_line_of_row",
    "me_line.h",
    _row_slope_and_start,
    _row_line_ranges,
    results=("slope", "start", "shift"),
    c_type="me_line",
)
HIGHEST_BIT = Primitive(
    "me_highest_bit",
    "me_line.h",
    lambda table, x: np.frexp(np.asarray(x, np.float64))[1].astype(np.int64) - 1,
    lambda table, x: (max(x[0], 1).bit_length() - 1, max(x[1], 1).bit_length() - 1),
)


def _is_large(step: QuantizedNode) -> bool:
    return is_large(AS_MACS * math.prod(step.out))


LAYER_NORM = add_operator(
    name="layer_norm",
    attributes={"eps": NOT_NEGATIVE},
    doc="layer norm over the last axis of up to 1,023 elements",
    shape=same_shape,
    real=layer_norm_real,
    integer=Described(meaning),
    constants=Constants(quantize, kinds=(NormParams,), learnt=learnt(NORMAL_BITS)),
    operands=Operands(are_normalized=True),
    kernels=on_nine_cores(in_tiles, _is_large, EITHER_WIDTH),
    weights=Weights((1, 2)),
    permute_rule=last_axis_kept,
    streaming_rule=stream_except_last_axis,
)

RMS_NORM = add_variant(
    LAYER_NORM,
    name="rms_norm",
    doc="RMS norm over the last axis of up to 1,023 elements",
    real=rms_norm_real,
    weights=Weights((1,)),
)
