# SPDX-License-Identifier: Apache-2.0
"""Export of loops as ONNX nodes, unrolled; weights are stored once."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from myoedge.graph.ir import Node
from myoedge.operators.base import QuantizedNode
from myoedge.operators.loop import turns
from myoedge.operators.qdq import Write, Writer, named, whole


def write_in_step(w: Writer, node: Node, step: int, rows: dict[str, list[str]]) -> None:
    """Export one of the loop operators (loop_state, loop_read, ..) for iteration `step`.

    rows   sequence that the loop returns -> names of its rows so far
    """
    name, x = node.name, node.inputs[0]
    if node.op == turns.READ:
        _store(w, name, _row(w, w.reals[x], step), x)
    elif node.op != turns.WRITE:
        for y in (name, *node.inputs[1:2]):
            w.integers[y], w.reals[y] = w.integers[x], w.reals[x]
    else:
        rows.setdefault(name, []).append(w.node("Unsqueeze", w.reals[x], whole(w, 0)))
        if step == node.attrs["steps"] - 1:
            _store(w, name, w.node("Concat", *rows[name], axis=0), x)


def _store(w: Writer, name: str, value: str, x: str) -> None:
    """Store a tensor in the format of `x`; ids have no scale."""
    if x in w.params:
        w.store(name, value, w.params[x])
    else:
        w.integers[name] = w.reals[name] = value


def _row(w: Writer, x: str, step: int) -> str:
    return w.node("Gather", x, w.constant(np.array(step, np.int64)), axis=0)


def _rows(w: Writer, step: QuantizedNode, x: str) -> str:
    return w.node("Expand", w.node("Unsqueeze", x, whole(w, 0)), whole(w, *step.out))


WRITE: Mapping[str, Write] = {
    turns.STATE: named("Identity"),
    turns.READ: lambda w, step, x: _row(w, x, 0),
    turns.NEXT: lambda w, step, x, state: w.node("Identity", x),
    turns.WRITE: _rows,
    turns.LAST: named("Identity"),
}
