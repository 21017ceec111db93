# SPDX-License-Identifier: Apache-2.0
"""ATen calls that move or convert elements, with their values; read without torch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from myoedge.frontend.torch.known_calls import (
    MOST_PARTS,
    CallTable,
    Given,
    axes_of,
    axis_of,
    empty,
    fitting,
    floats,
    require,
    same_size,
)
from myoedge.numerics.arrays import Array

MOVES = CallTable()


@MOVES.exact(
    "alias(self)",
    "detach(self)",
    "detach_(self)",
    "lift_fresh_copy(self)",
    "clone(self, memory_format=None)",
    "contiguous(self, memory_format=0)",
)
def same(a: Given) -> Array:
    return np.asarray(a["self"])


@MOVES.exact(
    "transpose.int(self, dim0, dim1)",
    "swapaxes(self, axis0, axis1)",
    "swapdims(self, dim0, dim1)",
)
def transposed(a: Given) -> Array:
    x, first, second = a.values()
    return np.swapaxes(x, first, second)


@MOVES.exact("mT(self)")
def matrix_transposed(a: Given) -> Array:
    return np.swapaxes(a["self"], -1, -2)


@MOVES.exact("permute(self, dims)")
def permuted(a: Given) -> Array:
    return np.transpose(a["self"], [axis_of(dim, a["self"].ndim) for dim in a["dims"]])


@MOVES.exact(
    "movedim.int(self, source, destination)",
    "movedim.intlist(self, source, destination)",
)
def with_axes_moved(a: Given) -> Array:
    return np.moveaxis(a["self"], a["source"], a["destination"])


@MOVES.exact("reshape(self, shape)", "view(self, size)", "_unsafe_view(self, size)")
def reshaped(a: Given) -> Array:
    x, shape = a.values()
    require(min(shape, default=1) >= -1)
    return np.reshape(x, shape)


@MOVES.exact("view_as(self, other)")
def reshaped_as(a: Given) -> Array:
    return np.reshape(a["self"], a["other"].shape)


@MOVES.exact("flatten.using_ints(self, start_dim=0, end_dim=-1)")
def flattened(a: Given) -> Array:
    x = a["self"]
    first, last = axis_of(a["start_dim"], x.ndim), axis_of(a["end_dim"], x.ndim)
    require(first <= last)
    return np.reshape(x, (*x.shape[:first], -1, *x.shape[last + 1 :]))


@MOVES.exact("unsqueeze(self, dim)")
def unsqueezed(a: Given) -> Array:
    return np.expand_dims(a["self"], a["dim"])


@MOVES.exact("squeeze(self)", "squeeze.dim(self, dim)")
def squeezed(a: Given) -> Array:
    x = a["self"]
    thin = (axis for axis in axes_of(a.get("dim"), x.ndim) if x.shape[axis] == 1)
    return np.asarray(np.squeeze(x, tuple(thin)))


@MOVES.exact("squeeze.dims(self, dim)")
def squeezed_along(a: Given) -> Array:
    require(not isinstance(a["dim"], int))
    return np.asarray(squeezed(a))


@MOVES.exact("expand(self, size, implicit=False)")
def expanded(a: Given) -> Array:
    x, sizes = a["self"], a["size"]
    before = (1,) * (len(sizes) - x.ndim) + x.shape
    require(-1 not in sizes[: len(sizes) - x.ndim])
    return np.broadcast_to(x, [n if s == -1 else s for s, n in zip(sizes, before, strict=True)])


@MOVES.exact("expand_as(self, other)")
def expanded_as(a: Given) -> Array:
    return np.broadcast_to(a["self"], a["other"].shape)


@MOVES.exact("select.int(self, dim, index)")
def selected(a: Given) -> Array:
    return np.asarray(np.moveaxis(a["self"], a["dim"], 0)[a["index"]])


@MOVES.exact("slice.Tensor(self, dim=0, start=None, end=None, step=1)")
def sliced(a: Given) -> Array:
    if a["step"] < 1:
        raise ValueError("a step that is not positive")
    rows = np.moveaxis(a["self"], a["dim"], 0)[a["start"] : a["end"] : a["step"]]
    return np.moveaxis(rows, 0, a["dim"])


@MOVES.exact("narrow(self, dim, start, length)")
def narrowed(a: Given) -> Array:
    rows, start = np.moveaxis(a["self"], a["dim"], 0), a["start"]
    if not 0 <= start <= start + a["length"] <= len(rows):
        raise ValueError("elements outside of the axis")
    return np.moveaxis(rows[start : start + a["length"]], 0, a["dim"])


@MOVES.exact("unbind.int(self, dim=0)")
def unbound(a: Given) -> tuple[Array, ...]:
    require(a["self"].shape[a["dim"]] <= MOST_PARTS)
    return tuple(np.moveaxis(a["self"], a["dim"], 0))


@MOVES.exact("split.Tensor(self, split_size, dim=0)")
def split(a: Given) -> tuple[Array, ...]:
    return parts(a["self"], a["split_size"], a["dim"])


def parts(x: Array, size: int, axis: int) -> tuple[Array, ...]:
    """Return the parts of `size` elements along an axis; the last may have fewer."""
    require(size >= 1, x.shape[axis] <= MOST_PARTS * size)
    return tuple(np.split(x, range(size, x.shape[axis], size), axis))


@MOVES.exact("chunk(self, chunks, dim=0)")
def chunked(a: Given) -> tuple[Array, ...]:
    x, axis = a["self"], a["dim"]
    require(a["chunks"] >= 1)
    return parts(x, -(-x.shape[axis] // a["chunks"]), axis)


@MOVES.exact("split_with_sizes(self, split_sizes, dim=0)")
def split_with_sizes(a: Given) -> tuple[Array, ...]:
    sizes = a["split_sizes"]
    if sum(sizes) != a["self"].shape[a["dim"]]:
        raise ValueError("other parts than the whole")
    return tuple(np.split(a["self"], np.cumsum(sizes)[:-1], a["dim"]))


def margins_of(a: Given) -> list[tuple[int, int]]:
    """Return the elements added before and after each axis. Errors: ValueError for other pads than
    with a constant, and for elements that are taken away."""
    pad, rank = a["pad"], a["self"].ndim
    if a.get("mode", "constant") != "constant" or min(pad) < 0:
        raise ValueError("values from inside, or elements taken away")
    pairs = [*zip(pad[::2], pad[1::2], strict=True)][::-1]
    return [(0, 0)] * (rank - len(pairs)) + pairs


def padded_size(a: Given) -> Array:
    pairs = zip(a["self"].shape, margins_of(a), strict=True)
    return empty([n + before + after for n, (before, after) in pairs], a["self"].dtype)


def padded(a: Given) -> Array:
    floats(a["self"])  # integers might not hold the value
    value = fitting(a["value"] or 0, a["self"].dtype)
    return np.pad(a["self"], margins_of(a), constant_values=value)


MOVES.state(
    ('pad(self, pad, mode="constant", value=None)', "constant_pad_nd(self, pad, value=0)"),
    padded_size,
    padded,
)


@MOVES.exact("flip(self, dims)")
def flipped(a: Given) -> Array:
    return np.flip(a["self"], a["dims"])


def _have_one_type(tensors: Sequence[Array]) -> Sequence[Array]:
    if len({x.dtype for x in tensors}) > 1 or any(x.size == 0 for x in tensors):
        raise TypeError("types are promoted, or a part without elements is left out")
    return tensors


def rolled(a: Given) -> Array:
    return np.roll(a["self"], a["shifts"], a["dims"] or None)


def rolled_size(a: Given) -> Array:
    axes_of(a["dims"], a["self"].ndim)
    require(len(a["shifts"]) == (len(a["dims"]) or 1))
    return np.asarray(a["self"])


MOVES.state(["roll(self, shifts, dims=[])"], rolled_size, rolled)


def joined_size(a: Given) -> Array:
    first, *others = _have_one_type(a["tensors"])
    axis = axis_of(a["dim"], first.ndim)
    for x in others:
        same_size((x.ndim, *x.shape[:axis]), (first.ndim, *first.shape[:axis]))
        same_size(x.shape[axis + 1 :], first.shape[axis + 1 :])
    length = sum(x.shape[axis] for x in a["tensors"])
    return empty((*first.shape[:axis], length, *first.shape[axis + 1 :]), first.dtype)


def joined(a: Given) -> Array:
    return np.concatenate(_have_one_type(a["tensors"]), a["dim"])


MOVES.state(["cat(tensors, dim=0)"], joined_size, joined)


def stacked_size(a: Given) -> Array:
    first, *others = _have_one_type(a["tensors"])
    for x in others:
        same_size(x.shape, first.shape)
    axis = axis_of(a["dim"], first.ndim + 1)
    return empty((*first.shape[:axis], 1 + len(others), *first.shape[axis:]), first.dtype)


def stacked(a: Given) -> Array:
    return np.stack(_have_one_type(a["tensors"]), a["dim"])


MOVES.state(["stack(tensors, dim=0)"], stacked_size, stacked)


@MOVES.exact("unflatten.int(self, dim, sizes)")
def unflattened(a: Given) -> Array:
    x, axis = a["self"], axis_of(a["dim"], a["self"].ndim)
    require(min(a["sizes"], default=1) >= -1)
    return np.reshape(x, (*x.shape[:axis], *a["sizes"], *x.shape[axis + 1 :]))


@MOVES.exact("numpy_T(self)", "t(self)")
def reversed_axes(a: Given) -> Array:
    return np.transpose(a["self"])


def converted_size(a: Given) -> Array:
    return empty(a["self"].shape, a["dtype"])


def converted(a: Given) -> Array:
    """Return elements as another type. Errors: ValueError where they may be out of its range."""
    x, dtype = a["self"], a["dtype"]
    widens = dtype.kind in "fb" or (dtype == np.int64 and x.dtype.kind in "iub")
    if dtype != x.dtype and not widens:
        raise ValueError("numbers that may be out of range")
    return np.asarray(x, dtype)


MOVES.state(
    ["to.dtype(self, dtype, non_blocking=False, copy=False, memory_format=None)"],
    converted_size,
    converted,
)
