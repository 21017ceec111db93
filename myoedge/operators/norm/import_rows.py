# SPDX-License-Identifier: Apache-2.0
"""Import rows of norms over the last axes, and of vectors of length one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from myoedge.graph.ir import Shape
from myoedge.numerics.arrays import Array
from myoedge.operators.graph_builder import (
    GraphBuilder,
    Unsupported,
    reshape,
    transpose,
)
from myoedge.operators.import_rows import (
    Arguments,
    AtenRow,
    Calls,
    OnnxCall,
    OnnxRow,
    calls,
    first,
)
from myoedge.operators.norm.definition import LENGTH_MAX

EPS_MOST = 1e-4  # below it max(|x|, eps) and sqrt(|x|^2 + eps^2) differ less than int8 could say


EPS_LEAST = 1e-12  # what torch has, of which float32 holds the square


def norm(op: str) -> AtenRow:
    """Layer norm and RMS norm over the last axes, which become one; what is computed of their
    factors and offsets follows as operators of its own."""

    def row(d: GraphBuilder, a: Arguments, out: Any) -> str:
        sizes, x = tuple(a["normalized_shape"]), first(a)
        length = math.prod(sizes)
        if length > LENGTH_MAX:
            raise Unsupported(f"{op} over {length} elements, at most {LENGTH_MAX}")
        lead = d.shape(x)[: len(d.shape(x)) - len(sizes)]
        eps = np.finfo(np.float32).eps if a["eps"] is None else a["eps"]
        given = {"mul": a.get("weight"), "add": a.get("bias")}
        kept = [_per_element(d, given["mul"], 1.0, length)]
        if op == "layer_norm":
            kept.append(_per_element(d, given["add"], 0.0, length))
        y = d.add(op, reshape(d, x, (*lead, length)), *kept, eps=float(eps))
        y = reshape(d, y, d.shape(x))
        late = ((name, z) for name, z in given.items() if z is not None and z not in d.constants)
        for name, z in late:
            y = d.add(name, y, z)
        return y

    return row


def _per_element(d: GraphBuilder, name: Any, default: float, length: int) -> str:
    """A norm's factor or offset, one value an element; the default where it is computed."""
    value = d.constants.get(name, np.full(1, default, np.float32))
    return d.constant(np.broadcast_to(value.reshape(-1), (length,)))


def normalized(d: GraphBuilder, x: str, axis: int, eps: float) -> str:
    """x / sqrt(mean(x^2) + eps^2 / n) / sqrt(n) along an axis of n elements."""
    shape = d.shape(x)
    axis %= len(shape)
    n = shape[axis]
    if x in d.constants:
        return d.constant(_of_constant(d.constants[x], axis, eps))
    if n > LENGTH_MAX:
        raise Unsupported(f"vectors of {n} elements, at most {LENGTH_MAX}")
    order = [i for i in range(len(shape)) if i != axis] + [axis]
    gain = d.constant(np.full(n, 1.0 / math.sqrt(n), np.float32))
    rows = transpose(d, x, order)
    y = d.add("rms_norm", rows, gain, eps=max(eps, EPS_LEAST) ** 2 / n)
    return transpose(d, y, np.argsort(order).tolist())


def _of_constant(x: Array, axis: int, eps: float) -> Array:
    lengths = np.sqrt(np.square(x.astype(np.float64)).sum(axis, keepdims=True))
    return np.asarray(x / np.maximum(lengths, max(eps, EPS_LEAST)), np.float32)


def cosine_similarity(d: GraphBuilder, a: Arguments, out: Shape) -> str:
    """The sum of products of vectors of length one."""
    if a["eps"] > EPS_MOST:
        raise Unsupported(f"eps={a['eps']:g}, at most {EPS_MOST:g}")
    both = np.broadcast_shapes(d.shape(a["x1"]), d.shape(a["x2"]))
    axis = a["dim"] % len(both)
    whole = (_as_long(d, a[name], axis, both) for name in ("x1", "x2"))
    left, right = (normalized(d, x, axis, a["eps"]) for x in whole)
    return d.add("sum", d.add("mul", left, right), axes=(axis,), keepdim=False)


def _as_long(d: GraphBuilder, x: str, axis: int, both: Shape) -> str:
    """Brings an operand to the rank and extent of both: torch broadcasts first."""
    x = reshape(d, x, (1,) * (len(both) - len(d.shape(x))) + d.shape(x))
    shape = d.shape(x)
    shape = (*shape[:axis], both[axis], *shape[axis + 1 :])
    return x if shape == d.shape(x) else d.add("expand", x, shape=shape)


def norm_onnx(op: str) -> OnnxRow:
    """Layer norm and RMS norm over the axes from `axis` on; all results of layer norm."""

    def row(c: OnnxCall) -> str | tuple[str, ...]:
        shape = c.shape()
        axis = int(c.attrs.get("axis", -1)) % len(shape)
        given: Mapping[str, Any] = {
            "input": c.x(),
            "normalized_shape": shape[axis:],
            "weight": c.x(1),
            "bias": c.x(2) if c.has(2) else None,
            "eps": float(c.attrs.get("epsilon", 1e-5)),
        }
        y = str(norm(op)(c.builder, given, c.out))
        return (y, *_moments(c, axis, given["eps"])) if len(c.outs) > 1 else y

    return row


def _moments(c: OnnxCall, axis: int, eps: float) -> tuple[str, str]:
    """The mean, and one by the standard deviation."""
    d, axes = c.builder, tuple(range(axis, len(c.shape())))
    mean = d.add("mean", c.x(), axes=axes, keepdim=True)
    square = d.add("table", d.add("sub", c.x(), mean), chain=(("square",),))
    variance = d.add("mean", square, axes=axes, keepdim=True)
    chain = (("affine", 1.0, eps), ("rsqrt",))
    return mean, d.add("table", variance, chain=chain)


ATEN: Calls = {
    "layer_norm": calls(norm("layer_norm"), "layer_norm"),
    "rms_norm": calls(norm("rms_norm"), "rms_norm"),
    "sum": calls(cosine_similarity, "cosine_similarity"),
}
ONNX: Calls = {
    "layer_norm": {"LayerNormalization": norm_onnx("layer_norm")},
    "rms_norm": {"RMSNormalization": norm_onnx("rms_norm")},
}
