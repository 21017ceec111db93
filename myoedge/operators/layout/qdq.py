# SPDX-License-Identifier: Apache-2.0
"""Export of operators that move data as ONNX nodes."""

from __future__ import annotations

from collections.abc import Mapping

from myoedge.operators.base import QuantizedNode
from myoedge.operators.qdq import Write, Writer, along_axis, number, whole

FIRST = -(2**31)  # an end before the first element, for slices that run backwards


def _to_shape(op: str) -> Write:
    return lambda w, step, x: w.node(op, x, whole(w, *step.out))


def _slice(w: Writer, step: QuantizedNode, x: str) -> str:
    starts, stops, steps = zip(*step.attrs["cuts"], strict=True)
    ends = [FIRST if by < 0 and stop < 0 else stop for stop, by in zip(stops, steps, strict=True)]
    return w.node("Slice", x, *(whole(w, *v) for v in (starts, ends, range(len(ends)), steps)))


def _pad(w: Writer, step: QuantizedNode, x: str) -> str:
    pads = step.attrs["pads"]
    both = whole(w, *(before for before, _ in pads), *(after for _, after in pads))
    return w.node("Pad", x, both, number(w, step.attrs["value"]))


WRITE: Mapping[str, Write] = {
    "concat": along_axis("Concat"),
    "expand": _to_shape("Expand"),
    "pad": _pad,
    "reshape": _to_shape("Reshape"),
    "slice": _slice,
    "transpose": lambda w, step, x: w.node("Transpose", x, perm=list(step.attrs["perm"])),
}
