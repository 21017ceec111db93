# SPDX-License-Identifier: Apache-2.0
"""Export of pointwise operators as ONNX nodes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from myoedge.numerics.pointwise import Chain, evaluate
from myoedge.numerics.quant_params import QuantParams
from myoedge.operators.base import QuantizedNode
from myoedge.operators.qdq import Write, Writer, number

# These functions are continuous and finite, so that float32 rounding does not matter. Of all
# others, the results for every integer input are stored.


def clamp(w: Writer, x: str, low: float, high: float) -> str:
    if (low, high) == (0.0, math.inf):
        return w.node("Relu", x)
    edges = ["" if math.isinf(e) else number(w, e) for e in (low, high)]
    return w.node("Clip", x, *edges)


def scaled(w: Writer, x: str, scale: float, offset: float) -> str:
    if scale != 1.0:
        x = w.node("Mul", x, number(w, scale))
    return w.node("Add", x, number(w, offset)) if offset else x


def _function(op: str, **attrs: Any) -> Write:
    return lambda w, x: w.node(op, x, **attrs)


NATIVE: Mapping[str, Write] = {
    "abs": _function("Abs"),
    "affine": scaled,
    "clamp": clamp,
    "erf": _function("Erf"),
    "gelu": _function("Gelu"),
    "gelu_tanh": _function("Gelu", approximate="tanh"),
    "hardsigmoid": _function("HardSigmoid", alpha=1.0 / 6.0, beta=0.5),
    "hardswish": _function("HardSwish"),
    "leaky_relu": lambda w, x, slope=0.01: w.node("LeakyRelu", x, alpha=slope),
    "mish": _function("Mish"),
    "neg": _function("Neg"),
    "sigmoid": _function("Sigmoid"),
    "silu": lambda w, x: w.node("Mul", x, w.node("Sigmoid", x)),
    "softsign": _function("Softsign"),
    "tanh": _function("Tanh"),
}


def pointwise(w: Writer, name: str, functions: Chain) -> str:
    """Write a chain of functions applied to a tensor of the network."""
    if all(function in NATIVE for function, *_ in functions):
        y = w.reals[name]
        for function, *parameters in functions:
            y = NATIVE[function](w, y, *parameters)
        return y
    return _looked_up(w, w.integers[name], w.params[name], functions)


def _looked_up(w: Writer, integers: str, x: QuantParams, functions: Chain) -> str:
    """Write a lookup table of float values for all 256 or 65,536 inputs; NaN becomes 0.0,
    infinities are limited."""
    real = (np.arange(x.low, x.high + 1) - x.zero_point) * x.scale
    values = np.nan_to_num(evaluate(functions, real), nan=0.0, posinf=1e30, neginf=-1e30)
    table = w.constant(np.clip(values, -1e30, 1e30).astype(np.float32), f"{w.label}/table")
    index = w.cast(integers, "int32")
    return w.node("Gather", table, w.node("Add", index, w.constant(np.array(-x.low, np.int32))))


def _along(w: Writer, step: QuantizedNode, index: int) -> str:
    """Write the constant input [C] of a step, reshaped to broadcast along its axis."""
    rank = len(step.out)
    shape = [-1 if d == step.attrs["axis"] % rank else 1 for d in range(rank)]
    values = w.floats[step.node.inputs[index]]
    return w.constant(values.astype(np.float32).reshape(shape))


WRITE: Mapping[str, Write] = {
    "prelu": lambda w, step, x: w.node("PRelu", x, _along(w, step, 1)),
    "table": lambda w, step, x: pointwise(w, step.operands[0], step.attrs["chain"]),
}
