# SPDX-License-Identifier: Apache-2.0
"""Export of linear recurrences as ONNX nodes, step by step."""

from __future__ import annotations

from collections.abc import Mapping

from myoedge.operators.base import QuantizedNode
from myoedge.operators.qdq import Write, Writer, sliced


def _scan(w: Writer, step: QuantizedNode, a: str, b: str) -> str:
    axis = step.attrs["axis"]
    state, states = "", []
    for t in range(step.out[axis]):
        more = sliced(w, b, t, t + 1, axis)
        decayed = w.node("Mul", sliced(w, a, t, t + 1, axis), state) if state else ""
        state = w.node("Add", decayed, more) if decayed else more
        states.append(state)
    return w.node("Concat", *states, axis=axis)


WRITE: Mapping[str, Write] = {"scan": _scan}
