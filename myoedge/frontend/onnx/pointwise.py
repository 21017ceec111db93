# SPDX-License-Identifier: Apache-2.0
"""Rows of the ONNX import table that are functions of one number, and PRelu."""

from __future__ import annotations

import math
from typing import Any

from myoedge.frontend.graph_builder import Unsupported
from myoedge.frontend.onnx.call import Call, OnnxRow


def table(*steps: Any) -> OnnxRow:
    """A fixed chain of functions of one number."""

    def row(c: Call) -> str:
        return c.draft.add("table", c.x(), chain=steps)

    return row


def step(name: str, **defaults: float) -> OnnxRow:
    """A function of one number whose parameters are attributes, in this order."""

    def row(c: Call) -> str:
        values = tuple(float(c.attrs.get(key, value)) for key, value in defaults.items())
        return c.draft.add("table", c.x(), chain=((name, *values),))

    return row


def clip(c: Call) -> str:
    edges = [-math.inf, math.inf]
    for i in (1, 2):
        if c.has(i):
            edges[i - 1] = float(c.array(i, "a limit of Clip").reshape(-1)[0])
    return c.draft.add("table", c.x(), chain=(("clamp", *edges),))


def celu(c: Call) -> str:
    alpha = float(c.attrs.get("alpha", 1.0))
    return c.draft.add("table", c.x(), chain=(("elu", alpha, 1.0, 1.0 / alpha),))


def thresholded(c: Call) -> str:
    """x where it is larger than alpha, else 0."""
    alpha = float(c.attrs.get("alpha", 1.0))
    return c.draft.add("table", c.x(), chain=(("threshold", alpha, 0.0),))


def hard_sigmoid(c: Call) -> str:
    line = ("affine", float(c.attrs.get("alpha", 0.2)), float(c.attrs.get("beta", 0.5)))
    return c.draft.add("table", c.x(), chain=(line, ("clamp", 0.0, 1.0)))


def gelu(c: Call) -> str:
    name = "gelu_tanh" if c.attrs.get("approximate") == "tanh" else "gelu"
    return c.draft.add("table", c.x(), chain=((name,),))


def swish(c: Call) -> str:
    """x * sigmoid(alpha * x) is silu(alpha * x) / alpha."""
    alpha = float(c.attrs.get("alpha", 1.0))
    if alpha == 0.0:
        return c.draft.add("table", c.x(), chain=(("affine", 0.5, 0.0),))
    chain = (("affine", alpha, 0.0), ("silu",), ("affine", 1.0 / alpha, 0.0))
    return c.draft.add("table", c.x(), chain=chain[1:2] if alpha == 1.0 else chain)


def shrink(c: Call) -> str:
    limit, bias = (float(c.attrs.get(k, v)) for k, v in (("lambd", 0.5), ("bias", 0.0)))
    if bias not in (0.0, limit):
        raise Unsupported(f"lambd={limit:g} with bias={bias:g}; they must be equal, or bias 0")
    name = "softshrink" if bias else "hardshrink"
    return c.draft.add("table", c.x(), chain=((name, limit),))


def prelu(c: Call) -> str:
    """A single slope is a function of one number, one along an axis is an operator."""
    slope, rank = c.weights(1, "the slope"), len(c.draft.shape(c.x()))
    if slope.size == 1:
        return c.draft.add("table", c.x(), chain=(("leaky_relu", float(slope.reshape(-1)[0])),))
    varying = [rank - slope.ndim + d for d, n in enumerate(slope.shape) if n != 1]
    if len(varying) > 1:
        raise Unsupported(f"slopes that vary along {len(varying)} axes")
    if varying[0] < 0 or c.draft.shape(c.x())[varying[0]] != slope.size:
        raise ValueError(f"slopes {list(slope.shape)} for {list(c.draft.shape(c.x()))}")
    return c.draft.add("prelu", c.x(), c.draft.constant(slope.reshape(-1)), axis=varying[0])
