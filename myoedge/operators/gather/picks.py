# SPDX-License-Identifier: Apache-2.0
"""Import of gathers by computed indices from computed tensors."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from myoedge.graph.ir import Shape
from myoedge.numerics.arrays import Array, outer_inner
from myoedge.operators.elementwise.conditions import BY_INTEGERS, rows_by
from myoedge.operators.graph_builder import (
    GraphBuilder,
    Unsupported,
    reshape,
    slice_axis,
    transpose,
)
from myoedge.operators.integers.numbers import calculated, constant_behind, span_of

MATH = "integer_math"


def parts_at(d: GraphBuilder, x: str, axis: int, ids: str, out: Shape) -> str:
    """Gather slices of x along an axis by computed indices (index_select, ONNX's Gather)."""
    if x in d.constants:
        return _rows(d, x, axis, ids)
    outer, n, inner = outer_inner(d.shape(x), axis)
    return _gather(d, x, (outer, n, inner), ids, (1, math.prod(d.shape(ids)), 1), out)


def elements(d: GraphBuilder, x: str, axis: int, ids: str, out: Shape) -> str:
    """Gather single elements along an axis by computed indices (torch.gather, ONNX's
    GatherElements)."""
    axis, shape = axis % len(out), d.shape(ids)
    for i, n in enumerate(out):
        if i != axis and n < d.shape(x)[i]:
            x = slice_axis(d, x, i, 0, n)
    if any(d.shape(x)[i] != n for i, n in enumerate(out) if i != axis):
        raise Unsupported("a tensor that is broadcast to its indices")
    sides = (shape[:axis], out[:axis]), (shape[axis + 1 :], out[axis + 1 :])
    if any(side not in (whole, (1,) * len(whole)) for side, whole in sides):
        raise Unsupported("indices that are broadcast along some axes only")
    thin = outer_inner(shape, axis)
    return _gather(d, x, outer_inner(d.shape(x), axis), ids, thin, out)


def parts_of_axes(d: GraphBuilder, x: str, axis: int, names: Sequence[str], out: Shape) -> str:
    """Gather slices of x by computed indices along several adjacent axes.

    axis    the first of these axes
    names   index tensors, one per axis
    out     shape of the result
    """
    batch, count = d.shape(x)[: axis + 1], len(names)
    first = known(d, names[0])
    by_batch = axis == 0 and count == 2 and first is not None and _counts(first, batch[0])
    if by_batch and math.prod(d.shape(names[1])) == batch[0]:  # x[arange(batch), ids]
        return parts_of_each(d, x, 1, names[1:], out)
    shape = np.broadcast_shapes(*map(d.shape, names))
    ids = one_index(d, names, d.shape(x)[axis : axis + count], shape)
    rows = _joined(d.shape(x), axis, count)
    return _gather(d, x, rows, ids, (1, math.prod(shape), 1), out)


def parts_of_each(d: GraphBuilder, x: str, batch: int, names: Sequence[str], out: Shape) -> str:
    """Import ONNX's GatherND with batch_dims: each element of the first `batch` axes of x has its
    own indices.

    names   index tensors, one per indexed axis
    """
    count, shape = len(names), d.shape(names[0])
    ids = one_index(d, names, d.shape(x)[batch : batch + count], shape)
    rows = _joined(d.shape(x), batch, count)
    return _gather(d, x, rows, ids, (rows[0], math.prod(shape) // rows[0], 1), out)


def one_index(d: GraphBuilder, names: Sequence[str], extents: Shape, shape: Shape) -> str:
    """Combine the index tensors of several axes into one index along the flattened axes.

    names     index tensor of each axis
    extents   size of each axis
    shape     shape of the result
    """
    if len(names) == 1:
        return names[0]
    strides = [math.prod(extents[i + 1 :]) for i in range(len(extents))]
    rest, total = np.zeros(shape, np.int64), ""
    for name, n, stride in zip(names, extents, strides, strict=True):
        value = known(d, name)
        if value is not None:
            rest = rest + np.where(value < 0, value + n, value) * stride
            continue
        ids = _from_start(d, name, n)
        scaled = calculated(d, MATH, "mul", ids, stride, shape) if stride > 1 else ids
        total = calculated(d, MATH, "add", total, scaled, shape) if total else scaled
    return calculated(d, MATH, "add", total, d.constant(rest), shape) if rest.any() else total


def known(d: GraphBuilder, name: str) -> Array | None:
    """Return the values of constant indices; None for computed ones."""
    return d.array(name) if name in d.constants else constant_behind(d, name)


def _counts(value: Array, n: int) -> bool:
    return np.array_equal(value.reshape(-1), np.arange(n))


def _from_start(d: GraphBuilder, ids: str, n: int) -> str:
    """Replace negative indices, which count from the end of an axis of n elements, by indices from
    its start."""
    span, shape = span_of(d, ids), d.shape(ids)
    if span is not None and span[0] >= 0:
        return ids
    below = calculated(d, "integer_compare", "lt", ids, 0, shape)
    return calculated(d, MATH, "add", ids, calculated(d, MATH, "mul", below, n, shape), shape)


def _joined(shape: Shape, axis: int, count: int) -> Shape:
    end = axis + count
    return (math.prod(shape[:axis]), math.prod(shape[axis:end]), math.prod(shape[end:]))


def _gather(d: GraphBuilder, x: str, rows: Shape, ids: str, shape: Shape, out: Shape) -> str:
    if d.dtype(ids) not in ("int32", "uint8"):
        raise Unsupported("computed indices that are no integers", BY_INTEGERS)
    given = reshape(d, x, rows), reshape(d, ids, shape)
    return reshape(d, d.add("gather", *given, dtype=d.dtype(ids)), out)


def _rows(d: GraphBuilder, table: str, dim: int, ids: str) -> str:
    """Gather slices of a constant table along an axis by computed integers, as an embedding."""
    rank, count = len(d.shape(table)), len(d.shape(ids))
    axis = dim % rank
    rows = d.constant(np.moveaxis(d.array(table), axis, 0)) if axis else table
    order = [*range(count, count + axis), *range(count), *range(count + axis, count + rank - 1)]
    return transpose(d, rows_by(d, ids, rows), order)
