# SPDX-License-Identifier: Apache-2.0
"""Matrix products over the last axis: linear (with weights) and matmul (of two activations)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np

from myoedge.graph.ir import Attrs, Shape
from myoedge.nest.formulas import broadcast_axes, total
from myoedge.nest.ir import Axis, Nest
from myoedge.numerics.arrays import Array
from myoedge.numerics.element_type import INT16
from myoedge.operators.base import OpDef, QuantizedNode, QuantizeInputs, register
from myoedge.operators.chains import in_tiles
from myoedge.operators.common_rules import row_products, stream_except_last_axis
from myoedge.operators.conv.geometry import Conv2dGeometry
from myoedge.operators.conv.ne16_sums import sum_kernels
from myoedge.operators.conv.wide import wide_in_tiles
from myoedge.operators.core_kernels import low_scratch_fallback, on_nine_cores
from myoedge.operators.described import (
    constant,
    nest_constant,
    operand,
    requantised_channel,
    result,
)
from myoedge.operators.format import NOT_ACTIVATED, SIXTEEN, STORED_BITS, Format
from myoedge.operators.kernel import CLUSTER, Kernel, TiledKernel
from myoedge.operators.products.ne16 import rows_on_ne16
from myoedge.operators.products.ne16_add import WITH_SUM_ON_NE16
from myoedge.operators.products.ne16_rules import int16_rows_on_ne16, is_in_words, on_ne16
from myoedge.operators.products.packing import (
    INT8_PRODUCTS,
    INT16_PRODUCTS,
    LEARNT,
    WeightedParams,
    quantize,
)
from myoedge.operators.products.rows import (
    is_int8,
    is_large_product,
    is_small_product,
    row_sizes,
    rows_in_place,
    rows_in_tiles,
    wide_rows,
)
from myoedge.operators.qdq import Write, Writer, transposed, weights
from myoedge.operators.traits import Constants, Described, Weights
from myoedge.targets.chip import Engine


def linear_shape(attrs: Attrs, x: Shape, w: Shape, *_: Shape) -> Shape:
    return (*x[:-1], w[0])


def linear_real(attrs: Attrs, x: Array, w: Array, *bias: Array) -> Array:
    y = np.matmul(x, w.T)
    return np.asarray(y + bias[0]) if bias else y


def linear_nest(step: QuantizedNode) -> Nest:
    """Describe y[k] = requantised(bias[k] + sum over c of x[c] * weight[k, c]) for every row."""
    axes, x = broadcast_axes(step.out), operand(step, 0)
    *rows, k = axes
    c = Axis("c", step.shapes[0][-1])
    weight = nest_constant("weight", step.integers.weight)
    acc = total(c, x[(*rows, c)] * weight[k, c]) + constant(step, "bias", (k,))
    value = requantised_channel(step, acc, k)
    return Nest(axes, (x,), result(step), tuple(axis.at for axis in axes), value)


def quantize_beside(inputs: QuantizeInputs) -> WeightedParams:
    """Return the integer constants of a linear layer; weights are int16 if the input is, or if the
    result is int16 and its activation is a clamp."""
    weights = inputs.weight_format.beside(inputs.params(0).element_type)
    if "act" in inputs.attrs:
        weights = weights.beside(inputs.target.element_type)
    return quantize(inputs, weights)


# A clamp of int16 results requires int16 products.
INT16_RESULTS = Format(writes=SIXTEEN, weights=STORED_BITS, where=NOT_ACTIVATED)
FORMATS = (INT8_PRODUCTS, INT16_RESULTS, *INT16_PRODUCTS)


def rows_of_16_bits(step: QuantizedNode, engine: Engine) -> TiledKernel:
    """Return the tiled kernel of a linear layer with int16 products, or with int8 products and
    int16 results; tiles divide rows and blocks of output channels."""
    if step.weight_type == INT16:
        return wide_in_tiles(step, engine, Conv2dGeometry.of_pixels(*row_sizes(step)))
    return wide_rows(step, engine)


def linear_in_tiles(step: QuantizedNode, engine: Engine) -> TiledKernel:
    """Return the tiled kernel of a linear layer; tiles divide rows and blocks of output channels
    k."""
    return rows_in_tiles(step, engine) if is_int8(step) else rows_of_16_bits(step, engine)


LINEAR = register(
    OpDef(
        name="linear",
        doc="y = x W^T + b over the last axis",
        shape=linear_shape,
        real=linear_real,
        integer=Described(linear_nest),
        constants=Constants(quantize_beside, kinds=(WeightedParams,), learnt=LEARNT),
        kernels=(
            *on_nine_cores(
                linear_in_tiles,
                lambda step: is_int8(step) and is_large_product(*row_sizes(step)),
                *FORMATS,
            ),
            Kernel(CLUSTER, in_tiles, is_small_product, FORMATS),
            low_scratch_fallback(rows_in_place, INT8_PRODUCTS),
            on_ne16(rows_on_ne16),
            on_ne16(partial(rows_on_ne16, in_place=True), is_in_words),
            *sum_kernels(lambda step, groups: Conv2dGeometry.of_pixels(*row_sizes(step))),
            *int16_rows_on_ne16(INT16_RESULTS),
        ),
        kernels_before={"add": WITH_SUM_ON_NE16, "sub": WITH_SUM_ON_NE16},
        weights=Weights((1, 2), multiplicands=lambda attrs, x, *_: x.reshape(1, -1, x.shape[-1])),
        epilogue=True,
        macs=row_products,
        streaming_rule=stream_except_last_axis,
    )
)


def _added(w: Writer, step: QuantizedNode, x: str) -> str:
    """Write the sums that an input adds to gates, from weights and a bias."""
    weight, bias = weights(w, step, [1, 0])
    y = w.node("MatMul", x, weight)
    return w.node("Add", y, bias) if len(step.node.inputs) > 2 else y


def _linear(w: Writer, step: QuantizedNode, x: str) -> str:
    weight, bias = weights(w, step, [1, 0])
    return w.node("Add", w.node("MatMul", x, weight), bias)


def _matmul(w: Writer, step: QuantizedNode, a: str, b: str) -> str:
    if step.attrs.get("b_turned", False):
        rank = len(step.shapes[1])
        b = transposed(w, b, *range(rank - 2), rank - 1, rank - 2)
    return w.node("MatMul", a, b)


WRITE: Mapping[str, Write] = {
    "gates": _added,
    "linear": _linear,
    "sums": _added,
    "matmul": _matmul,
}
