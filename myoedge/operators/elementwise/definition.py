# SPDX-License-Identifier: Apache-2.0
"""Operators on elements: sums, differences and products of two, one factor per channel, tables."""

from __future__ import annotations

import numpy as np

from myoedge.graph.ir import Attrs, Shape
from myoedge.numerics.arrays import Array
from myoedge.numerics.element_type import INT16
from myoedge.numerics.fixed_point import INT32_MAX, MULT_MAX, lookup
from myoedge.numerics.pointwise import Chain, evaluate
from myoedge.numerics.quant_params import QuantParams, quantize
from myoedge.numerics.requant import SumRequant, choose_sum_requant, factor_max
from myoedge.operators.base import (
    OpDef,
    QuantizedNode,
    QuantizedParams,
    QuantizeInputs,
    register,
)
from myoedge.operators.common_rules import (
    axis_permuted,
    beside_axis,
    broadcast_streaming_rule,
    elementwise,
    limited,
    not_activated,
    same_attrs,
    same_shape,
    stored_bound,
    with_requant,
)
from myoedge.operators.elementwise import tiling as flat
from myoedge.operators.kernel import TiledKernel, on_cluster, on_nine_cores
from myoedge.targets.chip import Engine


def broadcast(attrs: Attrs, a: Shape, b: Shape) -> Shape:
    return tuple(int(n) for n in np.broadcast_shapes(a, b))


def add_real(attrs: Attrs, a: Array, b: Array) -> Array:
    return np.asarray(a + b)


def sub_real(attrs: Attrs, a: Array, b: Array) -> Array:
    return np.asarray(a - b)


def mul_real(attrs: Attrs, a: Array, b: Array) -> Array:
    return np.asarray(a * b)


def _quantize_sum(inputs: QuantizeInputs, sign: int) -> QuantizedParams:
    """y = (a * a_mult + b * b_mult + offset) >> shift: both terms share one rounding."""
    a, b, y = inputs.params(0), inputs.params(1), inputs.target
    types = {"a_wide": a.element_type, "b_wide": b.element_type, "y_wide": y.element_type}
    int16 = INT16 in types.values()
    bounds, zeros = (-a.low, -b.low), (a.zero_point, b.zero_point)
    c = choose_sum_requant(
        (a.scale / y.scale, sign * b.scale / y.scale),
        bounds,
        zeros,
        y.zero_point,
        factor_max=factor_max((a.element_type, b.element_type), y.element_type),
        mult_max=INT32_MAX if int16 else MULT_MAX,
    )
    scalars = {"a_mult": c.mult[0], "b_mult": c.mult[1], "offset": c.offset, "shift": c.shift}
    flags = {name: int(t == INT16) for name, t in types.items()} if int16 else {}
    return QuantizedParams({**scalars, **flags, "acc_bound": c.largest(bounds)})


def add_quantize(inputs: QuantizeInputs) -> QuantizedParams:
    return _quantize_sum(inputs, 1)


def sub_quantize(inputs: QuantizeInputs) -> QuantizedParams:
    return _quantize_sum(inputs, -1)


def sum_integer(step: QuantizedNode, a: Array, b: Array) -> Array:
    """a, b int8, broadcast -> int8; of one shape, any of the three may be int16."""
    c = SumRequant((step["a_mult"], step["b_mult"]), step["offset"], step["shift"])
    return c.apply(np.broadcast_arrays(a, b), step.low, step.high, step.element_type)


def sum_in_tiles(step: QuantizedNode, engine: Engine) -> TiledKernel:
    if "y_wide" in step.integers.scalars:
        return flat.wide_sum(step, engine)
    return flat.pair(step, engine, "me_add_s8", ("a_mult", "b_mult", "offset", "shift"))


ADD = register(
    OpDef(
        name="add",
        doc="sum of two tensors, broadcast; residual additions",
        shape=broadcast,
        nest=elementwise,
        real=add_real,
        integer=sum_integer,
        quantize=add_quantize,
        acc_bound=stored_bound,
        kernels=on_nine_cores(sum_in_tiles, flat.is_large_sum),
        epilogue=True,
        permute_rule=same_attrs,
        accepts_int16=limited,
        emits_int16=not_activated,
        broadcast_inputs={0: None, 1: None},
        streaming_rule=broadcast_streaming_rule,
    )
)

SUB = register(
    OpDef(
        name="sub",
        doc="difference of two tensors, broadcast",
        shape=broadcast,
        nest=elementwise,
        real=sub_real,
        integer=sum_integer,
        quantize=sub_quantize,
        acc_bound=stored_bound,
        kernels=on_nine_cores(sum_in_tiles, flat.is_large_sum),
        epilogue=True,
        permute_rule=same_attrs,
        broadcast_inputs={0: None, 1: None},
        streaming_rule=broadcast_streaming_rule,
    )
)


def mul_quantize(inputs: QuantizeInputs) -> QuantizedParams:
    """acc = (a - a_zero)(b - b_zero), at most 2**16, requantised."""
    a, b = inputs.params(0), inputs.params(1)
    zeros = {"a_zero": a.zero_point, "b_zero": b.zero_point}
    return with_requant(inputs, a.scale * b.scale / inputs.target.scale, 255 * 255, zeros)


def mul_integer(step: QuantizedNode, a: Array, b: Array) -> Array:
    """a, b int8, broadcast -> int8."""
    acc = (a.astype(np.int64) - step["a_zero"]) * (b.astype(np.int64) - step["b_zero"])
    return step.requantize(acc)


def product_in_tiles(step: QuantizedNode, engine: Engine) -> TiledKernel:
    return flat.pair(step, engine, "me_mul_s8", ("a_zero", "b_zero", "mult", "offset", "shift"))


MUL = register(
    OpDef(
        name="mul",
        doc="product of two tensors, broadcast",
        shape=broadcast,
        nest=elementwise,
        real=mul_real,
        integer=mul_integer,
        quantize=mul_quantize,
        acc_bound=stored_bound,
        kernels=on_cluster(product_in_tiles),
        epilogue=True,
        permute_rule=same_attrs,
        broadcast_inputs={0: None, 1: None},
        streaming_rule=broadcast_streaming_rule,
    )
)


def _along(attrs: Attrs, values: Array, rank: int) -> Array:
    """values [C] shaped so that they broadcast along attrs["axis"] of a tensor of this rank."""
    return values.reshape([-1 if d == attrs["axis"] % rank else 1 for d in range(rank)])


def affine_real(attrs: Attrs, x: Array, scale: Array, offset: Array) -> Array:
    return np.asarray(x * _along(attrs, scale, x.ndim) + _along(attrs, offset, x.ndim))


def affine_quantize(inputs: QuantizeInputs) -> QuantizedParams:
    """y = (x * mult[c] + offset[c]) >> shift[c] with signed multipliers."""
    scale, offset = (inputs.constant(i).astype(np.float64) for i in (1, 2))
    return _per_channel(inputs, scale, offset)


def _per_channel(
    inputs: QuantizeInputs, scales: Array, offsets: Array, **scalars: int
) -> QuantizedParams:
    """A SumRequant for every pair; offsets keep their fraction and may lie outside the output."""
    x, y = inputs.params(0), inputs.target
    parts = [
        choose_sum_requant(
            (a * x.scale / y.scale,), (128,), (x.zero_point,), y.zero_point + b / y.scale
        )
        for a, b in zip(scales.tolist(), offsets.tolist(), strict=True)
    ]
    arrays = {
        "mult": np.array([c.mult[0] for c in parts], np.int32),
        "offset": np.array([c.offset for c in parts], np.int32),
        "shift": np.array([c.shift for c in parts], np.int32),
    }
    bound = max(c.largest([128]) for c in parts)
    return QuantizedParams({**scalars, "acc_bound": bound}, arrays)


def affine_integer(step: QuantizedNode, x: Array) -> Array:
    """x int8 [*outer, C, *inner] -> int8."""
    mult, offset, shift = (_along(step.attrs, step[n], x.ndim) for n in ("mult", "offset", "shift"))
    acc = x.astype(np.int64) * mult + offset
    return np.asarray(np.clip(acc >> shift, step.low, step.high), np.int8)


def affine_in_tiles(step: QuantizedNode, engine: Engine) -> TiledKernel:
    return flat.per_channel(step, engine, x_zero=128)


def prelu_in_tiles(step: QuantizedNode, engine: Engine) -> TiledKernel:
    return flat.per_channel(step, engine, step["x_zero"])


AFFINE = register(
    OpDef(
        name="affine",
        doc="one factor and one offset per channel: batch norm that could not be folded",
        shape=same_shape,
        nest=elementwise,
        real=affine_real,
        integer=affine_integer,
        quantize=affine_quantize,
        acc_bound=stored_bound,
        kernels=on_cluster(affine_in_tiles),
        weights=(1, 2),
        epilogue=True,
        permute_rule=axis_permuted,
        streaming_rule=beside_axis,
    )
)


def prelu_real(attrs: Attrs, x: Array, slope: Array) -> Array:
    return np.where(x >= 0, x, x * _along(attrs, slope, x.ndim))


def prelu_quantize(inputs: QuantizeInputs) -> QuantizedParams:
    """Negative inputs have a multiplier per channel, the others share the last entry."""
    factors = np.append(inputs.constant(1).astype(np.float64), 1.0)
    return _per_channel(inputs, factors, np.zeros_like(factors), x_zero=inputs.params(0).zero_point)


def prelu_integer(step: QuantizedNode, x: Array) -> Array:
    """x int8 [*outer, C, *inner] -> int8."""
    negative = x < step["x_zero"]
    parts = []
    for name in ("mult", "offset", "shift"):
        values = step[name]
        parts.append(np.where(negative, _along(step.attrs, values[:-1], x.ndim), values[-1]))
    mult, offset, shift = parts
    acc = (x.astype(np.int64) * mult + offset) >> shift
    return np.asarray(np.clip(acc, step.low, step.high), np.int8)


PRELU = register(
    OpDef(
        name="prelu",
        doc="leaky ReLU with one slope per channel (a single slope is a table)",
        shape=same_shape,
        nest=elementwise,
        real=prelu_real,
        integer=prelu_integer,
        quantize=prelu_quantize,
        acc_bound=stored_bound,
        kernels=on_cluster(prelu_in_tiles),
        weights=(1,),
        epilogue=True,
        permute_rule=axis_permuted,
        streaming_rule=beside_axis,
    )
)


def table_real(attrs: Attrs, x: Array) -> Array:
    return evaluate(attrs["chain"], x).astype(x.dtype)


def make_table(chain: Chain, x: QuantParams, y: QuantParams) -> Array:
    """int8 [256]: the chain at every int8 input; NaN is the zero point, infinities saturate."""
    real = (np.arange(-128, 128) - x.zero_point) * x.scale
    value = evaluate(chain, real)
    return quantize(np.where(np.isnan(value), 0.0, np.clip(value, -1e290, 1e290)), y)


def table_quantize(inputs: QuantizeInputs) -> QuantizedParams:
    return QuantizedParams(
        {}, {"lut": make_table(inputs.attrs["chain"], inputs.params(0), inputs.target)}
    )


def table_integer(step: QuantizedNode, x: Array) -> Array:
    """x int8 -> int8 through 256 entries."""
    return lookup(x, step["lut"])


TABLE = register(
    OpDef(
        name="table",
        doc="any function of one number, 256 entries: activations, abs, square, exp, log, ...",
        shape=same_shape,
        nest=elementwise,
        real=table_real,
        integer=table_integer,
        quantize=table_quantize,
        kernels=on_cluster(flat.lookup),
        permute_rule=same_attrs,
        streaming_rule=broadcast_streaming_rule,
    )
)
