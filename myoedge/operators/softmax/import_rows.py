# SPDX-License-Identifier: Apache-2.0
"""Import of softmax, log-softmax, argmax and argmin."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from myoedge.graph.ir import Shape
from myoedge.operators.common_rules import ROW_MAX
from myoedge.operators.graph_builder import GraphBuilder, Unsupported, concat, reshape
from myoedge.operators.import_rows import Arguments, ImportRow, Row, first
from myoedge.operators.library.conditions import compared, where
from myoedge.operators.library.masks import masked_softmax
from myoedge.operators.library.reductions import largest, least, reduction

LARGEST_ON_HOST = "move it to the host, after the network"
MOST_TAKEN = 8  # largest elements: each of them costs some ten operators
TAKEN_BELOW = 1 / 8  # of a row's span, by which an element that was taken is below all others


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
    """Import topk as maxima, one after another: each replaces the elements taken so far by the
    row's smallest one.

    Indices come from scores of their own, in which an element that was taken is below all others;
    they repeat in a row of equal elements.
    """
    count = a["k"] if isinstance(a["k"], int) else a["k"][0]
    if count > MOST_TAKEN:
        raise Unsupported(f"the {count} largest elements, at most {MOST_TAKEN}", LARGEST_ON_HOST)
    x, axis = first(a), a["dim"] % len(out[0])
    sign = () if a["largest"] else (("neg",),)
    x = d.add("table", x, chain=sign) if sign else x
    thin = tuple(1 if i == axis else n for i, n in enumerate(d.shape(x)))
    kept = {"dim": axis, "keepdim": True}
    low, high = (row(d, {**kept, "self": x}, thin) for row in (least, largest))
    margin = d.add("table", d.add("sub", high, low), chain=(("affine", TAKEN_BELOW, 0.0),))
    below, scores = d.add("sub", low, margin), x
    values, indices = [high], [argmax(d, {**kept, "self": x}, thin)]
    while len(values) < count:
        x = _replace_element(d, x, argmax(d, {**kept, "self": x}, thin), low, axis)
        values.append(largest(d, {**kept, "self": x}, thin))
        scores = _replace_element(d, scores, indices[-1], below, axis)
        indices.append(argmax(d, {**kept, "self": scores}, thin))
    found = concat(d, values, axis)
    found = d.add("table", found, chain=sign) if sign else found
    return found, concat(d, indices, axis)


def _replace_element(d: GraphBuilder, x: str, index: str, other: str, axis: int) -> str:
    """Replace the element at an index of each row along an axis."""
    shape = d.shape(x)
    places = np.arange(shape[axis]).reshape([n if i == axis else 1 for i, n in enumerate(shape)])
    taken = compared(d, "eq", index, d.constant(places), shape)
    return where(d, {"condition": taken, "self": other, "other": x}, shape)


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
