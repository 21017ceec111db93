# SPDX-License-Identifier: Apache-2.0
"""Import rows of linear layers and matrix products."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from myoedge.graph.ir import Shape
from myoedge.numerics.arrays import Array
from myoedge.operators.elementwise.arithmetic_rows import binary, combined
from myoedge.operators.graph_builder import (
    GraphBuilder,
    Unsupported,
    reshape,
    transpose,
    weights,
)
from myoedge.operators.import_rows import (
    Arguments,
    Calls,
    OnnxCall,
    by_inputs,
    calls,
)


def linear(d: GraphBuilder, a: Arguments, out: Shape) -> str:
    weights(d, a["weight"], "a linear layer's weight")
    return _by_weights(d, a["input"], a["weight"], _bias(d, a), out)


def _by_weights(d: GraphBuilder, x: str, weight: str, bias: Sequence[str], out: Shape) -> str:
    """x [..., C] (or [C] alone) times weight [K, C]."""
    rows = reshape(d, x, (1, *d.shape(x))) if len(d.shape(x)) == 1 else x
    return reshape(d, d.add("linear", rows, weight, *bias), out)


def matmul(d: GraphBuilder, a: Arguments, out: Shape) -> str:
    left, right = a["self"], next(a[n] for n in ("other", "mat2", "vec", "tensor") if n in a)
    if right in d.constants and d.constants[right].ndim <= 2:
        w = d.constants[right]
        return _by_weights(d, left, d.constant(w.T if w.ndim == 2 else w[None]), (), out)
    x, y = d.shape(left), d.shape(right)
    x, y = (x if len(x) > 1 else (1, *x)), (y if len(y) > 1 else (*y, 1))
    return reshape(d, d.add("matmul", reshape(d, left, x), reshape(d, right, y)), out)


def addmm(d: GraphBuilder, a: Arguments, out: Shape) -> str:
    """A product of matrices, or of as many as a batch has, and what is added to it."""
    if a["beta"] != 1 or a["alpha"] != 1:
        raise Unsupported("a product with alpha or beta")
    bias = a["self"]
    left, right = (next(a[n] for n in (f"mat{i}", f"batch{i}") if n in a) for i in (1, 2))
    if {right, bias} <= d.constants.keys() and _is_linear(d, right, bias):
        return d.add("linear", left, d.constant(d.constants[right].T), bias)
    shape = (*d.shape(left)[:-1], d.shape(right)[-1])
    product = matmul(d, {"self": left, "other": right}, shape)
    return combined(d, "add", product, bias, 1.0, out)


def _is_linear(d: GraphBuilder, right: str, bias: str) -> bool:
    return len(d.shape(right)) == 2 and len(d.shape(bias)) == 1


def _bias(d: GraphBuilder, a: Arguments) -> tuple[str, ...]:
    if a["bias"] is None:
        return ()
    weights(d, a["bias"], "a bias")
    return (a["bias"],)


def upsample_linear(d: GraphBuilder, a: Arguments, out: Shape) -> str:
    """[..., T] linearly to another length: a product with constant weights, two a result."""
    x = a["input"]
    matrix = _interpolation(d.shape(x)[-1], out[-1], bool(a["align_corners"]))
    return d.add("linear", x, d.constant(matrix))


def _interpolation(old: int, new: int, corners: bool) -> Array:
    """float32 [new, old]: the shares of two neighbours in every new sample, as torch has them."""
    if corners:
        at = np.arange(new) * ((old - 1) / max(new - 1, 1))
    else:
        at = np.clip((np.arange(new) + 0.5) * (old / new) - 0.5, 0.0, old - 1.0)
    left = np.minimum(at.astype(int), old - 1)
    right = np.minimum(left + 1, old - 1)
    matrix = np.zeros((new, old), np.float32)
    np.add.at(matrix, (np.arange(new), left), 1.0 - (at - left))
    np.add.at(matrix, (np.arange(new), right), at - left)
    return matrix


def gemm(c: OnnxCall) -> str:
    """alpha A B + beta C; with constant B and a C along the columns it is a linear layer."""
    d, alpha, beta = c.builder, *(float(c.attrs.get(name, 1.0)) for name in ("alpha", "beta"))
    a = transpose(d, c.x(0), (1, 0)) if c.attrs.get("transA") else c.x(0)
    bias = _gemm_bias(c, beta) if c.has(2) else None
    if c.inputs[1] in c.arrays:
        w = c.weights(1, "a matrix")
        weight = d.constant(np.float32(alpha) * (w if c.attrs.get("transB") else w.T))
        y = d.add("linear", a, weight, *([bias] if bias else []))
    else:
        b = transpose(d, c.x(1), (1, 0)) if c.attrs.get("transB") else c.x(1)
        y = _scaled(c, matmul(d, {"self": a, "other": b}, c.out), alpha)
        y = y if bias is None else d.add("add", y, bias)
    if not c.has(2) or bias is not None:
        return y
    added = {"self": y, "other": _scaled(c, c.x(2), beta)}
    return str(binary("add")(d, added, c.out))


def _gemm_bias(c: OnnxCall, beta: float) -> str | None:
    """The constant C as one value a column; None where it is computed or varies along the rows."""
    if c.inputs[2] not in c.arrays:
        return None
    value = c.weights(2, "a bias")
    if value.ndim == 2 and value.shape[0] != 1:
        return None
    flat = np.broadcast_to(value.reshape(-1), (c.out[1],))
    return c.builder.constant(np.float32(beta) * flat)


def _scaled(c: OnnxCall, x: str, factor: float) -> str:
    if factor == 1.0:
        return x
    if x in c.builder.constants:
        return c.builder.constant(np.float32(factor) * c.builder.constants[x])
    return c.builder.add("table", x, chain=(("affine", factor, 0.0),))


ATEN_PRODUCTS = {
    **calls(matmul, "matmul", "mm", "bmm", "mv", "dot"),
    **calls(addmm, "addmm", "baddbmm"),
}
ONNX_PRODUCTS = {"MatMul": by_inputs(matmul, "self", "other"), "Gemm": gemm}

# Products are under two operators: with a constant matrix they are linear layers.
ATEN: Calls = {
    "linear": {
        **calls(linear, "linear"),
        **calls(upsample_linear, "upsample_linear1d.vec"),
        **ATEN_PRODUCTS,
    },
    "matmul": ATEN_PRODUCTS,
}
ONNX: Calls = {"linear": ONNX_PRODUCTS, "matmul": ONNX_PRODUCTS}
