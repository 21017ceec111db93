# SPDX-License-Identifier: Apache-2.0
"""Export of integer functions as ONNX nodes, in int32."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from myoedge.operators.base import QuantizedNode
from myoedge.operators.qdq import Write, Writer, whole

OPERATORS = {
    "add": "Add", "sub": "Sub", "mul": "Mul", "min": "Min", "max": "Max", "mod": "Mod",
    "lt": "Less", "le": "LessOrEqual", "gt": "Greater", "ge": "GreaterOrEqual", "eq": "Equal",
    "ne": "Equal",
}  # fmt: skip


def _read(w: Writer, step: QuantizedNode, xs: tuple[str, ...]) -> list[str]:
    kinds = step.attrs["kinds"]
    read = [
        w.cast(w.cast(x, "bool") if kind == "truth" else x, "int32")
        for x, kind in zip(xs, kinds, strict=False)
    ]
    if len(xs) < len(kinds):
        b = step.integers.b
        read.append(w.constant(b if b.size == 1 else b.reshape(step.out)))
    return read


def _math(w: Writer, step: QuantizedNode, *xs: str) -> str:
    a, b = _read(w, step, xs)
    function = step.attrs["function"]
    if function == "floor_div":  # ONNX's Div rounds towards zero
        return w.node("Div", w.node("Sub", a, w.node("Mod", a, b)), b)
    return w.node(OPERATORS[function], a, b)


def _compare(w: Writer, step: QuantizedNode, *xs: str) -> str:
    function = step.attrs["function"]
    holds = w.node(OPERATORS[function], *_read(w, step, xs))
    return w.cast(w.node("Not", holds) if function == "ne" else holds, "float32")


def _cumsum(w: Writer, step: QuantizedNode, x: str, *first: str) -> str:
    (read,), axis = _read(w, step, (x,)), step.attrs["axis"]
    sums = w.node("CumSum", read, w.constant(np.array(axis)))
    shape = (*step.out[:axis], 1, *step.out[axis + 1 :])
    return w.node("Add", sums, w.node("Reshape", *first, whole(w, *shape))) if first else sums


WRITE: Mapping[str, Write] = {
    "integer_math": _math,
    "integer_math_constant": _math,
    "integer_compare": _compare,
    "integer_compare_constant": _compare,
    "integer_cumsum": _cumsum,
}
