# SPDX-License-Identifier: Apache-2.0
"""Norms of whole numbers over the last axis, as Deeploy's iLayerNorm and iRMSNorm."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from myoedge.graph.ir import Attrs
from myoedge.numerics.arrays import Array
from myoedge.numerics.fixed_point import INT32_MAX
from myoedge.numerics.quant_params import QuantParams
from myoedge.operators.base import (
    OpDef,
    QuantizedNode,
    QuantizedParams,
    QuantizeInputs,
    register,
)
from myoedge.operators.common_rules import (
    beside_last,
    last_axis_kept,
    like_first,
    same_shape,
    stored_bound,
)
from myoedge.operators.kernel import OUT, Dim, Operand, TiledKernel, on_cluster
from myoedge.targets.chip import Engine

REACH = 255  # largest |x| and |x - mean|
LENGTH_MAX = 2**14  # squares of a row, less than 2**16 each, stay below 2**30
SHIFT_MAX = 30


def toward_zero(a: Array, b: Array | int) -> Array:
    """a / b as C divides, b above 0."""
    return np.asarray(np.sign(a) * (np.abs(a) // b))


def deviation(centred: Array) -> Array:
    """floor(sqrt(mean square + 1)) of rows [..., n], the mean rounded down."""
    square = np.square(centred).sum(axis=-1, keepdims=True) // centred.shape[-1] + 1
    return np.asarray(np.floor(np.sqrt(square.astype(np.float64))), np.int64)


def layer_norm(x: Array, gain: Array, offset: Array, shift: int) -> Array:
    """x int64 [..., n] -> the lower 8 bits of ((x - mean) gain / deviation + offset) >> shift."""
    centred = x - toward_zero(x.sum(axis=-1, keepdims=True), x.shape[-1])
    y = (toward_zero(centred * gain, deviation(centred)) + offset) >> shift
    return ((y + 128) & 255) - 128


def rms_norm(x: Array, gain: Array, offset: Array, shift: int) -> Array:
    """x int64 [..., n] -> (x * gain) / deviation >> shift, saturated."""
    return np.asarray(np.clip(toward_zero(x * gain, deviation(x)) >> shift, -128, 127))


def real(attrs: Attrs, x: Array, gain: Array, offset: Array) -> Array:
    """Errors: ValueError for numbers that 32 bits do not hold."""
    shift, length, largest = attrs["shift"], x.shape[-1], REACH * np.abs(gain) + np.abs(offset)
    if type(shift) is not int or not 0 <= shift <= SHIFT_MAX or length > LENGTH_MAX:
        raise ValueError(f"a shift of {shift} bits, rows of {length}")
    if type(attrs["centred"]) is not bool or not (largest <= INT32_MAX).all():
        raise ValueError(f"products of up to {largest.max()}")
    rows, g, b = (np.rint(v.astype(np.float64)).astype(np.int64) for v in (x, gain, offset))
    return (layer_norm if attrs["centred"] else rms_norm)(rows, g, b, attrs["shift"]).astype(
        x.dtype
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class WholeNormParams(QuantizedParams):
    """gain, offset   int32 by channel"""

    x_zero: int
    acc_bound: int
    gain: Array
    offset: Array


def quantize(inputs: QuantizeInputs) -> WholeNormParams:
    gain, offset = (np.rint(inputs.constant(i)).astype(np.int64) for i in (1, 2))
    product = int((REACH * np.abs(gain) + np.abs(offset)).max())
    bound = max(product, REACH**2 * inputs.shapes[0][-1])
    return WholeNormParams(
        x_zero=inputs.params(0).zero_point,
        acc_bound=bound,
        gain=gain.astype(np.int32),
        offset=offset.astype(np.int32),
    )


def integer(step: QuantizedNode, x: Array) -> Array:
    """x int8 [..., C] -> int8."""
    norm = layer_norm if step.attrs["centred"] else rms_norm
    gain, offset = (getattr(step.integers, name).astype(np.int64) for name in ("gain", "offset"))
    y = norm(x.astype(np.int64) - step.integers.x_zero, gain, offset, step.attrs["shift"])
    return y.astype(np.int8)


def in_tiles(step: QuantizedNode, engine: Engine) -> TiledKernel:
    """Cut between rows."""
    rows, length = math.prod(step.out[:-1]), step.out[-1]
    row: tuple[Dim, ...] = ((("row", 1),), ())
    return TiledKernel(
        function="me_whole_norm_s8",
        axes={"row": rows},
        split=("row",),
        operands=(
            Operand("x", 0, (rows, length), row),
            Operand.whole("pairs", np.stack([step.integers.gain, step.integers.offset], axis=1)),
            Operand("y", OUT, (rows, length), row),
        ),
        op={
            "length": length,
            "centred": int(step.attrs["centred"]),
            "x_zero": step.integers.x_zero,
            "shift": step.attrs["shift"],
            "pairs": "@pairs",
        },
        tile=lambda regions: {"x": "@x", "y": "@y", "rows": regions["y"].extent[0]},
        work=lambda sizes: -(-sizes["row"] // engine.cores) * (length + 6),
    )


WHOLE_NORM = register(
    OpDef(
        name="whole_norm",
        doc="layer norm or RMS norm of whole numbers over the last axis, with divisions",
        shape=same_shape,
        nest=like_first,
        real=real,
        integer=integer,
        quantize=quantize,
        params=(WholeNormParams,),
        acc_bound=stored_bound,
        kernels=on_cluster(in_tiles),
        weights=(1, 2),
        fixed_params=QuantParams(1.0, 0),
        permute_rule=last_axis_kept,
        streaming_rule=beside_last,
    )
)
