# SPDX-License-Identifier: Apache-2.0
"""Import of indices that are computed, into tensors that are computed too."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from myoedge.graph.ir import Shape
from myoedge.operators.base import outer_inner
from myoedge.operators.elementwise.conditions import rows_by
from myoedge.operators.graph_builder import (
    GraphBuilder,
    Unsupported,
    reshape,
    slice_axis,
    transpose,
)


def parts_at(d: GraphBuilder, x: str, axis: int, ids: str, out: Shape) -> str:
    """Parts of x along an axis, one for each index: index_select, ONNX's Gather."""
    if x in d.constants:
        return _rows(d, x, axis, ids)
    outer, n, inner = outer_inner(d.shape(x), axis)
    return _gather(d, x, (outer, n, inner), ids, (1, math.prod(d.shape(ids)), 1), out)


def elements(d: GraphBuilder, x: str, axis: int, ids: str, out: Shape) -> str:
    """Elements along an axis, with an index for each: torch.gather, ONNX's GatherElements."""
    axis, shape = axis % len(out), d.shape(ids)
    for i, n in enumerate(out):
        if i != axis and n < d.shape(x)[i]:
            x = slice_axis(d, x, i, 0, n)
    if any(d.shape(x)[i] != n for i, n in enumerate(out) if i != axis):
        raise Unsupported("a tensor that is broadcast to its indices")
    sides = (shape[:axis], out[:axis]), (shape[axis + 1 :], out[axis + 1 :])
    if any(side not in (whole, (1,) * len(whole)) for side, whole in sides):
        raise Unsupported("indices that are broadcast along some axes alone")
    thin = outer_inner(shape, axis)
    return _gather(d, x, outer_inner(d.shape(x), axis), ids, thin, out)


def last_parts(d: GraphBuilder, x: str, names: Sequence[str], out: Shape) -> str:
    """x[arange(batch), ids]: of each element of a batch the part that its own index names."""
    batch, n, *rest = d.shape(x)
    first, ids = names
    each = d.constants.get(first)
    is_range = each is not None and np.array_equal(each.reshape(-1), np.arange(batch))
    if not is_range or math.prod(d.shape(ids)) != batch:
        raise Unsupported("computed indices on several axes")
    return _gather(d, x, (batch, n, math.prod(rest)), ids, (batch, 1, 1), out)


def _gather(d: GraphBuilder, x: str, rows: Shape, ids: str, shape: Shape, out: Shape) -> str:
    if d.dtype(ids) not in ("int32", "uint8"):
        raise Unsupported("computed indices that are no integers")
    given = reshape(d, x, rows), reshape(d, ids, shape)
    return reshape(d, d.add("gather", *given, dtype=d.dtype(ids)), out)


def _rows(d: GraphBuilder, table: str, dim: int, ids: str) -> str:
    """Parts of a constant along an axis by computed integers."""
    rank, count = len(d.shape(table)), len(d.shape(ids))
    axis = dim % rank
    rows = d.constant(np.moveaxis(d.constants[table], axis, 0)) if axis else table
    order = [*range(count, count + axis), *range(count), *range(count + axis, count + rank - 1)]
    return transpose(d, rows_by(d, ids, rows), order)
