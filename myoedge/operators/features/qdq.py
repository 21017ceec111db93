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
        if feature[0].form == "ar":
            rows.append(_predictor(w, feature[0].in_steps(scale_of_x), x, length, scale_of_x))
            continue
        count, product = positions(feature, length), ""
        for factor in feature:
            value = _factor(w, factor.in_steps(scale_of_x), x, count, scale_of_x)
            product = w.node("Mul", product, value) if product else value
        rows.append(w.node("ReduceSum", product, whole(w, 2), keepdims=0))
    stacked = w.node("Concat", *(w.node("Unsqueeze", row, whole(w, 1)) for row in rows), axis=1)
    scale, offset = (w.float_constant(name) for name in step.node.inputs[1:])
    return w.node("Add", w.node("Mul", stacked, scale), offset)


def _factor(w: Writer, factor: Factor, x: str, count: int, step: float) -> str:
    """Write a factor as ONNX nodes; a test compares with a value half a quantisation step beside
    its limit."""
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


def _predictor(w: Writer, factor: Factor, x: str, length: int, step: float) -> str:
    """Write the Levinson-Durbin recursion as ONNX nodes, up to one final coefficient."""
    r, rows = list[str](), list[str]()
    for k in range(factor.a[0] + 1):
        taps = (_taken(w, (at, -1), x, length - k) for at in (0, k))
        r.append(w.node("ReduceSum", w.node("Mul", *taps), whole(w, 2), keepdims=0))
    # only a window of zeros has less energy
    energy = w.node("Add", r[0], number(w, factor.limit * step**2 + 2.0**-20 * step**2))
    for i in range(1, len(r)):
        ratio = r[i]
        for j, a in enumerate(rows, 1):
            ratio = w.node("Sub", ratio, w.node("Mul", a, r[i - j]))
        ratio = w.node("Div", ratio, energy)
        pairs = zip(rows, rows[::-1], strict=True)
        rows = [w.node("Sub", a, w.node("Mul", ratio, b)) for a, b in pairs] + [ratio]
        left = w.node("Sub", number(w, 1.0), w.node("Mul", ratio, ratio))
        energy = w.node("Mul", energy, left)
    return rows[factor.b[0] - 1]


def _taken(w: Writer, taps: tuple[int, int], x: str, count: int) -> str:
    parts = [
        w.node("Slice", x, whole(w, at), whole(w, at + count), whole(w, 2))
        for at in taps
        if at >= 0
    ]
    return w.node("Sub", *parts) if len(parts) == 2 else parts[0]


WRITE: Mapping[str, Write] = {"features": _write}
