# SPDX-License-Identifier: Apache-2.0
"""Export of linear recurrences as ONNX nodes, step by step."""

from __future__ import annotations

import math
from collections.abc import Mapping

from myoedge.operators.base import QuantizedNode
from myoedge.operators.qdq import Write, Writer, number, reshaped, sliced


def _written(*, kept: bool) -> Write:
    """Return the function that exports a scan to ONNX.

    kept   whether it exports scan_last, which returns the final state
    """

    def node(w: Writer, step: QuantizedNode, a: str, b: str, *before: str) -> str:
        axis, states, shape = step.attrs["axis"], list[str](), [*step.shapes[0]]
        steps, shape[axis] = shape[axis], 1
        unit = _state_step(w, step)
        state = ""
        for first in before:
            state = w.node("Mul", reshaped(w, first, *shape), number(w, unit))
        for t in range(steps):
            more = sliced(w, b, t, t + 1, axis)
            decayed = w.node("Mul", sliced(w, a, t, t + 1, axis), state) if state else ""
            state = w.node("Add", decayed, more) if decayed else more
            states.append(state)
        if not kept:
            return w.node("Concat", *states, axis=axis)
        return reshaped(w, w.node("Div", state, number(w, unit)), *step.out)

    return node


def _state_step(w: Writer, step: QuantizedNode) -> float:
    """Return the step of a scan's states, to which b's multiplier converts."""
    factor = math.ldexp(step.integers.b_mult, -step.integers.b_shift)
    return w.params[step.node.inputs[1]].scale / factor if factor else 1.0


WRITE: Mapping[str, Write] = {"scan": _written(kept=False), "scan_last": _written(kept=True)}
