# SPDX-License-Identifier: Apache-2.0
"""Matrix products over the last axis: linear (with weights) and matmul (of two activations)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np

from myoedge.graph.ir import Attrs, Shape
from myoedge.nest.formulas import broadcast_axes, total
from myoedge.nest.ir import Axis, Nest
from myoedge.numerics.arrays import Array
from myoedge.numerics.element_type import INT8, INT16
from myoedge.operators.base import QuantizedNode, QuantizeInputs, add_operator
from myoedge.operators.cases import Draw, DrawnUse, weight_slack
from myoedge.operators.chains import in_tiles
from myoedge.operators.common_rules import row_products, stream_except_last_axis
from myoedge.operators.conv.geometry import Conv2dGeometry
from myoedge.operators.conv.ne16 import sum_kernels
from myoedge.operators.conv.ne16_add import WITH_SUM_ON_NE16
from myoedge.operators.conv.ne16_rows import int16_rows_on_ne16, rows_on_ne16
from myoedge.operators.conv.wide import wide_in_tiles
from myoedge.operators.described import (
    constant,
    nest_constant,
    operand,
    requantised_channel,
    result,
)
from myoedge.operators.format import NOT_ACTIVATED, SIXTEEN, STORED_BITS, Format
from myoedge.operators.graph_builder import (
    GraphBuilder,
    fusible_view,
    optional_bias,
    reshape,
    transpose,
)
from myoedge.operators.import_rows import Arguments, ImportRow
from myoedge.operators.kernel import CLUSTER, Kernel, TiledKernel, on_cluster
from myoedge.operators.kernel_formats import low_scratch_fallback, on_nine_cores
from myoedge.operators.library.arithmetic import combined, times
from myoedge.operators.library.ne16_rules import is_in_words, on_ne16
from myoedge.operators.library.packing import (
    INT8_PRODUCTS,
    INT16_PRODUCTS,
    LEARNT,
    WeightedParams,
    quantize,
)
from myoedge.operators.library.rows import (
    is_int8,
    is_large_product,
    is_small_product,
    row_sizes,
    rows_in_place,
    rows_in_tiles,
    wide_rows,
)
from myoedge.operators.library.split_rows import split_rows
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
    if step.weight_type == INT16 and step.weight_bits <= INT8.bits:
        return split_rows(step, engine)
    if step.weight_type == INT16:
        return wide_in_tiles(step, engine, Conv2dGeometry.of_pixels(*row_sizes(step)))
    return wide_rows(step, engine)


def kernels_of_16_bits(sums: Format, products: Format) -> tuple[Kernel, ...]:
    """Return the kernels of rows with int16 results.

    sums       formats with int8 products, on the cores and on NE16
    products   formats with int16 products, on the cores
    """
    return *on_cluster(rows_of_16_bits, sums, products), *int16_rows_on_ne16(sums)


LINEAR = add_operator(
    name="linear",
    doc="y = x W^T + b over the last axis",
    shape=linear_shape,
    real=linear_real,
    integer=Described(linear_nest),
    constants=Constants(quantize_beside, kinds=(WeightedParams,), learnt=LEARNT),
    kernels=(
        *on_nine_cores(
            # tiled kernel of a linear layer; tiles divide rows and blocks of output channels k
            lambda step, engine: (
                rows_in_tiles(step, engine) if is_int8(step) else rows_of_16_bits(step, engine)
            ),
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


def _write_gate_sums(w: Writer, step: QuantizedNode, x: str) -> str:
    """Write the sums that an input adds to gates, from weights and a bias."""
    weight, bias = weights(w, step, [1, 0])
    y = w.node("MatMul", x, weight)
    return w.node("Add", y, bias) if len(step.node.inputs) > 2 else y


def _write_linear(w: Writer, step: QuantizedNode, x: str) -> str:
    weight, bias = weights(w, step, [1, 0])
    return w.node("Add", w.node("MatMul", x, weight), bias)


def _write_matmul(w: Writer, step: QuantizedNode, a: str, b: str) -> str:
    if step.attrs.get("b_turned", False):
        rank = len(step.shapes[1])
        b = transposed(w, b, *range(rank - 2), rank - 1, rank - 2)
    return w.node("MatMul", a, b)


WRITE: Mapping[str, Write] = {
    "gates": _write_gate_sums,
    "linear": _write_linear,
    "sums": _write_gate_sums,
    "matmul": _write_matmul,
}


def draw_linear(d: Draw) -> DrawnUse:
    shape = (*d.shape(0, 3, 4), d.pick([1, 2, 3, 5, 8, 17, 150]))
    weights = d.weights((d.integer(1, 9), shape[-1]))
    common = d.common(1, act=True) | {"slack": weight_slack, "per_tensor": d.flag()}
    return DrawnUse("linear", {}, (shape,), "F.linear(x0, *ws)", weights=weights, **common)


def draw_matmul(d: Draw) -> DrawnUse:
    """Return a random test case of a batched matrix product, with the second operand transposed or
    not."""
    batch_a, batch_b = d.broadcast(0, 3)
    m, k, c = d.integer(1, 5), d.integer(1, 5), d.pick([1, 2, 3, 5, 9, 100])
    common = d.common(2, act=True) | {"int16": d.pick([(), (), (0,), (1,), (0, 1)])}
    if d.flag():
        shapes, attrs = ((*batch_a, m, c), (*batch_b, k, c)), {"b_turned": True}
        return DrawnUse("matmul", attrs, shapes, "torch.matmul(x0, x1.mT)", **common)
    shapes = ((*batch_a, m, c), (*batch_b, c, k))
    return DrawnUse("matmul", {}, shapes, "torch.matmul(x0, x1)", **common)


CASES = {"linear": draw_linear, "matmul": draw_matmul}


def import_linear(d: GraphBuilder, a: Arguments, out: Shape) -> str:
    """Import a linear layer; with computed weights or a computed bias, as a matmul and a sum."""
    x, weight, bias = a["input"], a["weight"], a["bias"]
    if weight in d.constants and (bias is None or bias in d.constants):
        return _multiply_by_weights(d, x, weight, optional_bias(d, bias), out)
    columns = _transpose_matrix(d, weight) if len(d.shape(weight)) == 2 else weight
    y = import_matmul(d, {"self": x, "other": columns}, out)
    return y if bias is None else combined(d, "add", y, bias, 1.0, out)


def _multiply_by_weights(
    d: GraphBuilder, x: str, weight: str, bias: Sequence[str], out: Shape
) -> str:
    """Multiply x [..., C] or [C] by weight [K, C]."""
    rows = reshape(d, x, (1, *d.shape(x))) if len(d.shape(x)) == 1 else x
    return fusible_view(d, d.add("linear", rows, weight, *bias), out)


def import_matmul(d: GraphBuilder, a: Arguments, out: Shape) -> str:
    left, right = a["self"], next(a[n] for n in ("other", "mat2", "vec", "tensor") if n in a)
    if right in d.constants and d.array(right).ndim <= 2:
        w = d.array(right)
        return _multiply_by_weights(d, left, d.constant(w.T if w.ndim == 2 else w[None]), (), out)
    x, y = d.shape(left), d.shape(right)
    x, y = (x if len(x) > 1 else (1, *x)), (y if len(y) > 1 else (*y, 1))
    return reshape(d, d.add("matmul", reshape(d, left, x), reshape(d, right, y)), out)


def addmm(d: GraphBuilder, a: Arguments, out: Shape) -> str:
    """Import beta * C + alpha * (A @ B), for matrices or batches of matrices.

    If B is constant and C has a constant per column, it becomes a linear layer.
    """
    left, right = (_matrix_operand(d, a, i) for i in (1, 2))
    added, alpha, beta = a["self"], float(a["alpha"]), float(a["beta"])
    if right in d.constants:
        right, alpha = times(d, right, alpha), 1.0
        value = d.find_array(added or "")
        if len(d.shape(right)) == 2 and value is not None and {*value.shape[:-1]} <= {1}:
            bias = np.broadcast_to(value.reshape(-1), out[-1:])
            weight = d.constant(d.array(right).T)
            return d.add("linear", left, weight, times(d, d.constant(bias), beta))
    shape = (*d.shape(left)[:-1], d.shape(right)[-1])
    y = times(d, import_matmul(d, {"self": left, "other": right}, shape), alpha)
    return y if added is None else combined(d, "add", y, times(d, added, beta), 1.0, out)


def _matrix_operand(d: GraphBuilder, a: Arguments, i: int) -> str:
    """Return the first or second matrix of a call, transposed if the call says so."""
    x = str(next(a[name] for name in (f"mat{i}", f"batch{i}") if name in a))
    return _transpose_matrix(d, x) if a.get(f"trans{i}") else x


def _transpose_matrix(d: GraphBuilder, x: str) -> str:
    return d.constant(d.array(x).T) if x in d.constants else transpose(d, x, (1, 0))


# These calls have two operators: with a constant matrix they become linear layers.
ROWS = (
    ImportRow("linear matmul", import_linear, "linear"),
    ImportRow("linear matmul", import_matmul, "matmul mm bmm mv dot", "MatMul(self, other)"),
    ImportRow(
        "linear matmul",
        addmm,
        "addmm baddbmm",
        "Gemm(mat1, mat2: finite, self: finite, *, alpha=1.0, beta=1.0, trans1: transA = False, "
        "trans2: transB = False)",
    ),
)
