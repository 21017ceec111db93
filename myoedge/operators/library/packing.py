# SPDX-License-Identifier: Apache-2.0
"""Constant weights of conv, linear and recurrent layers: quantised, and packed for their
kernels."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from myoedge.numerics.arrays import Array, round_up
from myoedge.numerics.element_type import INT8, INT16, ElementType
from myoedge.numerics.quant_params import QuantParams
from myoedge.numerics.requant import INT32_MAX, Requant, choose_requant
from myoedge.numerics.weight_format import WeightFormat
from myoedge.operators.base import QuantizedNode, QuantizeInputs, RequantParams
from myoedge.operators.format import (
    EIGHT,
    EITHER,
    LIMITED,
    SIXTEEN,
    STORED_BITS,
    WIDE_BITS,
    Condition,
    Format,
)
from myoedge.operators.kernel import AffineExpr, Operand
from myoedge.operators.traits import (
    INTEGERS_16,
    REQUANT,
    SYMMETRIC_32,
    Learnt,
    Span,
    requantised_fits,
)

BLOCK = 4  # channels computed together; bytes of a word
FEW_BITS = 1 << 6  # smaller multipliers are made exact, by weight scales up to 1/32 larger
INT16_TAPS_MAX = 2**14  # int16 products per sum: with more of them, each has fewer bits

# Axis "k" counts blocks of channels, "k4" the channels of a block.
CHANNELS: AffineExpr = (("k", BLOCK), ("k4", 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightedParams(RequantParams):
    """Integer constants of products with constant weights.

    x_zero   zero point of the input
    weight   int8 or int16 [K, ...]
    bias     int32 [K], the input's zero point folded in
    mult, offset, shift   int32 [K]
    scale    float64 [K], scales of the weights, for reports; no kernel reads them
    """

    x_zero: int
    weight: Array
    bias: Array
    scale: Array | None = field(default=None, metadata={"kept": "by the host"})


def quantize(inputs: QuantizeInputs, weight_format: WeightFormat | None = None) -> WeightedParams:
    """Return the constants of products with constant weights: weights are quantised symmetrically
    per channel, and the input's zero point is folded into the bias.

    weight_format   format of the weights; None: the format that the layer requests
    """
    x, y, w = inputs.params(0), inputs.target, inputs.constant(1).astype(np.float64)
    stated_bias = inputs.constants[2] if len(inputs.constants) > 2 else None
    bias = np.zeros(len(w)) if stated_bias is None else stated_bias.astype(np.float64)
    used = weight_format or inputs.weight_format
    stated = _file_weights(inputs, used)
    weight, scale = used.quantize(w, bias, x) if stated is None else stated
    folded, r = _fold_zero_point(inputs, weight, scale, bias)
    few = (r.mult > 0) & (r.mult < FEW_BITS)
    if stated is None and inputs.unsigned_sums and used.per_channel and few.any():
        next_one = np.ceil(np.ldexp(x.scale * scale / y.scale, r.shift))
        scale = np.where(few, exact_scale(next_one, r.shift, x, y), scale)
        weight = used.at_scale(w, scale)
        folded, r = _fold_zero_point(inputs, weight, scale, bias)
    return WeightedParams(
        x_zero=x.zero_point,
        pre=r.pre,
        weight=weight,
        bias=folded.astype(np.int32),
        mult=r.mult,
        offset=r.offset,
        shift=r.shift,
        scale=np.asarray(scale),
    )


def _file_weights(inputs: QuantizeInputs, used: WeightFormat) -> tuple[Array, Array] | None:
    """Return the file's integers (weights [K, ...], scale [K]) without zero points, as int16 if
    they do not fit int8 or `used` is int16; None if the file has floats."""
    if 1 not in inputs.formats:
        return None
    stated, w = inputs.formats[1].by_rows, inputs.constant(1)
    assert stated is not None, "weights with scales along another axis are refused"
    steps = stated.steps(w)
    if steps is None:
        return None
    fit = INT8.low <= steps.min(initial=0) and steps.max(initial=0) <= INT8.high
    kind = used.element_type if fit else INT16
    return steps.astype(kind.dtype), np.broadcast_to(stated.scale, (len(w),))


def _fold_zero_point(
    inputs: QuantizeInputs, weight: Array, scale: Array, bias: Array
) -> tuple[Array, Requant]:
    """Return the bias with the input's zero point folded in, and the requantisation of all
    channels."""
    x, y = inputs.params(0), inputs.target
    folded = np.rint(bias / (x.scale * scale)) - x.zero_point * row_sums(weight)
    folded = np.clip(folded, -(2.0**31), 2.0**31 - 1)  # clipped: the bound's check fails (E117)
    real = x.scale * scale / y.scale
    if inputs.unsigned_sums:
        bound = unsigned_bound(weight, folded)
        return folded, choose_requant(real, bound, y.zero_point, y.element_type, pre_max=0)
    bound = _accumulator_bound(weight, folded, -x.low)
    return folded, choose_requant(real, bound, y.zero_point, y.element_type)


def exact_scale(mult: Array, shift: Array, x: QuantParams, y: QuantParams) -> Array:
    """Return the weight scales [K] for which mult / 2**shift is exactly the factor from
    accumulators to output steps.

    x, y   quantisation parameters of input and result
    """
    return np.asarray(np.ldexp(mult.astype(np.float64), -shift) * y.scale / x.scale)


def row_sums(weight: Array) -> Array:
    return np.asarray(weight.reshape(weight.shape[0], -1).astype(np.int64).sum(axis=1))


def _accumulator_bound(weight: Array, bias: Array, reach: int) -> Array:
    """Largest |acc| per channel over all inputs, at every point of the summation."""
    sums = row_sums(np.abs(weight.astype(np.int64)))
    return np.asarray(np.abs(bias.astype(np.int64)) + reach * sums)


def unsigned_bound(weight: Array, bias: Array) -> Array:
    """Return the largest |sum of x * weight + bias| per channel for x in 0 .. 255, as the
    accelerator computes
    it.

    The accelerator reads inputs plus 128, with a bias reduced by 128 times the sum of the weights.
    """
    rows = weight.reshape(weight.shape[0], -1).astype(np.int64)
    sums = np.maximum(np.maximum(rows, 0).sum(axis=1), -np.minimum(rows, 0).sum(axis=1))
    return np.asarray(255 * sums + np.abs(bias.astype(np.int64) - 128 * row_sums(weight)))


def acc_bound(step: QuantizedNode) -> int:
    """Return the largest |accumulator| that these weights and biases allow, in any order of
    summation."""
    return bound_of(step, step.read_type(0))


def bound_of(step: QuantizedNode, operand: ElementType) -> int:
    """Return the largest |accumulator| that these weights and biases allow if the input has type
    `operand`."""
    return int(_accumulator_bound(step.integers.weight, step.integers.bias, -operand.low).max())


def _make_overflow_check(integers: WeightedParams, reach: int) -> bool:
    """Return whether accumulators of operands up to `reach`, and requantised values, stay in
    int32."""
    weight, bias = integers.weight, integers.bias
    bound = _accumulator_bound(weight, bias, reach)
    last = np.minimum(bound, unsigned_bound(weight, bias)) if reach == -INT8.low else bound
    return int(bound.max(initial=0)) <= INT32_MAX and requantised_fits(integers, last)


LEARNT_RANGES: Mapping[str, Span] = {**REQUANT, "weight": INTEGERS_16, "bias": SYMMETRIC_32}
LEARNT = Learnt(
    LEARNT_RANGES, lambda integers, site: _make_overflow_check(integers, -site.params(0).low)
)


def beside_states(more: Mapping[str, Span], fits: Callable[[Any], bool]) -> Learnt:
    """Return what a recurrent layer takes from its weights, which multiply earlier results that are
    as wide as they are.

    more   further fields and their ranges
    fits   QuantizedParams -> whether these fields together are inside their kernels' integers
    """

    def both(integers: Any, site: QuantizeInputs) -> bool:
        reach = -ElementType.of(integers.weight.dtype).low
        return _make_overflow_check(integers, reach) and fits(integers)

    return Learnt({**LEARNT_RANGES, **more}, both, optional=frozenset(more))


ROOM_FOR_SUMS = Condition(  # int32 holds the sums of int16 products
    f"at most {INT16_TAPS_MAX:,} products in a sum",
    lambda attrs, shapes, out: math.prod(shapes[1][1:]) <= INT16_TAPS_MAX,
)
INT8_PRODUCTS = Format(weights=STORED_BITS)
INT16_PRODUCTS = (
    Format((EITHER,), EIGHT, WIDE_BITS, where=ROOM_FOR_SUMS),
    Format((EITHER,), SIXTEEN, WIDE_BITS, where=ROOM_FOR_SUMS & LIMITED),
)


def channel_axes(k: int) -> dict[str, int]:
    """Return the loops over k channels: over blocks of four channels, and over the channels of a
    block."""
    return {"k": -(-k // BLOCK), "k4": BLOCK}


def packed_weights(weight: Array) -> Array:
    """Pack int8 weights [K, *taps] for me_gemm: one word (four taps) per channel, in blocks of four
    channels, of which the last may be smaller; zeros fill the last word."""
    rows = weight.reshape(weight.shape[0], -1)
    k, taps = rows.shape
    padded = np.zeros((k, round_up(taps, 4)), np.int8)
    padded[:, :taps] = rows
    words = padded.reshape(k, round_up(taps, 4) // 4, 4)
    blocks = [words[i : i + BLOCK].transpose(1, 0, 2).reshape(-1) for i in range(0, k, BLOCK)]
    return np.concatenate(blocks)


def packed_channels(step: QuantizedNode) -> Array:
    """Return bias, multiplier, offset and shift of every output channel as int32 [K, 4]."""
    return np.stack([*step.integers.named(("bias", "mult", "offset", "shift")).values()], axis=1)


def rows_in_blocks(rows: Array) -> Array:
    """Pad an array [K, ..] with zero rows to whole blocks of four channels."""
    return np.pad(rows, ((0, -len(rows) % BLOCK), (0, 0)))


def channels_in_blocks(step: QuantizedNode) -> Array:
    """Return `packed_channels` padded with zeros to whole blocks of four channels."""
    return rows_in_blocks(packed_channels(step))


def weight_operands(
    weights: Array, channels: Array, k: int, group: AffineExpr = ()
) -> tuple[Operand, ...]:
    """Return the operands of a kernel for packed weights and for packed channel constants, tiled
    along output channels in blocks of four.

    weights, channels   the packed arrays
    k                   output channels of a group
    group               index expression of the group
    """
    groups, size, index = len(channels) // k, weights.size // len(channels), (group, CHANNELS, ())
    shape = (groups, k, channels.nbytes // len(channels))
    return (
        Operand(
            "weights", "weights", (groups, k, size), index, itemsize=weights.itemsize, array=weights
        ),
        Operand("channels", "channels", shape, index, array=channels),
    )


def table_operand(step: QuantizedNode) -> tuple[Operand, ...]:
    """Return the operand for the lookup table of a fused activation as a tuple; () without a
    table."""
    return () if step.table is None else (Operand.whole("table", step.table),)


def limit_fields(step: QuantizedNode) -> dict[str, int | str]:
    """Return the saturation limits and table as fields of the C struct me_scale."""
    table = "0" if step.table is None else "@table"
    return {"scale.low": step.low, "scale.high": step.high, "scale.table": table}


def scale_fields(step: QuantizedNode) -> dict[str, int | str]:
    """Return the fields of the C struct me_scale: the constants of requantisation that all channels
    share."""
    return {"scale.pre": step.integers.pre, **limit_fields(step)}
