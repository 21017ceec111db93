# SPDX-License-Identifier: Apache-2.0
"""Export of resizing as ONNX nodes: gathered elements, times weights, summed."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from myoedge.graph.ir import PRE
from myoedge.operators.base import QuantizedNode
from myoedge.operators.interpreter import has_table
from myoedge.operators.qdq import Write, Writer, whole


def _take(w: Writer, step: QuantizedNode, x: str) -> str:
    return w.node("Gather", x, whole(w, *step.attrs["index"]), axis=step.attrs["axis"])


def _resize(w: Writer, step: QuantizedNode, x: str) -> str:
    """Write a resize as ONNX nodes, with the weights that its integer constants represent."""
    axis, starts = step.attrs["axis"], np.array(step.attrs["starts"])
    source, node = w.params[step.operands[0]], step.node
    target = w.params[node.name + PRE if has_table(node) else node.name]
    unit = np.ldexp(target.scale / source.scale, -step.integers.shift)
    along = [-1 if d == axis else 1 for d in range(len(step.out))]
    terms = [
        w.node(
            "Mul",
            w.node("Gather", x, whole(w, *(starts + tap)), axis=axis),
            w.constant((column * unit).astype(np.float32).reshape(along)),
        )
        for tap, column in enumerate(step.integers.mult.T)
    ]
    return w.node("Sum", *terms)


WRITE: Mapping[str, Write] = {"resize": _resize, "take": _take}
