# SPDX-License-Identifier: Apache-2.0
"""Pointwise operators: sums, products, tables and others; export as ONNX nodes, and random
test cases."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from myoedge.graph.ir import Shape
from myoedge.numerics.pointwise import Chain, evaluate
from myoedge.numerics.quant_params import QuantParams
from myoedge.operators.base import QuantizedNode
from myoedge.operators.cases import ACTS, Draw, DrawnUse
from myoedge.operators.qdq import Write, Writer, number

CHAINS: tuple[Chain, ...] = (
    *(act for act in ACTS if act), (("square",),), (("hardswish",),), (("elu", 1.5),), (("sqrt",),),
    (("log",),), (("reciprocal",),), (("affine", 3.0, -1.0),), (("tanh",), ("abs",), ("sqrt",)),
)  # fmt: skip
# Functions that jump, if the int16 range has values on both sides of the jump.
JUMPS: tuple[Chain, ...] = (
    (("ge", 0.3),), (("abs",), ("lt", 0.01),), (("clamp", -300.0, 300.0), ("floor",)),
    (("clamp", -9.0, 9.0), ("round",)), (("clamp", -3.0, 9.0), ("affine", 3.0, 0.1), ("frac",)),
    (("hardshrink", 0.5),), (("tanh",), ("threshold", 0.1, 20.0)),
)  # fmt: skip


def binary(op: str, d: Draw) -> DrawnUse:
    shapes, common = d.broadcast(1, 5), d.common(2, act=True)
    may = limited(common["act"]) or op == "mul"
    int16 = d.pick([(), (), (0,), (1,), (0, 1)]) if may else ()
    text = f"torch.{op}(x0, x1)"
    return DrawnUse(op, {}, shapes, text, int16=int16, slack=term_slack, **common)


def limited(act: Chain) -> bool:
    """Return whether a fused activation consists of clamps only, as int16 results require."""
    return all(name == "clamp" for name, *_ in act)


def term_slack(case: Any) -> float:
    """Return the largest permitted deviation of a sum, in output steps; 0 for a product.

    Both terms share one shift, so if their factors differ much, the smaller factor has few
    significant bits; its rounding error grows with its operand.
    """
    if case.op == "mul":
        return 0.0
    terms = [case.params(name) for name in case.names]
    largest = float(max(term.scale for term in terms) / case.target.scale)
    levels: int = sum(term.high - term.low for term in terms)
    return levels * max(largest, 1.0) / 2**15


def _draw_channels(d: Draw) -> tuple[Shape, int]:
    shape = d.pick([d.shape(1, 4), (70, 3), (2, 5, 40)])
    return shape, d.integer(0, len(shape) - 1)


def affine(d: Draw) -> DrawnUse:
    """Return a random test case of a factor and an offset per channel; some offsets move all
    results to one side of 0."""
    (x, axis), common = _draw_channels(d), d.common(1, act=True)
    scale = d.rng.normal(size=x[axis]) * d.pick([0.0, 1e-3, 1.0, 50.0])
    far = common["spans"][0][1] * np.abs(scale)
    offset = d.rng.normal(size=x[axis]) - d.pick([0.0, 0.0, 0.5, 1.0]) * far
    common |= {"weights": (scale, offset), "slack": channel_slack}
    along = [-1 if i == axis else 1 for i in range(len(x))]
    text, int16 = f"x0 * w0.reshape({along}) + w1.reshape({along})", (0,) if sum(x) % 2 else ()
    return DrawnUse("affine", {"axis": axis}, (x,), text, int16=int16, **common)


def prelu(d: Draw) -> DrawnUse:
    """Return a random test case of PReLU along any axis; the oracle moves it to torch's channel
    axis, axis 1."""
    (x, axis), common = _draw_channels(d), d.common(1, act=True)
    slope = d.rng.normal(size=x[axis]) * d.pick([0.0, 0.2, 1.0, 30.0])
    common |= {"weights": (slope,), "slack": channel_slack}
    text = "F.prelu(x0.movedim(axis, 1), w0).movedim(1, axis)"
    text = text if len(x) > 1 else "F.prelu(x0[None], w0)[0]"
    int16 = (0,) if sum(x) % 2 else ()
    return DrawnUse("prelu", {"axis": axis}, (x,), text, int16=int16, **common)


def channel_slack(case: Any) -> float:
    """Return the largest permitted deviation in output steps.

    Offset and products of a channel share 31 bits (SumRequant), so a large offset or factor leaves
    fewer bits for the factor.
    """
    x, step = case.params("x0"), case.target.scale
    is_wide = 16 in (x.element_type.bits, case.target.element_type.bits)
    reach, factor_bits = x.high - x.low, 23 if is_wide else 15
    factor = float(np.abs(case.weights[0]).max()) * x.scale / step
    offset = float(np.abs(case.weights[1]).max()) / step if case.op == "affine" else 0.0
    shared = reach * (offset + reach * factor) / 2**31
    return float(reach * max(factor, 1.0) / 2**factor_bits + shared)


def table(d: Draw) -> DrawnUse:
    """Return a random test case of a pointwise function of int8 or int16 data."""
    x, chain = d.pick([d.shape(0, 5), (300,)]), d.pick((*CHAINS, *CHAINS, *JUMPS))
    int16, common = d.pick([(), (0,)]), d.common(1, act=False)
    text = "activated(chain, x0)"
    return DrawnUse("table", {"chain": chain}, (x,), text, int16=int16, slack=line_slack, **common)


def line_slack(case: Any) -> Any:
    """Return the largest permitted deviation of a tabulated function, in output steps.

    int8 results of int8 inputs are exact. An int16 table is interpolated between points at most |v|
    / 64 apart, which adds a quarter of the second difference (half of it at a kink) and one step;
    any result is permitted at a pole at 0.
    """
    x, y, v = case.params("x0"), case.target, case.data[0].astype(np.float64)
    v -= x.zero_point
    if not case.wide and y.element_type.bits == 8:
        return 0.0
    if case.wide and case.attrs["chain"] in JUMPS:
        return 0.125 if y.element_type.bits == 8 else 0.5
    apart = np.where(np.abs(v) < 64, 0.0, np.abs(v) / 64) * bool(case.wide)
    function = partial(case.activated, case.attrs["chain"])
    far = [np.stack([v - part, v, v + part]) for part in (apart, apart / 2, apart / 4)]
    values = [np.nan_to_num(function(z * x.scale)) / y.scale for z in far]
    limited = [np.clip(value, 2 * y.low - y.high, 2 * y.high - y.low) for value in values]
    bent = np.max([np.abs(a - 2 * b + c) / 2 for a, b, c in limited], axis=0)
    return bent + np.where((v == 0) & np.isinf(function(v)), np.inf, float(bool(case.wide)))


def draw_magnitude(d: Draw) -> DrawnUse:
    """Return a random test case of sqrt(a^2 + b^2), with equal or different quantisation
    parameters."""
    x, common = d.shape(0, 4), d.common(2, act=True)
    common["spans"] = d.pick([common["spans"], common["spans"][:1] * 2])
    common["int16"] = d.pick([(), (), (0,), (1,), (0, 1)])
    text = "torch.hypot(x0, x1)"
    return DrawnUse("magnitude", {}, (x, x), text, slack=magnitude_slack, **common)


def magnitude_slack(case: Any) -> float:
    """Return the largest permitted deviation of sqrt(a^2 + b^2) in output steps: the root is
    rounded down, and a factor far below 1 loses up to half a 16-bit step times the other operand's
    range."""
    a, b = (case.params(name) for name in case.names)
    most = math.hypot(*(max(q.high - q.zero_point, q.zero_point - q.low) * q.scale for q in (a, b)))
    if case.wide:  # operands rounded to 2^15 steps, the root down to a step or a quarter
        return float(2.0 * most / 2**15 / case.target.scale)
    rounding = 2.0 * most / 65536
    lost = math.sqrt(255**2 / 2) * most / 65536
    return float((rounding + lost) / case.target.scale)


CASES = {
    **{op: partial(binary, op) for op in ("add", "sub", "mul")},
    "affine": affine,
    "prelu": prelu,
    "table": table,
    "magnitude": draw_magnitude,
}


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


def _torch_function(op: str, **attrs: Any) -> Write:
    return lambda w, x: w.node(op, x, **attrs)


NATIVE: Mapping[str, Write] = {
    "abs": _torch_function("Abs"),
    "affine": scaled,
    "clamp": clamp,
    "erf": _torch_function("Erf"),
    "gelu": _torch_function("Gelu"),
    "gelu_tanh": _torch_function("Gelu", approximate="tanh"),
    "hardsigmoid": _torch_function("HardSigmoid", alpha=1.0 / 6.0, beta=0.5),
    "hardswish": _torch_function("HardSwish"),
    "leaky_relu": lambda w, x, slope=0.01: w.node("LeakyRelu", x, alpha=slope),
    "mish": _torch_function("Mish"),
    "neg": _torch_function("Neg"),
    "sigmoid": _torch_function("Sigmoid"),
    "silu": lambda w, x: w.node("Mul", x, w.node("Sigmoid", x)),
    "softsign": _torch_function("Softsign"),
    "tanh": _torch_function("Tanh"),
}


def pointwise(w: Writer, name: str, functions: Chain) -> str:
    """Write a chain of functions applied to a tensor of the network."""
    if all(function in NATIVE for function, *_ in functions):
        y = w.reals[name]
        for function, *parameters in functions:
            y = NATIVE[function](w, y, *parameters)
        return y
    return _write_lookup(w, w.integers[name], w.params[name], functions)


def _write_lookup(w: Writer, integers: str, x: QuantParams, functions: Chain) -> str:
    """Write a lookup table of float values for all 256 or 65,536 inputs; NaN becomes 0.0,
    infinities are limited."""
    real = (np.arange(x.low, x.high + 1) - x.zero_point) * x.scale
    values = np.nan_to_num(evaluate(functions, real), nan=0.0, posinf=1e30, neginf=-1e30)
    table = w.constant(np.clip(values, -1e30, 1e30).astype(np.float32), f"{w.label}/table")
    index = w.cast(integers, "int32")
    return w.node("Gather", table, w.node("Add", index, w.constant(np.array(-x.low, np.int32))))


def _write_channel_constant(w: Writer, step: QuantizedNode, index: int) -> str:
    """Write the constant input [C] of a step, reshaped to broadcast along its axis."""
    rank = len(step.out)
    shape = [-1 if d == step.attrs["axis"] % rank else 1 for d in range(rank)]
    values = w.floats[step.node.inputs[index]]
    return w.constant(values.astype(np.float32).reshape(shape))


WRITE: Mapping[str, Write] = {
    "prelu": lambda w, step, x: w.node("PRelu", x, _write_channel_constant(w, step, 1)),
    "table": lambda w, step, x: pointwise(w, step.operands[0], step.attrs["chain"]),
}
