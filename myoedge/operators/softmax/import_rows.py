# SPDX-License-Identifier: Apache-2.0
"""Import of softmax, log-softmax, argmax and argmin."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from myoedge.graph.ir import Shape
from myoedge.operators.graph_builder import GraphBuilder, Unsupported, reshape
from myoedge.operators.import_rows import Arguments, ImportRow, Row, first
from myoedge.operators.pool.import_rows import least, reduction
from myoedge.operators.softmax.definition import ROW_MAX
from myoedge.operators.softmax.masks import masked_softmax

LARGEST_ON_HOST = "use amax and argmax if k=1, or move it to the host, after the network"


def along(op: str) -> Row:
    def row(d: GraphBuilder, a: Arguments, out: Any) -> str:
        x = first(a)
        axis = a["dim"] % len(d.shape(x))
        if d.shape(x)[axis] > ROW_MAX:
            raise Unsupported(f"{op} over {d.shape(x)[axis]} elements, at most {ROW_MAX}")
        return masked_softmax(d, x, axis) if op == "softmax" else d.add(op, x, axis=axis)

    return row


def argmax(d: GraphBuilder, a: Arguments, out: Shape) -> str:
    if a.get("select_last_index"):
        raise Unsupported("select_last_index=1: the first index is what there is")
    x, keepdim = a["self"], bool(a["keepdim"])
    if a["dim"] is not None:
        return d.add("argmax", x, axis=a["dim"] % len(d.shape(x)), keepdim=keepdim)
    lead = (1,) * (len(out) - 1)
    flat = reshape(d, x, (*lead, math.prod(d.shape(x))))
    return d.add("argmax", flat, axis=len(lead), keepdim=keepdim)


def argmin(d: GraphBuilder, a: Arguments, out: Shape) -> str:
    """Import argmin as argmax of -x; the factor -1 is folded into the weights of a preceding
    layer."""
    negative = d.add("table", a["self"], chain=(("affine", -1.0, 0.0),))
    return argmax(d, {**a, "self": negative}, out)


def extreme(row: Row, index: Row) -> Row:
    """Return a function that imports max or min along an axis, with two results: the extremes and
    their indices.

    row, index   import functions of the two results
    """

    def both(d: GraphBuilder, a: Arguments, out: Sequence[Shape]) -> tuple[str, str]:
        return row(d, a, out[0]), index(d, a, out[1])

    return both


def top(d: GraphBuilder, a: Arguments, out: Sequence[Shape]) -> tuple[str, str]:
    """Import topk with k = 1: the largest or smallest element along an axis, and its index."""
    count = a["k"] if isinstance(a["k"], int) else a["k"][0]
    if count != 1:
        raise Unsupported(f"the {count} largest elements; only k=1", LARGEST_ON_HOST)
    rows = (reduction("max_pool"), argmax) if a["largest"] else (least, argmin)
    return tuple(
        row(d, {**a, "keepdim": True}, shape) for row, shape in zip(rows, out, strict=True)
    )


INDEX = "(self, *, dim: axis = 0, keepdim: keepdims = True, select_last_index=False)"

ROWS = (
    ImportRow(
        "softmax", along("softmax"), "softmax.int _softmax", "Softmax(self, *, dim: axis = -1)"
    ),
    ImportRow(
        "log_softmax",
        along("log_softmax"),
        "log_softmax.int _log_softmax",
        "LogSoftmax(self, *, dim: axis = -1)",
    ),
    ImportRow("argmax", argmax, "argmax", f"ArgMax{INDEX}"),
    ImportRow("argmax", argmin, "argmin", f"ArgMin{INDEX}"),
    ImportRow(
        "max_pool argmax", extreme(reduction("max_pool"), argmax), "max.dim", all_results=True
    ),
    ImportRow("max_pool argmax", extreme(least, argmin), "min.dim", all_results=True),
    ImportRow(
        "max_pool argmax",
        top,
        "topk",
        "TopK(self, k: ints, *, dim: axis = -1, largest=True, sorted=True)",
        all_results=True,
    ),
)
