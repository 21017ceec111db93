# SPDX-License-Identifier: Apache-2.0
"""Import of sliding windows (unfold, im2col), and of writes and additions to constant positions."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from myoedge.graph.ir import Shape
from myoedge.numerics.arrays import Array
from myoedge.operators.gather import elements
from myoedge.operators.graph_builder import (
    GraphBuilder,
    Unsupported,
    as_tuple,
    concat,
    expand,
    reshape,
    slice_axis,
    transpose,
    weights,
)
from myoedge.operators.import_rows import Arguments, ImportRow
from myoedge.operators.library.conditions import where
from myoedge.operators.library.import_moves import picked
from myoedge.operators.library.known_values import is_truth


def index_add(d: GraphBuilder, a: Arguments, out: Shape) -> str:
    """Import index_add with constant indices: a product of the values by a matrix of the places."""
    x, axis = str(a["self"]), a["dim"] % len(out)
    places = weights(d, a["index"], "an index").reshape(-1)
    matrix = np.zeros((out[axis], len(places)), np.float32)
    np.add.at(matrix, (places % out[axis], np.arange(len(places))), float(a.get("alpha", 1)))
    last = [*range(axis), *range(axis + 1, len(out)), axis]
    rows = d.add("linear", transpose(d, a["source"], last), d.constant(matrix))
    added = transpose(d, rows, [int(i) for i in np.argsort(last)])
    is_zero = x in d.constants and not d.array(x).any()
    return added if is_zero else d.add("add", x, added)


ADD_BY_PRODUCT = "add by a product: x + F.one_hot(index, n).float().T @ values, index a constant"
BY_MASK = "write torch.where(mask, values, x), with a constant mask and values in the shape of x"


def windows(d: GraphBuilder, x: str, axis: int, size: int, step: int, dilation: int = 1) -> str:
    """Add sliding windows along an axis, [.., n, ..] -> [.., number of windows, .., size]; return
    the result's name.

    size       elements of a window
    step       distance between the starts of two windows
    dilation   distance between two elements of a window
    """
    shape, reach = d.shape(x), (size - 1) * dilation + 1
    count = (shape[axis] - reach) // step + 1
    if count < 1:
        raise ValueError(f"windows of {reach} elements of {shape[axis]}")
    unit = math.gcd(size, step) if dilation == 1 else 1
    order = [*range(axis), *range(axis + 1, len(shape)), axis]
    rows = transpose(d, x, order)
    lead, parts = d.shape(rows)[:-1], []
    for at in range(0, size, unit):
        first = at * dilation
        end = min(first + count * step, shape[axis])
        part = slice_axis(d, rows, len(lead), first, end)
        if end - first < count * step:
            pads = (*[(0, 0)] * len(lead), (0, first + count * step - end))
            part = d.add("pad", part, pads=pads, value=0.0)
        blocks = reshape(d, part, (*lead, count, step))
        parts.append(slice_axis(d, blocks, len(lead) + 1, 0, unit))
    y = concat(d, parts, len(lead) + 1)
    back = [*range(axis), len(lead), *range(axis, len(lead)), len(lead) + 1]
    return transpose(d, y, back)


def unfold(d: GraphBuilder, a: Arguments, out: Shape) -> str:
    axis = a["dimension"] % len(d.shape(a["self"]))
    return windows(d, a["self"], axis, a["size"], a["step"])


def im2col(d: GraphBuilder, a: Arguments, out: Shape) -> str:
    """Import im2col: [N, C, H, W] -> [N, C * elements of a window, number of windows]."""
    size, dilation, padding, stride = (
        as_tuple(a[name], 2) for name in ("kernel_size", "dilation", "padding", "stride")
    )
    x = a["self"]
    x = reshape(d, x, (1, *d.shape(x))) if len(d.shape(x)) == 3 else x
    if any(padding):
        x = d.add("pad", x, pads=((0, 0), (0, 0), *((n, n) for n in padding)), value=0.0)
    for axis in (2, 3):
        at = axis - 2
        x = windows(d, x, axis, size[at], stride[at], dilation[at])
    return reshape(d, transpose(d, x, (0, 1, 4, 5, 2, 3)), out)


def select_scatter(d: GraphBuilder, a: Arguments, out: Shape) -> str:
    axis = a["dim"] % len(out)
    at = a["index"] % out[axis]
    thin = tuple(1 if i == axis else n for i, n in enumerate(out))
    return replaced(d, a["self"], _broadcast_reshape(d, a["src"], thin), axis, at)


def slice_scatter(d: GraphBuilder, a: Arguments, out: Shape) -> str:
    axis = a["dim"] % len(out)
    places = range(*slice(a["start"], a["end"], a["step"]).indices(out[axis]))
    return _write_strided(d, a["self"], a["src"], axis, places) if places else str(a["self"])


def _write_strided(d: GraphBuilder, x: str, part: str, axis: int, places: range) -> str:
    """Write the tensor `part` to every n-th element of an axis; `places` are the positions."""
    step, rest = places.step, d.shape(x)[axis + 1 :]
    if step == 1:
        return replaced(d, x, part, axis, places.start)
    groups = min(len(places), (d.shape(x)[axis] - places.start) // step)
    if groups:
        end = places.start + groups * step
        shape = d.shape(x)[:axis]
        block = reshape(d, slice_axis(d, x, axis, places.start, end), (*shape, groups, step, *rest))
        firsts = slice_axis(d, part, axis, 0, groups)
        firsts = _broadcast_reshape(d, firsts, (*shape, groups, 1, *rest))
        written = reshape(
            d, replaced(d, block, firsts, axis + 1, 0), (*shape, groups * step, *rest)
        )
        x = replaced(d, x, written, axis, places.start)
    if groups == len(places):
        return x
    return replaced(d, x, slice_axis(d, part, axis, groups, groups + 1), axis, places[-1])


def replaced(d: GraphBuilder, x: str, part: str, axis: int, at: int) -> str:
    """Return x with the elements from index `at` on along an axis replaced by the tensor `part`."""
    n, end = d.shape(x)[axis], at + d.shape(part)[axis]
    sides = [slice_axis(d, x, axis, *span) for span in ((0, at), (end, n)) if span[0] < span[1]]
    return concat(d, [*sides[: at > 0], part, *sides[at > 0 :]], axis)


def _broadcast_reshape(d: GraphBuilder, x: str, shape: Shape) -> str:
    if x in d.constants:
        known = d.array(x)
        one = known.size == 1
        return d.constant(np.full(shape, known.item()) if one else known.reshape(shape))
    return reshape(d, x, shape)


def index_put(d: GraphBuilder, a: Arguments, out: Shape) -> str:
    """Import index_put with a constant mask, or with a constant index list along one axis."""
    if a["accumulate"]:
        raise Unsupported("index_put that adds", ADD_BY_PRODUCT)
    picks = [(axis, name) for axis, name in enumerate(a["indices"]) if name is not None]
    if len(picks) == 1 and _is_boolean_mask(d, picks[0][1]):
        return _write_masked(d, a, out, *picks[0])
    arrays = [weights(d, name, "an index") for _, name in picks]
    if len(picks) != 1 or arrays[0].ndim != 1:
        raise Unsupported("writing by lists on several axes", BY_MASK)
    axis, x, n = picks[0][0], str(a["self"]), out[picks[0][0]]
    rows = (*out[:axis], len(arrays[0]), *out[axis + 1 :])
    values = _broadcast_to(d, a["values"], rows)
    for i, at in enumerate(arrays[0]):
        x = replaced(d, x, slice_axis(d, values, axis, i, i + 1), axis, int(at) % n)
    return x


def _is_boolean_mask(d: GraphBuilder, index: str) -> bool:
    known = d.find_array(index)
    return is_truth(d, index) if known is None else known.dtype == bool


def _write_masked(d: GraphBuilder, a: Arguments, out: Shape, axis: int, mask: str) -> str:
    """Write one value, or one row of values, to all positions where the mask is true."""
    own = d.shape(mask)
    rest = out[axis + len(own) :]
    value, shape = a["values"], d.shape(a["values"])
    if len(shape) > len(rest) and math.prod(shape[: len(shape) - len(rest)]) != 1:
        raise Unsupported("separate values for each element of a mask", BY_MASK)
    thin = (*own, *[1] * len(rest))
    if mask in d.constants:
        whole = np.broadcast_to(d.array(mask).reshape(thin), out[axis:])
        condition = d.constant(whole.astype(np.float32))
    else:
        condition = reshape(d, mask, thin)
    value = reshape(d, value, shape[len(shape) - len(rest) :]) if len(shape) > len(rest) else value
    return where(d, {"condition": condition, "self": value, "other": a["self"]}, out)


def _broadcast_to(d: GraphBuilder, x: str, shape: Shape) -> str:
    if x in d.constants:
        return d.constant(np.broadcast_to(d.array(x), shape))
    own = d.shape(x)
    return expand(d, reshape(d, x, (*[1] * (len(shape) - len(own)), *own)), shape)


def scatter_nd(d: GraphBuilder, a: Arguments, out: Shape) -> str:
    """Import ONNX's ScatterND and ScatterElements with constant indices that form a rectangular
    block."""
    indices, places = a["indices"], np.arange(math.prod(out)).reshape(out)
    if "dim" in a:
        taken = np.take_along_axis(places, indices % out[a["dim"]], a["dim"])
    else:
        wrapped = indices % np.array(out[: indices.shape[-1]])
        taken = places[tuple(np.moveaxis(wrapped, -1, 0))]
    if a["reduction"] != "none":
        raise Unsupported(f"a scatter with reduction={a['reduction']}")
    if a["updates"] in d.constants:
        values, mask = np.zeros(out, np.float32), np.zeros(out, np.float32)
        values.reshape(-1)[taken.reshape(-1)] = d.array(a["updates"]).reshape(-1)
        mask.reshape(-1)[taken.reshape(-1)] = 1.0
        sides = {"self": d.constant(values), "other": a["self"]}
        return where(d, {"condition": d.constant(mask), **sides}, out)
    return _put_block(d, a["self"], a["updates"], places, taken, out)


def _put_block(d: GraphBuilder, x: str, part: str, places: Array, taken: Array, out: Shape) -> str:
    """Write updates to a block of x, or to every n-th element along an axis.

    places   index of each element of x
    taken    index that each update writes, which gives the order of the updates
    """
    corners = [np.unique(index) for index in np.unravel_index(taken.reshape(-1), out)]
    if taken.size == 0:
        raise Unsupported("a scatter into places that are no block in order")
    block = tuple(
        range(int(c[0]), int(c[-1]) + 1, int(c[1] - c[0]) if len(c) > 1 else 1) for c in corners
    )
    if not np.array_equal(places[np.ix_(*block)].reshape(-1), taken.reshape(-1)):
        raise Unsupported("a scatter into places that are no block in order")
    sizes = tuple(map(len, block))
    part = _broadcast_reshape(d, part, sizes)
    cut = [axis for axis, n in enumerate(out) if sizes[axis] != n]
    return _into(d, x, part, block, cut)


def _into(d: GraphBuilder, x: str, part: str, block: Sequence[range], cut: Sequence[int]) -> str:
    """Return x with the tensor `part` written to a block of it, recursively along axes `cut`."""
    if not cut:
        return part
    axis, *rest = cut
    along = block[axis]
    inside = slice_axis(d, x, axis, along.start, along.stop, along.step)
    return _write_strided(d, x, _into(d, inside, part, block, rest), axis, along)


def take_along(d: GraphBuilder, a: Arguments, out: Shape) -> str:
    """Import a gather along an axis; constant indices that are equal along all other axes become
    slices."""
    given, x = a.get("index", a.get("indices")), str(a["self"])
    if a["dim"] is None:
        if given not in d.constants:
            raise Unsupported("indices into all elements")
        return reshape(d, picked(d, _flatten(d, x), 0, d.array(given).reshape(-1)), out)
    if given not in d.constants:
        return elements(d, x, a["dim"], given, out)
    picks = d.array(given)
    axis = a["dim"] % len(out)
    picks = picks % d.shape(x)[axis]
    rows = np.moveaxis(picks, axis, -1).reshape(-1, picks.shape[axis])
    if not (rows == rows[0]).all():
        flat = np.arange(math.prod(d.shape(x))).reshape(d.shape(x))
        for i, n in enumerate(out):
            flat = flat if i == axis else flat.take(range(n), i)
        taken = np.take_along_axis(flat, picks, axis)
        index = tuple(taken.reshape(-1).tolist())
        return reshape(d, d.add("take", _flatten(d, x), axis=0, index=index), out)
    for i, n in enumerate(out):
        x = x if i == axis else slice_axis(d, x, i, 0, n)
    return concat(d, [slice_axis(d, x, axis, int(at), int(at) + 1) for at in rows[0]], axis)


def _flatten(d: GraphBuilder, x: str) -> str:
    return reshape(d, x, (math.prod(d.shape(x)),))


def triangle(d: GraphBuilder, a: Arguments, out: Shape) -> str:
    """Import tril and triu: zeros above, or below, a diagonal."""
    shift = a["diagonal"] or 0
    ones = np.ones(out[-2:], np.float32)
    mask = np.triu(ones, shift) if a["upper"] else np.tril(ones, shift)
    return d.add("mul", a["self"], d.constant(mask))


def trilu(d: GraphBuilder, a: Arguments, out: Shape) -> str:
    shift = a["diagonal"]
    return triangle(d, {**a, "diagonal": shift[0] if shift else 0}, out)


def diagonal(d: GraphBuilder, a: Arguments, out: Shape) -> str:
    """Import a diagonal of two axes, as every (n + 1)-th element of both axes flattened."""
    x, rank = str(a["A"] if "A" in a else a["self"]), len(out) + 1
    axes = (a.get("dim1", 0) % rank, a.get("dim2", 1) % rank)
    x = transpose(d, x, (*(i for i in range(rank) if i not in axes), *axes))
    shift, n, count = a.get("offset", 0), d.shape(x)[-1], out[-1]
    x = reshape(d, x, (*out[:-1], math.prod(d.shape(x)[-2:])))
    start = shift if shift >= 0 else -shift * n
    return slice_axis(d, x, len(out) - 1, start, start + (count - 1) * (n + 1) + 1, n + 1)


def trace(d: GraphBuilder, a: Arguments, out: Shape) -> str:
    ones = diagonal(d, a, (min(d.shape(a["self"])),))
    return d.add("sum", ones, axes=(0,), keepdim=False)


ROWS = (
    ImportRow("mul", lambda d, a, out: triangle(d, {**a, "upper": False}, out), "tril"),
    ImportRow("mul", lambda d, a, out: triangle(d, {**a, "upper": True}, out), "triu"),
    ImportRow("mul", trilu, onnx="Trilu(self, diagonal: ints, *, upper=True)"),
    ImportRow("slice", diagonal, "diagonal linalg_diagonal"),
    ImportRow("slice sum", trace, "trace"),
    ImportRow("slice take", lambda d, a, out: take_along(d, {**a, "dim": None}, out), "take"),
    ImportRow("concat", unfold, "unfold"),
    ImportRow("concat", im2col, "im2col"),
    ImportRow("expand", lambda d, a, out: _broadcast_to(d, a["src"], out), "copy"),
    ImportRow("concat", select_scatter, "select_scatter"),
    ImportRow("concat", slice_scatter, "slice_scatter"),
    ImportRow("concat add", index_put, "index_put"),
    ImportRow("linear add", index_add, "index_add"),
    ImportRow(
        "concat",
        scatter_nd,
        onnx="ScatterND(self, indices: array, updates, *, reduction='none'); "
        "ScatterElements(self, indices: array, updates, *, dim: axis = 0, reduction='none')",
    ),
    ImportRow(
        "concat take gather",
        take_along,
        "gather take_along_dim",
        "GatherElements(self, index, *, dim: axis = 0)",
    ),
)
