# SPDX-License-Identifier: Apache-2.0
"""Gathers: elements along an axis by computed indices; import of indexing by lists: x[:, [0, 2,
5]], x[i, j], ONNX's Gather and GatherND."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from myoedge.graph.ir import Attrs, Shape, ranked
from myoedge.nest.formulas import broadcast_axes, broadcast_index, clip, where
from myoedge.nest.ir import Nest
from myoedge.nest.nodes import Taken
from myoedge.numerics.arrays import Array, outer_inner
from myoedge.operators.attributes import type_of_operand
from myoedge.operators.base import QuantizedNode, add_operator
from myoedge.operators.cases import Draw, DrawnUse
from myoedge.operators.chains import generated
from myoedge.operators.common_rules import as_in_floats
from myoedge.operators.described import operand, result
from myoedge.operators.format import MOVES
from myoedge.operators.graph_builder import (
    GraphBuilder,
    Unsupported,
    reshape,
    slice_axis,
    transpose,
    weights,
)
from myoedge.operators.import_rows import Arguments, ImportRow
from myoedge.operators.library.conditions import BY_INTEGERS, rows_by
from myoedge.operators.library.import_moves import picked
from myoedge.operators.library.known_values import calculated, constant_behind, producer, span_of
from myoedge.operators.qdq import Write, Writer, whole
from myoedge.operators.streaming_rule import OperandAxis, StreamingRule
from myoedge.operators.traits import Described, Kept, Operands, Result

MATH = "integer_math"


def parts_at(d: GraphBuilder, x: str, axis: int, ids: str, out: Shape) -> str:
    """Gather slices of x along an axis by computed indices (index_select, ONNX's Gather)."""
    if x in d.constants:
        return _gather_table_rows(d, x, axis, ids)
    outer, n, inner = outer_inner(d.shape(x), axis)
    return _add_gather(d, x, (outer, n, inner), ids, (1, math.prod(d.shape(ids)), 1), out)


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
    return _add_gather(d, x, outer_inner(d.shape(x), axis), ids, thin, out)


def parts_of_axes(d: GraphBuilder, x: str, axis: int, names: Sequence[str], out: Shape) -> str:
    """Gather slices of x by computed indices along several adjacent axes.

    axis    the first of these axes
    names   index tensors, one per axis
    out     shape of the result
    """
    batch, count = d.shape(x)[: axis + 1], len(names)
    first = known(d, names[0])
    by_batch = (
        axis == 0
        and count == 2
        and first is not None
        and np.array_equal(first.reshape(-1), np.arange(batch[0]))
    )
    if by_batch and math.prod(d.shape(names[1])) == batch[0]:  # x[arange(batch), ids]
        return parts_of_each(d, x, 1, names[1:], out)
    shape = np.broadcast_shapes(*map(d.shape, names))
    ids = one_index(d, names, d.shape(x)[axis : axis + count], shape)
    rows = _replace_axis(d.shape(x), axis, count)
    return _add_gather(d, x, rows, ids, (1, math.prod(shape), 1), out)


def parts_of_each(d: GraphBuilder, x: str, batch: int, names: Sequence[str], out: Shape) -> str:
    """Import ONNX's GatherND with batch_dims: each element of the first `batch` axes of x has its
    own indices.

    names   index tensors, one per indexed axis
    """
    count, shape = len(names), d.shape(names[0])
    ids = one_index(d, names, d.shape(x)[batch : batch + count], shape)
    rows = _replace_axis(d.shape(x), batch, count)
    return _add_gather(d, x, rows, ids, (rows[0], math.prod(shape) // rows[0], 1), out)


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
        ids = _make_indices_positive(d, name, n)
        scaled = calculated(d, MATH, "mul", ids, stride, shape) if stride > 1 else ids
        total = calculated(d, MATH, "add", total, scaled, shape) if total else scaled
    return calculated(d, MATH, "add", total, d.constant(rest), shape) if rest.any() else total


def known(d: GraphBuilder, name: str) -> Array | None:
    """Return the values of constant indices; None for computed ones."""
    return d.array(name) if name in d.constants else constant_behind(d, name)


def _make_indices_positive(d: GraphBuilder, ids: str, n: int) -> str:
    """Replace negative indices, which count from the end of an axis of n elements, by indices from
    its start."""
    span, shape = span_of(d, ids), d.shape(ids)
    if span is not None and span[0] >= 0:
        return ids
    below = calculated(d, "integer_compare", "lt", ids, 0, shape)
    return calculated(d, MATH, "add", ids, calculated(d, MATH, "mul", below, n, shape), shape)


def _replace_axis(shape: Shape, axis: int, count: int) -> Shape:
    end = axis + count
    return (math.prod(shape[:axis]), math.prod(shape[axis:end]), math.prod(shape[end:]))


def _add_gather(d: GraphBuilder, x: str, rows: Shape, ids: str, shape: Shape, out: Shape) -> str:
    if d.dtype(ids) not in ("int32", "uint8"):
        raise Unsupported("computed indices that are no integers", BY_INTEGERS)
    given = reshape(d, x, rows), reshape(d, ids, shape)
    return reshape(d, d.add("gather", *given, dtype=d.dtype(ids)), out)


def _gather_table_rows(d: GraphBuilder, table: str, dim: int, ids: str) -> str:
    """Gather slices of a constant table along an axis by computed integers, as an embedding."""
    rank, count = len(d.shape(table)), len(d.shape(ids))
    axis = dim % rank
    rows = d.constant(np.moveaxis(d.array(table), axis, 0)) if axis else table
    order = [*range(count, count + axis), *range(count), *range(count + axis, count + rank - 1)]
    return transpose(d, rows_by(d, ids, rows), order)


def shape(attrs: Attrs, x: Shape, ids: Shape) -> Shape:
    return (x[0], ids[1], x[2])


def gathered(attrs: Attrs, x: Array, ids: Array) -> Array:
    """Gather elements along the middle axis: x [O, N, I], ids [O or 1, K, I or 1] -> [O, K, I].

    Indices -N .. -1 count from the end.
    """
    n, whole = x.shape[1], ids.astype(np.int64)
    rows = np.clip(np.where(whole < 0, whole + n, whole), 0, n - 1)
    return np.take_along_axis(x, np.broadcast_to(rows, (x.shape[0], ids.shape[1], x.shape[2])), 1)


def nest(step: QuantizedNode) -> Nest:
    """Describe a gather: an index below 0 counts from the end, and one out of range is clamped."""
    axes, x, ids, n = (
        broadcast_axes(step.out),
        operand(step, 0),
        operand(step, 1),
        step.shapes[0][1],
    )
    given = clip(ids[broadcast_index(axes, ids.shape)], -n, n - 1)
    inside = clip(where(given < 0, given + n, given), 0, n - 1)
    value = Taken(x[axes[0], 0, axes[2]], 1, inside)
    return Nest(axes, (x, ids), result(step), tuple(axis.at for axis in axes), value)


def streaming_rule(at: OperandAxis) -> StreamingRule | None:
    """Return the rule for streaming a gather: frame by frame along an axis that elements and
    indices share; None for other axes."""
    both = [shape[at.axis] for shape in at.shapes]
    return StreamingRule(at.axis) if at.axis != 1 and both[0] == both[1] else None


GATHER = add_operator(
    name="gather",
    attributes={"dtype": type_of_operand(1)},
    doc="elements of an axis by computed indices: an input, or an argmax",
    shape=shape,
    real=gathered,
    integer=Described(nest, as_in_floats(gathered)),
    kernels=generated(MOVES),
    result=Result(kept=Kept.SCALE),
    operands=Operands(are_indices=True),
    streaming_rule=streaming_rule,
)


def _write_gather(w: Writer, step: QuantizedNode, x: str, ids: str) -> str:
    n = step.shapes[0][1]
    limits = (w.constant(np.array(limit, np.int64)) for limit in (-n, n - 1))
    inside = w.node("Clip", w.cast(ids, "int64"), *limits)
    return w.node("GatherElements", x, w.node("Expand", inside, whole(w, *step.out)), axis=1)


WRITE: Mapping[str, Write] = {"gather": _write_gather}


ORACLE = """\
rows, n = x1.long(), x0.shape[1]
rows = torch.where(rows < 0, rows + n, rows).clamp(0, n - 1)
x0.gather(1, rows.expand(x0.shape[0], -1, x0.shape[2]))
"""


def draw_gather(d: Draw) -> DrawnUse:
    outer, count, inner = d.pick([1, 1, 3]), d.pick([1, 2, 7, 16]), d.pick([1, 3, 8, 70])
    n, kind = d.pick([1, 2, 5, 17]), d.pick(["int32", "int32", "uint8"])
    ids = (d.pick([1, outer]), count, d.pick([1, 1, inner]))
    values = {"kinds": ("float32", kind), "classes": n + 2, "least": -n - 2}
    common = d.common(2, act=False) | values
    return DrawnUse("gather", {"dtype": kind}, ((outer, n, inner), ids), ORACLE, **common)


CASES = {"gather": draw_gather}


SIDE_BY_SIDE = "bring the axes side by side first: x.movedim(2, 1)[[0, 1], [2, 3]]"


def index(d: GraphBuilder, a: Arguments, out: Shape) -> str:
    """Import x[:, [0, 2, 5]]: a constant index list along one axis, or lists of equal length along
    adjacent axes."""
    x, shape = a["self"], d.shape(a["self"])
    lists = enumerate(a["indices"]) if "indices" in a else [(a["dim"] % len(shape), a["index"])]
    picks = {axis: name for axis, name in lists if name is not None}
    names, axis = [*picks.values()], next(iter(picks))
    constant = d.constants.keys() >= {*names}
    if len(picks) > 1 and constant and (y := _gather_outer_indices(d, x, picks, out)):
        return y
    if [*picks] != [*range(axis, axis + len(picks))]:
        raise Unsupported("indexing by lists on axes that are not adjacent", SIDE_BY_SIDE)
    if not constant:
        if len(picks) == 1:
            return parts_at(d, x, axis, names[0], out)
        return parts_of_axes(d, x, axis, names, out)
    extents = shape[axis : axis + len(picks)]
    flat = _flat_indices(d, names, extents)
    joined = (*shape[:axis], math.prod(extents), *shape[axis + len(picks) :])
    return reshape(d, picked(d, reshape(d, x, joined), axis, flat.reshape(-1)), out)


def _flat_indices(d: GraphBuilder, names: Sequence[str], extents: Sequence[int]) -> Array:
    """Merge index lists of several axes into indices of the flattened axis."""
    indices = np.broadcast_arrays(*(weights(d, name, "an index") for name in names))
    if any(each.dtype.kind not in "iu" for each in indices):
        raise Unsupported("indexing by anything but lists of integers")
    inside = [each % n for each, n in zip(indices, extents, strict=True)]
    return np.asarray(np.ravel_multi_index(inside, extents))


def _gather_outer_indices(d: GraphBuilder, x: str, picks: Mapping[int, str], out: Shape) -> str:
    """Import constant index lists on adjacent axes as one gather per axis, if each list varies
    along another axis of the result; otherwise return ""."""
    arrays = [weights(d, name, "an index") for name in picks.values()]
    rank = max(array.ndim for array in arrays)
    shapes = [ranked(array.shape, rank) for array in arrays]
    varying = [i for shape in shapes for i, n in enumerate(shape) if n > 1]
    if varying != sorted({*varying}) or [*picks] != [*range(min(picks), max(picks) + 1)]:
        return ""
    for axis, array in zip(picks, arrays, strict=True):
        x = picked(d, x, axis, array.reshape(-1))
    return reshape(d, x, out)


def gather(d: GraphBuilder, a: Arguments, out: Shape) -> str:
    """Import ONNX's Gather: slices along one axis, selected by indices of any shape."""
    if a["index"] not in d.constants:
        return parts_at(d, a["self"], a["dim"], a["index"], out)
    picks, n = weights(d, a["index"], "an index"), d.shape(a["self"])[a["dim"]]
    if picks.min(initial=0) < -n or picks.max(initial=0) >= n:
        raise IndexError(f"an index outside of {n} elements")
    return reshape(d, picked(d, a["self"], a["dim"], picks.reshape(-1)), out)


def gather_nd(d: GraphBuilder, a: Arguments, out: Shape) -> str:
    """Import ONNX's GatherND: ids [.., n] index the first n axes after the batch axes."""
    x, given, batch = str(a["self"]), a["index"], a["batch_dims"]
    if given not in d.constants:
        columns = _split_index_columns(d, given)
        if batch:
            return parts_of_each(d, x, batch, columns, out)
        return parts_of_axes(d, x, 0, columns, out)
    picks, shape = weights(d, given, "an index"), d.shape(x)
    end = batch + picks.shape[-1]
    picks = np.where(picks < 0, picks + shape[batch:end], picks)
    flat = np.ravel_multi_index(tuple(np.moveaxis(picks, -1, 0)), shape[batch:end])
    lead, n = math.prod(shape[:batch]), math.prod(shape[batch:end])
    own = flat.reshape(lead, -1) + n * np.arange(lead)[:, None]
    joined = reshape(d, x, (lead * n, *shape[end:]))
    return reshape(d, picked(d, joined, 0, own.reshape(-1)), out)


def _split_index_columns(d: GraphBuilder, index: str) -> list[str]:
    """Split index tensors [.., axes] into one tensor per axis."""
    *lead, count = d.shape(index)
    node = producer(d, index)
    parts = node.inputs if node is not None and node.op == "concat" else ()
    if node is not None and len(parts) == count and node.attrs["axis"] == len(lead):
        return [*parts]
    cuts = (slice_axis(d, index, len(lead), i, i + 1) for i in range(count))
    return [reshape(d, cut, (*lead, 1)) for cut in cuts]


ROWS = (
    ImportRow("slice take gather", index, "index.Tensor index_select"),
    ImportRow("slice take gather", gather, onnx="Gather(self, index, *, dim: axis = 0)"),
    ImportRow("slice take gather", gather_nd, onnx="GatherND(self, index, *, batch_dims=0)"),
)
