# SPDX-License-Identifier: Apache-2.0
"""Layer norm and RMS norm over the last axis, in integers: one square root and one division per
row."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from myoedge.graph.ir import Attrs
from myoedge.numerics.arrays import Array
from myoedge.numerics.element_type import INT16
from myoedge.numerics.fixed_point import INT32_MAX, inverse_root
from myoedge.numerics.requant import CONSTANT_MAX
from myoedge.operators.attributes import NOT_NEGATIVE
from myoedge.operators.base import OpDef, QuantizedNode, QuantizedParams, QuantizeInputs, register
from myoedge.operators.common_rules import (
    last_axis_kept,
    same_shape,
    stream_except_last_axis,
)
from myoedge.operators.core_kernels import is_large, on_nine_cores
from myoedge.operators.format import EITHER_WIDTH
from myoedge.operators.kernel import OUT, Operand, TiledKernel
from myoedge.operators.learnt import BOUND, SHIFT, SYMMETRIC_32, Learnt, sums_fit
from myoedge.operators.traits import ByHand, Constants, Operands, Weights
from myoedge.targets.chip import Engine

LENGTH_MAX = 1023  # elements per row: sums of 11-bit squares fit 32 bits
NORMAL_BITS = 15  # bits of a normalised value without the sign
WIDE_BITS = 11  # bits of squared int16 values without the sign
EPS_BITS = 61  # bits of eps; a larger eps is shifted right together with the squares
AS_MACS = 32  # multiply-accumulates that take as long as one normalised element


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
        lambda integers, site: sums_fit(integers.gain, integers.offset, 1 << normal_bits),
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
        acc_bound=int((np.abs(gains) * 2**normal_bits + np.abs(offsets)).max()),
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
        over = _beyond(gains, offsets, normal_bits)
        if over.max() <= 1.0:
            return gains.astype(np.int64), offsets.astype(np.int64), shift
    less = np.exp2(-np.ceil(np.log2(np.maximum(over, 1.0))))
    return (gains * less).astype(np.int64), (offsets * less).astype(np.int64), 0


def _beyond(gains: Array, offsets: Array, normal_bits: int) -> Array:
    """Return the factor by which gains, or n * gain + offset, exceed their bits; at most 1 if they
    fit."""
    reach = np.abs(gains) * 2**normal_bits + np.abs(offsets)
    return np.asarray(np.maximum(np.abs(gains) / (2 ** (30 - normal_bits) - 1), reach / INT32_MAX))


def _halvings(step: QuantizedNode, x: Array) -> Array:
    """Return the right shift of each int16 row that leaves 11 bits and a sign, and for which eps
    fits its bits; 0 for int8."""
    if step.read_type(0) != INT16:
        return np.zeros((*x.shape[:-1], 1), np.int64)
    largest = np.maximum(x.max(axis=-1, keepdims=True), -1 - x.min(axis=-1, keepdims=True))
    bits = np.frexp(largest.astype(np.float64))[1].astype(np.int64)
    return np.asarray(np.maximum(bits - WIDE_BITS, step.integers.down))


def integer(step: QuantizedNode, x: Array) -> Array:
    """Normalise the rows of x [..., C] in integers with 64-bit statistics; int8 or int16 -> int8 or
    int16."""
    length = x.shape[-1]
    halvings = _halvings(step, x.astype(np.int64))
    rows = x.astype(np.int64) >> halvings
    total, squares = rows.sum(axis=-1, keepdims=True), np.square(rows).sum(axis=-1, keepdims=True)
    zero = np.full_like(total, length * step.integers.x_zero)
    middle = total if step.node.op == "layer_norm" else zero
    spread = length * squares + middle * (middle - 2 * total)  # at least 0
    spread += (step.integers.eps_high * 2**31 + step.integers.eps_low) >> (
        2 * (halvings - step.integers.down)
    )
    along = line(np.maximum(spread, 1), length, middle, fraction_bits(length), NORMAL_BITS)
    y = (on_line(rows, along) * step.integers.gain + step.integers.offset) >> step.integers.shift
    return np.asarray(np.clip(y, step.low, step.high), step.element_type.dtype)


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


def in_tiles(step: QuantizedNode, engine: Engine) -> TiledKernel:
    """Return the tiled kernel of a layer norm; tiles are blocks of whole rows."""
    rows, length = math.prod(step.out[:-1]), step.out[-1]
    y_size = step.element_type.size_bytes
    row = ((("row", 1),), ())
    x = Operand("x", 0, (rows, length), row, itemsize=step.read_type(0).size_bytes)
    wide = int(step.read_type(0) == INT16)
    numbers = ("x_zero", "shift", "eps_low", "eps_high", "down")
    return TiledKernel(
        function="me_norm_to_s16" if y_size > 1 else "me_norm_to_s8",
        axes={"row": rows},
        split=("row",),
        operands=(
            x,
            Operand.whole("pairs", np.stack([step.integers.gain, step.integers.offset], axis=1)),
            Operand("y", OUT, (rows, length), row, itemsize=y_size),
        ),
        op={
            "length": length,
            "bits": fraction_bits(length),
            "centred": int(step.node.op == "layer_norm"),
            "x_wide": wide,
            **step.integers.named(numbers),
            "pairs": "@pairs",
        },
        tile=lambda regions: {"x": "@x", "y": "@y", "rows": regions["y"].extent[0]},
        work=lambda sizes: (
            -(-sizes["row"] // engine.cores) * (length * (1.4 if wide else 1.0) + 40)
        ),
        nine_cores=engine.control_core,
    )


def _is_large(step: QuantizedNode) -> bool:
    return is_large(AS_MACS * math.prod(step.out))


LAYER_NORM = register(
    OpDef(
        name="layer_norm",
        attributes={"eps": NOT_NEGATIVE},
        doc="layer norm over the last axis of up to 1,023 elements",
        shape=same_shape,
        real=layer_norm_real,
        integer=ByHand(integer),
        constants=Constants(quantize, kinds=(NormParams,), learnt=learnt(NORMAL_BITS)),
        operands=Operands(are_normalized=True),
        kernels=on_nine_cores(in_tiles, _is_large, EITHER_WIDTH),
        weights=Weights((1, 2)),
        permute_rule=last_axis_kept,
        streaming_rule=stream_except_last_axis,
    )
)

RMS_NORM = register(
    replace(
        LAYER_NORM,
        name="rms_norm",
        doc="RMS norm over the last axis of up to 1,023 elements",
        real=rms_norm_real,
        weights=Weights((1,)),
    )
)
