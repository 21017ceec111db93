# SPDX-License-Identifier: Apache-2.0
"""Import of indexing by lists: x[:, [0, 2, 5]], x[i, j], ONNX's Gather and GatherND."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from myoedge.graph.ir import Shape, ranked
from myoedge.numerics.arrays import Array
from myoedge.operators.gather import parts_at, parts_of_axes, parts_of_each
from myoedge.operators.graph_builder import GraphBuilder, Unsupported, reshape, slice_axis, weights
from myoedge.operators.import_rows import Arguments, ImportRow
from myoedge.operators.integers.numbers import producer
from myoedge.operators.layout.import_rows import picked

SIDE_BY_SIDE = "bring the axes side by side first: x.movedim(2, 1)[[0, 1], [2, 3]]"


def index(d: GraphBuilder, a: Arguments, out: Shape) -> str:
    """Import x[:, [0, 2, 5]]: a constant index list along one axis, or lists of equal length along
    adjacent axes."""
    x, shape = a["self"], d.shape(a["self"])
    lists = enumerate(a["indices"]) if "indices" in a else [(a["dim"] % len(shape), a["index"])]
    picks = {axis: name for axis, name in lists if name is not None}
    names, axis = [*picks.values()], next(iter(picks))
    constant = d.constants.keys() >= {*names}
    if len(picks) > 1 and constant and (y := _outer(d, x, picks, out)):
        return y
    if [*picks] != [*range(axis, axis + len(picks))]:
        raise Unsupported("indexing by lists on axes that are not adjacent", SIDE_BY_SIDE)
    if not constant:
        is_one = len(picks) == 1
        return (
            parts_at(d, x, axis, names[0], out) if is_one else parts_of_axes(d, x, axis, names, out)
        )
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


def _outer(d: GraphBuilder, x: str, picks: Mapping[int, str], out: Shape) -> str:
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
        columns = _columns(d, given)
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


def _columns(d: GraphBuilder, index: str) -> list[str]:
    """Split index tensors [.., axes] into one tensor per axis."""
    *lead, count = d.shape(index)
    node = producer(d, index)
    if node is not None and node.op == "concat" and len(node.inputs) == count:
        names = node.inputs if node.attrs["axis"] == len(lead) else ()
        if names:
            return [*names]
    cuts = (slice_axis(d, index, len(lead), i, i + 1) for i in range(count))
    return [reshape(d, cut, (*lead, 1)) for cut in cuts]


ROWS = (
    ImportRow("slice take gather", index, "index.Tensor index_select"),
    ImportRow("slice take gather", gather, onnx="Gather(self, index, *, dim: axis = 0)"),
    ImportRow("slice take gather", gather_nd, onnx="GatherND(self, index, *, batch_dims=0)"),
)
