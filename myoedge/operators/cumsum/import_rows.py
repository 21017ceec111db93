# SPDX-License-Identifier: Apache-2.0
"""Import rows of sums along an axis."""

from __future__ import annotations

from typing import Any

from myoedge.operators.graph_builder import GraphBuilder, as_tuple, slice_axis
from myoedge.operators.import_rows import Arguments, ImportRow, first


def cumsum(b: GraphBuilder, a: Arguments, out: Any) -> str:
    """ONNX's from the end with `reverse`; with `exclusive` up to the element before."""
    x, shape = first(a), b.shape(first(a))
    axis = as_tuple(a["dim"], 1)[0] % len(shape)
    n, backwards = shape[axis], (shape[axis] - 1, -1, -1)
    x = slice_axis(b, x, axis, *backwards) if a.get("reverse") else x
    if a.get("exclusive"):
        pads = tuple((int(d == axis), 0) for d in range(len(shape)))
        x = slice_axis(b, b.add("pad", x, pads=pads, value=0.0), axis, 0, n)
    y = b.add("cumsum", x, axis=axis)
    return slice_axis(b, y, axis, *backwards) if a.get("reverse") else y


ROWS = (
    ImportRow(
        "cumsum", cumsum, "cumsum", "CumSum(self, dim: ints, *, reverse=False, exclusive=False)"
    ),
)
