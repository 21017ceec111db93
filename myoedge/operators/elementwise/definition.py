# SPDX-License-Identifier: Apache-2.0
"""Pointwise operators: sum, product and magnitude of two tensors, one factor per channel, PReLU."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from myoedge.graph.ir import Attrs
from myoedge.nest.formulas import where
from myoedge.nest.ir import Axis, Expr, Nest
from myoedge.numerics.arrays import Array
from myoedge.numerics.element_type import INT8
from myoedge.numerics.requant import INT32_MAX, MULT_MAX, choose_sum_requant, factor_max
from myoedge.operators.attributes import NodeSite, Values
from myoedge.operators.base import (
    QuantizedNode,
    QuantizedParams,
    QuantizeInputs,
    add_operator,
    add_variant,
)
from myoedge.operators.chains import generated, in_tiles
from myoedge.operators.common_rules import (
    ProductParams,
    axis_permuted,
    pairwise,
    product_requant,
    same_shape,
    stream_except_axis,
)
from myoedge.operators.described import constant, pairwise_nest, requantised, saturated, unary_nest
from myoedge.operators.format import EITHER, INT8_ALONE, LIMITED, Format, int16_where
from myoedge.operators.kernel import CLUSTER, Kernel, TiledKernel
from myoedge.operators.kernel_formats import by_width, on_nine_cores
from myoedge.operators.library import pointwise as flat
from myoedge.operators.traits import SHIFT, SYMMETRIC_32, Constants, Described, Learnt, Weights
from myoedge.targets.chip import Engine

REQUANT = ("mult", "offset", "shift")


@dataclass(frozen=True, slots=True, kw_only=True)
class SumParams(QuantizedParams):
    """Integer constants of y = (a * a_mult + b * b_mult + offset) >> shift, an addition or
    subtraction."""

    a_mult: int
    b_mult: int
    offset: int
    shift: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelParams(QuantizedParams):
    """Integer constants of y = (x * mult + offset) >> shift, one int32 of each per channel."""

    offset: Array
    shift: Array
    mult: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class PreluParams(ChannelParams):
    """Integer constants of a PReLU: ChannelParams for negative inputs, with a last entry for
    positive ones.

    x_zero   smallest x that counts as positive
    """

    x_zero: int


def _quantize_sum(inputs: QuantizeInputs, sign: int) -> SumParams:
    """Quantise y = (a * a_mult + b * b_mult + offset) >> shift; both terms share one rounding."""
    a, b, y = inputs.params(0), inputs.params(1), inputs.target
    bounds, zeros = (-a.low, -b.low), (a.zero_point, b.zero_point)
    int16 = inputs.has_int16(2)
    c = choose_sum_requant(
        (a.scale / y.scale, sign * b.scale / y.scale),
        bounds,
        zeros,
        y.zero_point,
        factor_max=factor_max((a.element_type, b.element_type), y.element_type),
        mult_max=INT32_MAX if int16 else MULT_MAX,
    )
    return SumParams(a_mult=c.mult[0], b_mult=c.mult[1], offset=c.offset, shift=c.shift)


def sum_meaning(step: QuantizedNode[SumParams]) -> Nest:
    c = step.integers
    return pairwise_nest(
        step, lambda a, b: saturated(step, (a * c.a_mult + b * c.b_mult + c.offset) >> c.shift)
    )


def sum_in_tiles(step: QuantizedNode, engine: Engine) -> TiledKernel:
    if step.has_int16:
        return flat.wide_sum(step, engine)
    return flat.pair(step, engine, "me_add_s8", ("a_mult", "b_mult", "offset", "shift"))


SUMS = (INT8_ALONE, Format((EITHER,), EITHER, where=LIMITED))

ADD = pairwise(
    name="add",
    doc="sum of two tensors, broadcast; residual additions",
    real=lambda attrs, a, b: np.asarray(a + b),
    integer=Described(sum_meaning),
    constants=Constants(partial(_quantize_sum, sign=1), kinds=(SumParams,)),
    kernels=on_nine_cores(sum_in_tiles, flat.is_large_sum, *SUMS),
)

SUB = pairwise(
    name="sub",
    doc="difference of two tensors, broadcast",
    real=lambda attrs, a, b: np.asarray(a - b),
    integer=Described(sum_meaning),
    constants=Constants(partial(_quantize_sum, sign=-1), kinds=(SumParams,)),
    kernels=on_nine_cores(sum_in_tiles, flat.is_large_sum, *SUMS),
)


def mul_quantize(inputs: QuantizeInputs) -> ProductParams:
    """Return the constants of requantise((a - a_zero) * (b - b_zero))."""
    params = inputs.params(0), inputs.params(1)
    reach_a, reach_b = (255 if q.element_type == INT8 else q.reach for q in params)
    return product_requant(inputs, reach_a * reach_b)


def mul_in_tiles(step: QuantizedNode, engine: Engine) -> TiledKernel:
    return flat.pair(step, engine, "me_mul_s8", ("a_zero", "b_zero", *REQUANT))


def mul_meaning(step: QuantizedNode[ProductParams]) -> Nest:
    a_zero, b_zero = step.integers.a_zero, step.integers.b_zero
    return pairwise_nest(step, lambda a, b: requantised(step, (a - a_zero) * (b - b_zero)))


MUL = pairwise(
    name="mul",
    doc="product of two tensors, broadcast",
    real=lambda attrs, a, b: np.asarray(a * b),
    integer=Described(mul_meaning),
    constants=Constants(mul_quantize, kinds=(ProductParams,)),
    kernels=by_width(mul_in_tiles, in_tiles, *int16_where(LIMITED)),
)


def _broadcast_channels(attrs: Attrs, values: Array, rank: int) -> Array:
    """Reshape values [C] to broadcast along attrs["axis"] of a tensor of this rank."""
    return values.reshape([-1 if d == attrs["axis"] % rank else 1 for d in range(rank)])


def affine_quantize(inputs: QuantizeInputs) -> ChannelParams:
    """Return the constants of y = (x * mult[c] + offset[c]) >> shift[c], with signed
    multipliers."""
    scale, offset = (inputs.constant(i).astype(np.float64) for i in (1, 2))
    return ChannelParams(**_requantise_per_channel(inputs, scale, offset))


def _requantise_per_channel(
    inputs: QuantizeInputs, scales: Array, offsets: Array
) -> dict[str, Any]:
    """Return the requantisation constants of y = x * scale + offset per (scale, offset); offsets
    keep their fraction and may exceed the output's range."""
    x, y = inputs.params(0), inputs.target
    most = factor_max((x.element_type,), y.element_type)
    parts = [
        choose_sum_requant(
            (a * x.scale / y.scale,),
            (-x.low,),
            (x.zero_point,),
            y.zero_point + b / y.scale,
            factor_max=most,
            mult_max=INT32_MAX if inputs.has_int16() else MULT_MAX,
        )
        for a, b in zip(scales.tolist(), offsets.tolist(), strict=True)
    ]
    return {
        "mult": np.array([c.mult[0] for c in parts], np.int32),
        "offset": np.array([c.offset for c in parts], np.int32),
        "shift": np.array([c.shift for c in parts], np.int32),
    }


LEARNT = Learnt({"mult": SYMMETRIC_32, "offset": SYMMETRIC_32, "shift": SHIFT})


def _matches_channels(value: Any, site: NodeSite) -> bool:
    """Return whether an axis has as many elements as there are factors, and offsets."""
    return site.is_axis(value) and all(x == (site.extent,) for x in site.shapes[1:])


CHANNELS = Values("an axis with one factor for each element", _matches_channels)


def affine_meaning(step: QuantizedNode[ChannelParams]) -> Nest:
    def formula(x: Expr, axes: tuple[Axis, ...]) -> Expr:
        mult, offset, shift = (constant(step, name, [axes[step.attrs["axis"]]]) for name in REQUANT)
        return saturated(step, (x * mult + offset) >> shift)

    return unary_nest(step, formula)


AFFINE = add_operator(
    name="affine",
    attributes={"axis": CHANNELS},
    doc="one factor and one offset per channel: batch norm that could not be folded",
    shape=same_shape,
    real=lambda attrs, x, scale, offset: np.asarray(
        x * _broadcast_channels(attrs, scale, x.ndim) + _broadcast_channels(attrs, offset, x.ndim)
    ),
    integer=Described(affine_meaning),
    constants=Constants(affine_quantize, kinds=(ChannelParams,), learnt=LEARNT),
    kernels=generated(INT8_ALONE, *int16_where(LIMITED)),
    weights=Weights((1, 2)),
    epilogue=True,
    permute_rule=axis_permuted,
    streaming_rule=stream_except_axis,
)


def prelu_quantize(inputs: QuantizeInputs) -> PreluParams:
    """Return the constants of a PReLU: a multiplier per channel for negative inputs, then one for
    positive inputs."""
    factors = np.append(inputs.constant(1).astype(np.float64), 1.0)
    numbers = _requantise_per_channel(inputs, factors, np.zeros_like(factors))
    return PreluParams(**numbers, x_zero=inputs.params(0).zero_point)


def prelu_meaning(step: QuantizedNode[PreluParams]) -> Nest:
    """Describe a PReLU: x >= x_zero uses the last mult, offset and shift."""

    def formula(x: Expr, axes: tuple[Axis, ...]) -> Expr:
        channel, numbers = axes[step.attrs["axis"]], step.integers
        below, last = x < numbers.x_zero, len(numbers.mult) - 1
        mult, offset, shift = (
            where(below, constant(step, name, [channel]), constant(step, name, [last]))
            for name in REQUANT
        )
        return saturated(step, (x * mult + offset) >> shift)

    return unary_nest(step, formula)


PRELU = add_variant(
    AFFINE,
    name="prelu",
    attributes={"axis": CHANNELS},
    doc="leaky ReLU with one slope per channel (a single slope is a table)",
    real=lambda attrs, x, slope: np.where(x >= 0, x, x * _broadcast_channels(attrs, slope, x.ndim)),
    integer=Described(prelu_meaning),
    constants=Constants(prelu_quantize, kinds=(PreluParams,), learnt=LEARNT),
    kernels=(
        *generated(*int16_where(LIMITED)),
        Kernel(CLUSTER, flat.in_tables, flat.has_long_channels),
    ),
    weights=Weights((1,)),
)
