# SPDX-License-Identifier: Apache-2.0
"""Export of selective scans as ONNX nodes: decays and addends of all time steps at once, then the
states step by step."""

from __future__ import annotations

from collections.abc import Mapping

from myoedge.operators.base import QuantizedNode
from myoedge.operators.qdq import Write, Writer, sliced, whole


def _selective_scan(w: Writer, step: QuantizedNode, delta: str, x: str, b: str, c: str) -> str:
    """Write a selective scan as ONNX nodes; return the ONNX name of the result.

    delta, x, b, c   ONNX names of the operands

    Intermediate tensors with states are [..., T, D, N].
    """
    rank, time = len(step.out), len(step.out) - 2
    names = step.node.inputs[len(step.operands) :]
    a, *d = map(w.float_constant, names)
    by_channel, by_state = (whole(w, axis) for axis in (rank, time + 1))
    now = w.node("Unsqueeze", delta, by_channel)
    decay = w.node("Exp", w.node("Mul", now, a))
    term = w.node("Unsqueeze", w.node("Mul", delta, x), by_channel)
    term = w.node("Mul", term, w.node("Unsqueeze", b, by_state))
    states: list[str] = []
    for t in range(step.out[time]):
        more = sliced(w, term, t, t + 1, time)
        if states:
            decayed = w.node("Mul", sliced(w, decay, t, t + 1, time), states[-1])
            more = w.node("Add", decayed, more)
        states.append(more)
    read = w.node("Mul", w.node("Concat", *states, axis=time), w.node("Unsqueeze", c, by_state))
    y = w.node("ReduceSum", read, by_channel, keepdims=0)
    return w.node("Add", y, w.node("Mul", x, d[0])) if d else y


WRITE: Mapping[str, Write] = {"selective_scan": _selective_scan}
