# SPDX-License-Identifier: Apache-2.0
"""Replacement of operators on quantised integers (QLinearConv and similar) by float operators
between DequantizeLinear and QuantizeLinear.

onnxruntime's ContribOperators.md describes the operators of its own domain.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from myoedge.frontend.onnx.fold import attributes_of
from myoedge.frontend.onnx.normal_form import DEFAULT
from myoedge.frontend.onnx.quantized import MICROSOFT, STATIC
from myoedge.frontend.onnx.rows import refusing_nonsense
from myoedge.frontend.onnx.state import Importing, keep
from myoedge.numerics.arrays import Array
from myoedge.operators.fake_quantize import rounding_of
from myoedge.operators.graph_builder import Unsupported

if TYPE_CHECKING:
    from onnx import NodeProto


class _FloatReplacement:
    """Builder of the float nodes that replace an integer node; named after its result."""

    def __init__(self, node: NodeProto) -> None:
        self.node, self.made, self.numbers = node, list[Any](), list[str]()
        self.inputs = [*node.input, *[""] * 16]
        self.attrs = attributes_of(node)

    def add(self, op: str, *inputs: str, output: str = "", **attrs: Any) -> str:
        from onnx import helper

        name = output or f"{self.node.output[0]}/{len(self.made)}"
        read = [*inputs]
        while read and not read[-1]:
            read.pop()
        made = helper.make_node(op, read, [name], name=self.node.name, **attrs)
        made.metadata_props.extend(self.node.metadata_props)
        self.made.append(made)
        return name

    def real(self, at: int, axis: int = 0) -> str:
        """Add a DequantizeLinear of input `at`, with the scale and zero point that follow it;
        return its name."""
        return self.add("DequantizeLinear", *self.inputs[at : at + 3], axis=axis)

    def number(self, state: Importing, value: Array | float) -> str:
        """Add a float32 constant, a scalar or an array; return its name."""
        name = f"{self.node.output[0]}/number{len(self.numbers)}"
        self.numbers.append(name)
        keep(state, name, np.asarray(value, np.float32))
        return name

    def last(self, value: str, scale: int) -> None:
        """Add the QuantizeLinear of the node's result; inputs `scale` and `scale` + 1 are its
        parameters."""
        last = {"output": self.node.output[0]}
        self.add("QuantizeLinear", value, *self.inputs[scale : scale + 2], **last)


Write = Callable[[Importing, _FloatReplacement], None]


def _expand_conv(state: Importing, w: _FloatReplacement) -> None:
    """Expand QLinearConv(x, w, y, bias); the bias has the product of the scales of x and w."""
    bias = w.inputs[8]
    if bias:
        bias = _dequantised_bias(state, w, 1, 4, bias)
    value = w.add("Conv", w.real(0), w.real(3), bias, **w.attrs)
    w.last(value, 6)


def _dequantised_bias(
    state: Importing, w: _FloatReplacement, first: int, second: int, bias: str
) -> str:
    a, b = (state.arrays.get(w.inputs[i]) for i in (first, second))
    if a is None or b is None:
        raise Unsupported("a scale or a zero point that is computed", STATIC)
    scale = a.reshape(-1).astype(np.float32) * b.reshape(-1).astype(np.float32)
    stated = w.number(state, scale if scale.size > 1 else scale[0])
    return w.add("DequantizeLinear", bias, stated, axis=0)


def _expand_matmul(state: Importing, w: _FloatReplacement) -> None:
    """Expand QLinearMatMul(a, b, y)."""
    w.last(w.add("MatMul", w.real(0), w.real(3, axis=-1)), 6)


def _expand_gemm(state: Importing, w: _FloatReplacement) -> None:
    """Expand QGemm(A, B, C, y); the scale of C is the product of the scales of A and B."""
    if w.attrs.get("alpha", 1.0) != 1.0:
        raise Unsupported("alpha of a quantised product")
    bias = _dequantised_bias(state, w, 1, 4, w.inputs[6]) if w.inputs[6] else ""
    turned = int(w.attrs.get("transB", 0))
    value = w.add("Gemm", w.real(0), w.real(3, axis=1 - turned), bias, **w.attrs)
    if w.inputs[7]:
        w.last(value, 7)
    else:
        w.add("Identity", value, output=w.node.output[0])


def _make_binary_expansion(op: str) -> Write:
    """Return the function that expands QLinearAdd(A, B, C) and similar operators to `op`."""
    return lambda state, w: w.last(w.add(op, w.real(0), w.real(3)), 6)


def _make_unary_expansion(op: str, *kept: str) -> Write:
    """Return the function that expands QLinearSigmoid(X, Y) and similar operators to `op`; `kept`
    names the attributes to copy."""

    def written(state: Importing, w: _FloatReplacement) -> None:
        attrs = {name: w.attrs[name] for name in kept if name in w.attrs}
        shape = state.values[w.inputs[0]].shape
        rank = 0 if shape is None or not w.attrs.get("channels_last") else len(shape)
        x = w.real(0)
        if rank:  # channels are on the last axis
            x = w.add("Transpose", x, perm=[0, rank - 1, *range(1, rank - 1)])
        y = w.add(op, x, **attrs)
        if rank:
            y = w.add("Transpose", y, perm=[0, *range(2, rank), 1])
        w.last(y, 3)

    return written


def _expand_where(state: Importing, w: _FloatReplacement) -> None:
    """Expand QLinearWhere(condition, X, Y, Z)."""
    w.last(w.add("Where", w.inputs[0], w.real(1), w.real(4)), 7)


AXES_ARE_INPUTS = 18  # first opset whose ReduceMean has axes as an input


def _expand_mean(state: Importing, w: _FloatReplacement) -> None:
    """Expand QLinearReduceMean(data, reduced)."""
    kept, axes = int(w.attrs.get("keepdims", 1)), w.attrs.get("axes")
    if axes is None or state.opset < AXES_ARE_INPUTS:
        attrs = {} if axes is None else {"axes": axes}
        w.last(w.add("ReduceMean", w.real(0), keepdims=kept, **attrs), 3)
        return
    name = f"{w.node.output[0]}/axes"
    keep(state, name, np.array(axes, np.int64))
    w.last(w.add("ReduceMean", w.real(0), name, keepdims=kept), 3)


def _expand_concat(state: Importing, w: _FloatReplacement) -> None:
    """Expand QLinearConcat(scale of Y, zero point of Y, then each part with scale and zero
    point)."""
    parts = [w.real(at) for at in range(2, len(w.node.input), 3)]
    w.last(w.add("Concat", *parts, axis=w.attrs["axis"]), 0)


def _make_integer_product_expansion(op: str) -> Write:
    """Return the function that expands ConvInteger or MatMulInteger (x, w, zero points of x and w)
    to a float operator `op` with the values of the int32 sums. A constant operand takes the other
    operand's scale; otherwise a factor is added."""

    def written(state: Importing, w: _FloatReplacement) -> None:
        scales = [_integer_scale(state, name) for name in w.inputs[:2]]
        total = math.prod(scale for scale in scales if scale is not None)
        reals = []
        # zero points of the right matrix's columns; otherwise of rows or filters
        axes = (-2, -1) if op == "MatMul" else (0, 0)
        for i, scale in enumerate(scales):
            zeros = state.arrays.get(w.inputs[i + 2], np.zeros(1)).size
            step = 1.0 / total if scale is None else scale
            stated = w.number(state, step if zeros == 1 else np.full(zeros, step))
            operand = w.inputs[i], stated, w.inputs[i + 2]
            reals.append(w.add("DequantizeLinear", *operand, axis=axes[i]))
        value = w.add(op, *reals, **w.attrs)
        factor = w.number(state, 1.0 if None in scales else 1.0 / total)
        w.add("Mul", value, factor, output=w.node.output[0])

    return written


def _integer_scale(state: Importing, name: str) -> float | None:
    """Return the quantisation scale of a tensor of integers: 1 unquantised, None for a constant."""
    if name in state.arrays:
        return None
    node = rounding_of(state.builder, state.names[name])
    return 1.0 if node is None else float(node.attrs["scale"])


POOL_ATTRIBUTES = (
    *("kernel_shape", "pads", "strides"),
    *("ceil_mode", "auto_pad", "count_include_pad"),
)
WRITTEN_OUT: Mapping[str, Write] = {
    "ConvInteger": _make_integer_product_expansion("Conv"),
    "MatMulInteger": _make_integer_product_expansion("MatMul"),
    "QGemm": _expand_gemm,
    "QLinearAdd": _make_binary_expansion("Add"),
    "QLinearAveragePool": _make_unary_expansion("AveragePool", *POOL_ATTRIBUTES),
    "QLinearConcat": _expand_concat,
    "QLinearConv": _expand_conv,
    "QLinearGlobalAveragePool": _make_unary_expansion("GlobalAveragePool"),
    "QLinearLeakyRelu": _make_unary_expansion("LeakyRelu", "alpha"),
    "QLinearMatMul": _expand_matmul,
    "QLinearMul": _make_binary_expansion("Mul"),
    "QLinearReduceMean": _expand_mean,
    "QLinearSigmoid": _make_unary_expansion("Sigmoid"),
    "QLinearSoftmax": _make_unary_expansion("Softmax", "axis"),
    "QLinearWhere": _expand_where,
}


def is_of_integers(node: NodeProto) -> bool:
    """Return whether a node computes on quantised integers and is replaced by float nodes."""
    return node.domain in (DEFAULT, MICROSOFT) and node.op_type in WRITTEN_OUT


def dequantized(state: Importing, node: NodeProto) -> Iterator[NodeProto]:
    """Yield the nodes that replace an integer node: DequantizeLinear, float operators,
    QuantizeLinear."""
    writing = _FloatReplacement(node)
    # inputs are not checked here, and onnx does not check operators of other domains
    with refusing_nonsense(state, node):
        WRITTEN_OUT[node.op_type](state, writing)
    return iter(writing.made)
