# SPDX-License-Identifier: Apache-2.0
"""Import of the maximum and minimum of two tensors; with a number it is a pointwise
function."""

from __future__ import annotations

import math

from myoedge.graph.ir import Shape
from myoedge.operators.elementwise.arithmetic import number_of, times
from myoedge.operators.graph_builder import GraphBuilder, reshape
from myoedge.operators.import_rows import Arguments, ImportRow, Row, one_by_one


def extreme(largest: bool) -> Row:
    def row(b: GraphBuilder, a: Arguments, out: Shape) -> str:
        pair = (a["self"], a["other"])
        limits = [number for x in pair if (number := number_of(b, x)) is not None]
        if limits:
            x = next(x for x in pair if number_of(b, x) is None)
            step = ("clamp", limits[0], math.inf) if largest else ("clamp", -math.inf, limits[0])
            return reshape(b, b.add("table", x, chain=(step,)), out)
        if largest:
            return b.add("maximum", *pair)
        return times(b, b.add("maximum", *(times(b, x, -1.0) for x in pair)), -1.0)

    return row


def extreme_of_all(largest: bool) -> Row:
    """Return a function that imports ONNX's Max or Min of any number of inputs."""
    row = one_by_one(extreme(largest))
    return lambda b, a, out: reshape(b, row(b, a, out), out)


def between(b: GraphBuilder, a: Arguments, out: Shape) -> str:
    """Import clamp with tensors as bounds, one of which may be missing."""
    y = str(a["self"])
    for name, largest in (("min", True), ("max", False)):
        limit = a.get(name)
        y = y if limit is None else str(extreme(largest)(b, {"self": y, "other": limit}, out))
    return y


ROWS = (
    ImportRow(
        "maximum table", between, "clamp.Tensor clip.Tensor clamp_min.Tensor clamp_max.Tensor"
    ),
    ImportRow("maximum table", extreme(largest=True), "maximum max.other"),
    ImportRow("maximum table", extreme(largest=False), "minimum min.other"),
    ImportRow("maximum table", extreme_of_all(largest=True), onnx="Max(*tensors)"),
    ImportRow("maximum table", extreme_of_all(largest=False), onnx="Min(*tensors)"),
)
