# SPDX-License-Identifier: Apache-2.0
"""Import rows of norms over the last axes, and of vectors of length one."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from myoedge.graph.ir import Shape, ranked
from myoedge.operators.graph_builder import GraphBuilder, Unsupported, expand, reshape, transpose
from myoedge.operators.import_rows import Arguments, ImportRow, Row, first
from myoedge.operators.norm.definition import LENGTH_MAX

EPS_MOST = 1e-4  # below it max(|x|, eps) and sqrt(|x|^2 + eps^2) differ less than int8 could say
EPS_LEAST = 1e-12  # what torch has, of which float32 holds the square


def norm(op: str) -> Row:
    """Layer norm and RMS norm over the last axes, which become one; what is computed of their
    factors and offsets follows as operators of its own."""

    def row(d: GraphBuilder, a: Arguments, out: Any) -> str:
        x, shape = first(a), d.shape(first(a))
        lead = a["axis"] % len(shape) if "axis" in a else len(shape) - len(a["normalized_shape"])
        length = math.prod(shape[lead:])
        if length > LENGTH_MAX:
            raise Unsupported(f"{op} over {length} elements, at most {LENGTH_MAX}")
        eps = np.finfo(np.float32).eps if a["eps"] is None else a["eps"]
        given: dict[str, tuple[Any, float]]
        given = {"mul": (a.get("weight"), 1.0), "add": (a.get("bias"), 0.0)}
        parts = []
        for name, default in given.values() if op == "layer_norm" else [given["mul"]]:
            value = d.constants.get(name, np.full(1, default, np.float32)).reshape(-1)
            parts.append(d.constant(np.broadcast_to(value, (length,))))
        y = d.add(op, reshape(d, x, (*shape[:lead], length)), *parts, eps=float(eps))
        y = reshape(d, y, shape)
        for operator, (name, _) in given.items():
            y = y if name is None or name in d.constants else d.add(operator, y, name)
        return y

    return row


def layer_norm_onnx(d: GraphBuilder, a: Arguments, outs: Any) -> tuple[str, ...]:
    """All results: the norm, the mean, and one by the standard deviation."""
    y, x = norm("layer_norm")(d, a, outs[0]), a["input"]
    if len(outs) == 1:
        return (y,)
    axes = tuple(range(a["axis"] % len(d.shape(x)), len(d.shape(x))))
    mean = d.add("mean", x, axes=axes, keepdim=True)
    square = d.add("table", d.add("sub", x, mean), chain=(("square",),))
    variance = d.add("mean", square, axes=axes, keepdim=True)
    return y, mean, d.add("table", variance, chain=(("affine", 1.0, a["eps"]), ("rsqrt",)))


def normalized(d: GraphBuilder, x: str, axis: int, eps: float) -> str:
    """x / sqrt(mean(x^2) + eps^2 / n) / sqrt(n) along an axis of n elements."""
    shape = d.shape(x)
    axis %= len(shape)
    n = shape[axis]
    if x in d.constants:
        value = d.constants[x]
        lengths = np.sqrt(np.square(value.astype(np.float64)).sum(axis, keepdims=True))
        return d.constant(value / np.maximum(lengths, max(eps, EPS_LEAST)))
    if n > LENGTH_MAX:
        raise Unsupported(f"vectors of {n} elements, at most {LENGTH_MAX}")
    order = [i for i in range(len(shape)) if i != axis] + [axis]
    gain = d.constant(np.full(n, 1.0 / math.sqrt(n), np.float32))
    rows = transpose(d, x, order)
    y = d.add("rms_norm", rows, gain, eps=max(eps, EPS_LEAST) ** 2 / n)
    return transpose(d, y, np.argsort(order).tolist())


def cosine_similarity(d: GraphBuilder, a: Arguments, out: Shape) -> str:
    """The sum of products of vectors of length one, which torch broadcasts before."""
    if a["eps"] > EPS_MOST:
        raise Unsupported(f"eps={a['eps']:g}, at most {EPS_MOST:g}")
    both = np.broadcast_shapes(d.shape(a["x1"]), d.shape(a["x2"]))
    axis = a["dim"] % len(both)

    def unit(x: str) -> str:
        shape = ranked(d.shape(x), len(both))
        long = (*shape[:axis], both[axis], *shape[axis + 1 :])
        return normalized(d, expand(d, reshape(d, x, shape), long), axis, a["eps"])

    left, right = unit(a["x1"]), unit(a["x2"])
    return d.add("sum", d.add("mul", left, right), axes=(axis,), keepdim=False)


ROWS = (
    ImportRow("layer_norm", norm("layer_norm"), "layer_norm"),
    ImportRow(
        "layer_norm",
        layer_norm_onnx,
        onnx="LayerNormalization(input, weight, bias, *, axis=-1, eps: epsilon = 1e-5)",
        all_results=True,
    ),
    ImportRow(
        "rms_norm",
        norm("rms_norm"),
        "rms_norm",
        "RMSNormalization(input, weight, *, axis=-1, eps: epsilon = 1e-5)",
    ),
    ImportRow("sum", cosine_similarity, "cosine_similarity"),
)
