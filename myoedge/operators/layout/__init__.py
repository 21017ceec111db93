# SPDX-License-Identifier: Apache-2.0
"""Operators that move data: views, transposes, slices, padding, concatenation;
export as ONNX nodes, and random test cases."""

from __future__ import annotations

from collections.abc import Mapping

from myoedge.graph.ir import Attrs, Shape
from myoedge.operators.base import QuantizedNode
from myoedge.operators.cases import Draw, DrawnUse
from myoedge.operators.qdq import Write, Writer, along_axis, number, whole

SLICE = """\
for axis, cut in enumerate(cuts):
    x0 = x0.index_select(axis, torch.tensor(list(range(*cut))))
x0
"""


def _draw_layout_case(
    d: Draw, op: str, attrs: Attrs, shapes: tuple[Shape, ...], text: str
) -> DrawnUse:
    """Draw an operator that moves elements, with int8, int16 or int32 data."""
    kind = d.pick(["float32", "float32", "int16", "int32"])
    types = {"int16": tuple(range(len(shapes)))} if kind == "int16" else {"dtype": kind}
    return DrawnUse(op, attrs, shapes, text, **types, **d.common(len(shapes), act=False))


def reshape(d: Draw) -> DrawnUse:
    """Return a random test case of a reshape that reorders extents, inserts axes of size 1, and may
    merge two axes."""
    x = d.shape(0, 5)
    parts = d.permuted([*x, *[1] * d.integer(0, 2)])
    if len(parts) > 1 and d.flag():
        parts = [parts[0] * parts[1], *parts[2:]]
    return _draw_layout_case(d, "reshape", {"shape": tuple(parts)}, (x,), "x0.reshape(shape)")


def transpose(d: Draw) -> DrawnUse:
    x = d.shape(1, 5)
    perm = tuple(d.permuted(range(len(x))))
    return _draw_layout_case(d, "transpose", {"perm": perm}, (x,), "x0.permute(perm)")


def slice_(d: Draw) -> DrawnUse:
    x = d.shape(1, 5, 7)
    return _draw_layout_case(d, "slice", {"cuts": tuple(_draw_slice(d, n) for n in x)}, (x,), SLICE)


def _draw_slice(d: Draw, n: int) -> tuple[int, int, int]:
    start, step = d.integer(0, n - 1), d.pick([1, 1, 2, 3, -1, -2])
    return start, d.integer(start + 1, n) if step > 0 else d.integer(-1, start - 1), step


def expand(d: Draw) -> DrawnUse:
    x = d.shape(0, 4, 3)
    lead = d.shape(0 if x else 1, 5 - len(x), 3)
    attrs = {"shape": (*lead, *(d.integer(1, 4) if n == 1 else n for n in x))}
    return _draw_layout_case(d, "expand", attrs, (x,), "x0.expand(shape)")


def pad(d: Draw) -> DrawnUse:
    x = d.shape(1, 4, 4)
    pads = tuple((d.integer(0, 3), d.integer(0, 3)) for _ in x)
    attrs = {"pads": pads, "value": d.pick([0.0, 0.0, 1.0, -1.0, 0.3, -7.5, 100.0])}
    text, int16 = "F.pad(x0, sum(pads[::-1], ()), value=value)", (0,) if sum(x) % 3 == 0 else ()
    return DrawnUse("pad", attrs, (x,), text, int16=int16, **d.common(1, act=False))


def concat(d: Draw) -> DrawnUse:
    first = d.shape(1, 5)
    axis = d.integer(0, len(first) - 1)
    extents = [d.integer(1, 5) for _ in range(d.integer(1, 4))]
    shapes = tuple((*first[:axis], n, *first[axis + 1 :]) for n in extents)
    return _draw_layout_case(d, "concat", {"axis": axis}, shapes, "torch.cat(xs, axis)")


CASES = {
    "reshape": reshape,
    "transpose": transpose,
    "slice": slice_,
    "expand": expand,
    "pad": pad,
    "concat": concat,
}


FIRST = -(2**31)  # an end before the first element, for slices that run backwards


def _shape_test_case(op: str) -> Write:
    return lambda w, step, x: w.node(op, x, whole(w, *step.out))


def _write_slice(w: Writer, step: QuantizedNode, x: str) -> str:
    starts, stops, steps = zip(*step.attrs["cuts"], strict=True)
    ends = [FIRST if by < 0 and stop < 0 else stop for stop, by in zip(stops, steps, strict=True)]
    return w.node("Slice", x, *(whole(w, *v) for v in (starts, ends, range(len(ends)), steps)))


def _write_pad(w: Writer, step: QuantizedNode, x: str) -> str:
    pads = step.attrs["pads"]
    both = whole(w, *(before for before, _ in pads), *(after for _, after in pads))
    return w.node("Pad", x, both, number(w, step.attrs["value"]))


WRITE: Mapping[str, Write] = {
    "concat": along_axis("Concat"),
    "expand": _shape_test_case("Expand"),
    "pad": _write_pad,
    "reshape": _shape_test_case("Reshape"),
    "slice": _write_slice,
    "transpose": lambda w, step, x: w.node("Transpose", x, perm=list(step.attrs["perm"])),
}
