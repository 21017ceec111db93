# SPDX-License-Identifier: Apache-2.0
"""Import rows of functions of one number."""

from __future__ import annotations

import math
from typing import Any

from myoedge.operators.graph_builder import (
    GraphBuilder,
    Unsupported,
    slice_axis,
    weights,
)
from myoedge.operators.import_rows import (
    Arguments,
    AtenRow,
    OnnxCall,
    OnnxRow,
    first,
)


def chain(*steps: Any) -> AtenRow:
    def row(d: GraphBuilder, a: Arguments, out: Any) -> str:
        return d.add("table", first(a), chain=steps)

    return row


def step(name: str, *parameters: str) -> AtenRow:
    """A pointwise function whose parameters are read from the call."""

    def row(d: GraphBuilder, a: Arguments, out: Any) -> str:
        values = tuple(float(a[p]) for p in parameters)
        return d.add("table", first(a), chain=((name, *values),))

    return row


def clamp(d: GraphBuilder, a: Arguments, out: Any) -> str:
    low, high = (a.get(name) for name in ("min", "max"))
    edges = (-math.inf if low is None else float(low), math.inf if high is None else float(high))
    return d.add("table", first(a), chain=(("clamp", *edges),))


def hardtanh(d: GraphBuilder, a: Arguments, out: Any) -> str:
    edges = (float(a["min_val"]), float(a["max_val"]))
    return d.add("table", first(a), chain=(("clamp", *edges),))


def gelu(d: GraphBuilder, a: Arguments, out: Any) -> str:
    name = "gelu_tanh" if a["approximate"] == "tanh" else "gelu"
    return d.add("table", first(a), chain=((name,),))


def prelu(d: GraphBuilder, a: Arguments, out: Any) -> str:
    slope = weights(d, a["weight"], "a PReLU slope").reshape(-1)
    if slope.size == 1:
        return d.add("table", first(a), chain=(("leaky_relu", float(slope[0])),))
    return d.add("prelu", first(a), d.constant(slope), axis=1)


def celu(d: GraphBuilder, a: Arguments, out: Any) -> str:
    alpha = float(a["alpha"])
    return d.add("table", first(a), chain=(("elu", alpha, 1.0, 1.0 / alpha),))


def rrelu(d: GraphBuilder, a: Arguments, out: Any) -> str:
    """Outside training the slope is the middle of its range."""
    slope = (float(a["lower"]) + float(a["upper"])) / 2
    return d.add("table", first(a), chain=(("leaky_relu", slope),))


def glu(d: GraphBuilder, a: Arguments, out: Any) -> str:
    x = first(a)
    axis = a["dim"] % len(d.shape(x))
    half = d.shape(x)[axis] // 2
    gate = d.add("table", slice_axis(d, x, axis, half, 2 * half), chain=(("sigmoid",),))
    return d.add("mul", slice_axis(d, x, axis, 0, half), gate)


def table_onnx(*steps: Any) -> OnnxRow:
    """A fixed chain of functions of one number."""

    def row(c: OnnxCall) -> str:
        return c.builder.add("table", c.x(), chain=steps)

    return row


def step_onnx(name: str, **defaults: float) -> OnnxRow:
    """A function of one number whose parameters are attributes, in this order."""

    def row(c: OnnxCall) -> str:
        values = tuple(float(c.attrs.get(key, value)) for key, value in defaults.items())
        return c.builder.add("table", c.x(), chain=((name, *values),))

    return row


def clip_onnx(c: OnnxCall) -> str:
    edges = [-math.inf, math.inf]
    for i in (1, 2):
        if c.has(i):
            edges[i - 1] = float(c.array(i, "a limit of Clip").reshape(-1)[0])
    return c.builder.add("table", c.x(), chain=(("clamp", *edges),))


def celu_onnx(c: OnnxCall) -> str:
    alpha = float(c.attrs.get("alpha", 1.0))
    return c.builder.add("table", c.x(), chain=(("elu", alpha, 1.0, 1.0 / alpha),))


def thresholded_onnx(c: OnnxCall) -> str:
    """x where it is larger than alpha, else 0."""
    alpha = float(c.attrs.get("alpha", 1.0))
    return c.builder.add("table", c.x(), chain=(("threshold", alpha, 0.0),))


def hard_sigmoid_onnx(c: OnnxCall) -> str:
    line = ("affine", float(c.attrs.get("alpha", 0.2)), float(c.attrs.get("beta", 0.5)))
    return c.builder.add("table", c.x(), chain=(line, ("clamp", 0.0, 1.0)))


def gelu_onnx(c: OnnxCall) -> str:
    name = "gelu_tanh" if c.attrs.get("approximate") == "tanh" else "gelu"
    return c.builder.add("table", c.x(), chain=((name,),))


def swish_onnx(c: OnnxCall) -> str:
    """x * sigmoid(alpha * x) is silu(alpha * x) / alpha."""
    alpha = float(c.attrs.get("alpha", 1.0))
    if alpha == 0.0:
        return c.builder.add("table", c.x(), chain=(("affine", 0.5, 0.0),))
    chain = (("affine", alpha, 0.0), ("silu",), ("affine", 1.0 / alpha, 0.0))
    return c.builder.add("table", c.x(), chain=chain[1:2] if alpha == 1.0 else chain)


def shrink_onnx(c: OnnxCall) -> str:
    limit, bias = (float(c.attrs.get(k, v)) for k, v in (("lambd", 0.5), ("bias", 0.0)))
    if bias not in (0.0, limit):
        raise Unsupported(f"lambd={limit:g} with bias={bias:g}; they must be equal, or bias 0")
    name = "softshrink" if bias else "hardshrink"
    return c.builder.add("table", c.x(), chain=((name, limit),))


def prelu_onnx(c: OnnxCall) -> str:
    """A single slope is a function of one number, one along an axis is an operator."""
    slope, rank = c.weights(1, "the slope"), len(c.shape())
    if slope.size == 1:
        return c.builder.add("table", c.x(), chain=(("leaky_relu", float(slope.reshape(-1)[0])),))
    varying = [rank - slope.ndim + d for d, n in enumerate(slope.shape) if n != 1]
    if len(varying) > 1:
        raise Unsupported(f"slopes that vary along {len(varying)} axes")
    if varying[0] < 0 or c.shape()[varying[0]] != slope.size:
        raise ValueError(f"slopes {list(slope.shape)} for {list(c.shape())}")
    values = c.builder.constant(slope.reshape(-1))
    return c.builder.add("prelu", c.x(), values, axis=varying[0])
