# SPDX-License-Identifier: Apache-2.0
"""Import of cumulative sums; cumulative products use it too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from myoedge.operators.graph_builder import GraphBuilder, as_tuple, slice_axis
from myoedge.operators.import_rows import Arguments, ImportRow, Row, first
from myoedge.operators.pool.import_rows import largest


def cumulative(results: Callable[[GraphBuilder, str, int], str], neutral: float = 0.0) -> Row:
    """Return a function that imports ONNX's cumulative sum or product: `reverse` runs from the end,
    `exclusive` leaves out the element itself.

    results   (builder, tensor, axis) -> cumulative sums or products
    neutral   0 for sums, 1 for products
    """

    def row(b: GraphBuilder, a: Arguments, out: Any) -> str:
        x, shape = first(a), b.shape(first(a))
        axis = as_tuple(a["dim"], 1)[0] % len(shape)
        n, backwards = shape[axis], (shape[axis] - 1, -1, -1)
        x = slice_axis(b, x, axis, *backwards) if a.get("reverse") else x
        if a.get("exclusive"):
            pads = tuple((int(d == axis), 0) for d in range(len(shape)))
            x = slice_axis(b, b.add("pad", x, pads=pads, value=neutral), axis, 0, n)
        y = results(b, x, axis)
        return slice_axis(b, y, axis, *backwards) if a.get("reverse") else y

    return row


cumsum = cumulative(lambda b, x, axis: b.add("cumsum", x, axis=axis))


def log_cum_sum_exp(b: GraphBuilder, a: Arguments, out: Any) -> str:
    """Import log(cumsum(exp(x - m))) + m, where m is the row's maximum, so that exponentials are
    within 0 .. 1."""
    x, axis = first(a), a["dim"] % len(out)
    thin = tuple(1 if i == axis else n for i, n in enumerate(out))
    most = largest(b, {"self": x, "dim": axis, "keepdim": True}, thin)
    powers = b.add("table", b.add("sub", x, most), chain=(("exp",),))
    total = b.add("table", b.add("cumsum", powers, axis=axis), chain=(("log",),))
    return b.add("add", total, most)


ROWS = (
    ImportRow("cumsum max_pool", log_cum_sum_exp, "logcumsumexp"),
    ImportRow(
        "cumsum", cumsum, "cumsum", "CumSum(self, dim: ints, *, reverse=False, exclusive=False)"
    ),
)
