# SPDX-License-Identifier: Apache-2.0
"""Export of time-domain features as slices, sums and comparisons."""

from __future__ import annotations

from collections.abc import Mapping

from myoedge.operators.base import QuantizedNode
from myoedge.operators.features.factors import Factor, features_of, positions
from myoedge.operators.qdq import Write, Writer, number, whole

TESTS = {"le": ("LessOrEqual", 0.5), "ge": ("GreaterOrEqual", -0.5)}


def _write(w: Writer, step: QuantizedNode, x: str) -> str:
    length, rows = step.shapes[0][2], []
    scale_of_x = w.params[step.operands[0]].scale
    for feature in features_of(step.attrs):
        count, product = positions(feature, length), ""
        for factor in feature:
            value = _factor(w, factor.in_steps(scale_of_x), x, count, scale_of_x)
            product = w.node("Mul", product, value) if product else value
        rows.append(w.node("ReduceSum", product, whole(w, 2), keepdims=0))
    stacked = w.node("Concat", *(w.node("Unsqueeze", row, whole(w, 1)) for row in rows), axis=1)
    scale, offset = (w.float_constant(name) for name in step.node.inputs[1:])
    return w.node("Add", w.node("Mul", stacked, scale), offset)


def _factor(w: Writer, factor: Factor, x: str, count: int, step: float) -> str:
    """Write a factor whose limit is in steps of the samples, between two of which it is tested."""
    a = _taken(w, factor.a, x, count)
    if factor.form == "product":
        a = w.node("Mul", a, _taken(w, factor.b, x, count))
    elif factor.form != "value":
        a = w.node("Abs", a)
    if factor.form == "larger":
        a = w.node("Max", a, w.node("Abs", _taken(w, factor.b, x, count)))
    if not factor.test:
        return a
    test, apart = TESTS[factor.test]
    limit = number(w, (factor.limit + apart) * step**factor.degree)
    return w.cast(w.node(test, a, limit), "float32")


def _taken(w: Writer, taps: tuple[int, int], x: str, count: int) -> str:
    parts = [
        w.node("Slice", x, whole(w, at), whole(w, at + count), whole(w, 2))
        for at in taps
        if at >= 0
    ]
    return w.node("Sub", *parts) if len(parts) == 2 else parts[0]


WRITE: Mapping[str, Write] = {"features": _write}
