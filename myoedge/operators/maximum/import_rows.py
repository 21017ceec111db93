# SPDX-License-Identifier: Apache-2.0
"""Import rows of the larger or smaller of two: of a tensor and a number it is a function."""

from __future__ import annotations

import math

from myoedge.graph.ir import Shape
from myoedge.operators.elementwise.arithmetic_rows import number_of
from myoedge.operators.graph_builder import GraphBuilder, reshape
from myoedge.operators.import_rows import (
    Arguments,
    AtenRow,
    Calls,
    OnnxCall,
    OnnxRow,
    calls,
    one_by_one,
)


def extreme(largest: bool) -> AtenRow:
    def row(b: GraphBuilder, a: Arguments, out: Shape) -> str:
        pair = (a["self"], a["other"])
        limits = [number for x in pair if (number := number_of(b, x)) is not None]
        if not limits:
            return b.add("maximum", *pair) if largest else _smaller(b, *pair)
        x = next(x for x in pair if number_of(b, x) is None)
        step = ("clamp", limits[0], math.inf) if largest else ("clamp", -math.inf, limits[0])
        return reshape(b, b.add("table", x, chain=(step,)), out)

    return row


def _smaller(b: GraphBuilder, left: str, right: str) -> str:
    """min(x, y) = -max(-x, -y)"""
    larger = b.add("maximum", _negated(b, left), _negated(b, right))
    return _negated(b, larger)


def _negated(b: GraphBuilder, x: str) -> str:
    if x in b.constants:
        return b.constant(-b.constants[x])
    return b.add("table", x, chain=(("affine", -1.0, 0.0),))


def extreme_onnx(largest: bool) -> OnnxRow:
    """Max and Min of any number of inputs."""
    row = one_by_one(extreme(largest))

    def reshaped(c: OnnxCall) -> str:
        return reshape(c.builder, str(row(c)), c.out)

    return reshaped


ATEN_ROWS = {
    **calls(extreme(largest=True), "maximum", "max.other"),
    **calls(extreme(largest=False), "minimum", "min.other"),
}
ONNX_ROWS = {"Max": extreme_onnx(largest=True), "Min": extreme_onnx(largest=False)}
ATEN: Calls = {"maximum": ATEN_ROWS, "table": ATEN_ROWS}
ONNX: Calls = {"maximum": ONNX_ROWS, "table": ONNX_ROWS}
