# SPDX-License-Identifier: Apache-2.0
"""Import rows of ATen calls that move elements: views, cuts, joins, copies, padding."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from myoedge.graph.ir import Shape
from myoedge.operators.graph_builder import (
    GraphBuilder,
    Unsupported,
    as_tuple,
    channels_first,
    channels_last,
    concat,
    reshape,
    slice_axis,
    transpose,
    weights,
)
from myoedge.operators.import_rows import (
    Arguments,
    AtenRow,
    first,
)


def same(b: GraphBuilder, a: Arguments, out: Any) -> str:
    return str(next(value for value in a.values()))


def view(d: GraphBuilder, a: Arguments, out: Shape) -> str:
    return reshape(d, first(a), out)


def permute(d: GraphBuilder, a: Arguments, out: Any) -> str:
    rank = len(d.shape(a["self"]))
    return transpose(d, a["self"], [axis % rank for axis in a["dims"]])


def reverse(d: GraphBuilder, a: Arguments, out: Any) -> str:
    """x.T of any rank."""
    return transpose(d, a["self"], range(len(d.shape(a["self"])))[::-1])


def swap(d: GraphBuilder, a: Arguments, out: Any) -> str:
    x = first(a)
    order = list(range(len(d.shape(x))))
    if len(order) > 1:
        i, j = (a.get(n, a.get(m, k)) for n, m, k in (("dim0", "axis0", -2), ("dim1", "axis1", -1)))
        order[i], order[j] = order[j], order[i]
    return transpose(d, x, order)


def movedim(d: GraphBuilder, a: Arguments, out: Any) -> str:
    rank = len(d.shape(a["self"]))
    source, target = (
        [axis % rank for axis in as_tuple(a[n], 1)] for n in ("source", "destination")
    )
    order = [axis for axis in range(rank) if axis not in source]
    for place, axis in sorted(zip(target, source, strict=True)):
        order.insert(place, axis)
    return transpose(d, a["self"], order)


def cut(d: GraphBuilder, a: Arguments, out: Any) -> str:
    x = a["self"]
    axis = a["dim"] % len(d.shape(x))
    start, stop, step = slice(a["start"], a["end"], a["step"]).indices(d.shape(x)[axis])
    return slice_axis(d, x, axis, start, max(start, stop), step)


def narrow(d: GraphBuilder, a: Arguments, out: Any) -> str:
    x = a["self"]
    axis = a["dim"] % len(d.shape(x))
    start = a["start"] % d.shape(x)[axis]
    return slice_axis(d, x, axis, start, start + a["length"])


def select(d: GraphBuilder, a: Arguments, out: Shape) -> str:
    x = a["self"]
    axis = a["dim"] % len(d.shape(x))
    index = a["index"] % d.shape(x)[axis]
    return reshape(d, slice_axis(d, x, axis, index, index + 1), out)


def parts(d: GraphBuilder, a: Arguments, out: Sequence[Shape]) -> tuple[str, ...]:
    """split, chunk, tensor_split, unbind: the output shapes say where to cut."""
    x = a["self"]
    axis = a["dim"] % len(d.shape(x))
    keeps = len(out[0]) == len(d.shape(x))
    parts, start = [], 0
    for shape in out:
        size = shape[axis] if keeps else 1
        parts.append(reshape(d, slice_axis(d, x, axis, start, start + size), shape))
        start += size
    return tuple(parts)


def flip(d: GraphBuilder, a: Arguments, out: Any) -> str:
    x = a["self"]
    for dim in a["dims"]:
        axis = dim % len(d.shape(x))
        x = slice_axis(d, x, axis, d.shape(x)[axis] - 1, -1, -1)
    return str(x)


def roll(d: GraphBuilder, a: Arguments, out: Shape) -> str:
    x = a["self"]
    whole = d.shape(x)
    if not a["dims"]:
        x = reshape(d, x, (math.prod(whole),))
    for shift, dim in zip(a["shifts"], a["dims"] or [0], strict=True):
        axis = dim % len(d.shape(x))
        n = d.shape(x)[axis]
        cut = -shift % n
        if cut:
            x = concat(d, [slice_axis(d, x, axis, cut, n), slice_axis(d, x, axis, 0, cut)], axis)
    return reshape(d, x, whole)


def cat(d: GraphBuilder, a: Arguments, out: Any) -> str:
    parts = [x for x in a["tensors"] if d.shape(x) != (0,)]
    return concat(d, parts, a["dim"] % len(d.shape(parts[0])))


def stack(d: GraphBuilder, a: Arguments, out: Shape) -> str:
    axis = a["dim"] % len(out)
    thin = tuple(1 if i == axis else n for i, n in enumerate(out))
    return concat(d, [reshape(d, x, thin) for x in a["tensors"]], axis)


def expand(d: GraphBuilder, a: Arguments, out: Shape) -> str:
    x = first(a)
    return x if d.shape(x) == tuple(out) else d.add("expand", x, shape=tuple(out))


def repeat(d: GraphBuilder, a: Arguments, out: Shape) -> str:
    counts = a["repeats"] if "repeats" in a else a["dims"]
    x = a["self"]
    x = reshape(d, x, ((1,) * (len(out) - len(d.shape(x))) + d.shape(x)))
    return _copied(d, x, [1] * (len(out) - len(counts)) + list(counts), whole=True)


def repeat_each(d: GraphBuilder, a: Arguments, out: Shape) -> str:
    """repeat_interleave by a number: every element is followed by its copies."""
    x = a["self"]
    if a["dim"] is None:
        x = reshape(d, x, (math.prod(d.shape(x)),))
    counts = [1] * len(d.shape(x))
    counts[a["dim"] or 0] = a["repeats"]
    return _copied(d, x, counts, whole=False)


def upsample_nearest(d: GraphBuilder, a: Arguments, out: Shape) -> str:
    """[N, C, *S] by whole factors, channels last and back."""
    x, rank = a["input"], len(out)
    sizes = list(zip(d.shape(x)[2:], out[2:], strict=True))
    if any(wanted % n for n, wanted in sizes):
        raise Unsupported("nearest-neighbour upsampling by a factor that is not whole")
    counts = [1, *(wanted // n for n, wanted in sizes), 1]
    return channels_first(d, _copied(d, transpose(d, x, channels_last(rank)), counts, whole=False))


def _copied(d: GraphBuilder, x: str, counts: Sequence[int], *, whole: bool) -> str:
    """Each axis `count` times, the axis as a whole (abab) or its elements (aabb), in one expand."""
    shape = d.shape(x)
    pairs = [(c, n) if whole else (n, c) for n, c in zip(shape, counts, strict=True)]
    thin = [(1, n) if whole else (n, 1) for n in shape]
    if all(count == 1 for count in counts):
        return x
    y = d.add("expand", reshape(d, x, _flat(thin)), shape=_flat(pairs))
    return reshape(d, y, [n * c for n, c in zip(shape, counts, strict=True)])


def _flat(pairs: Sequence[tuple[int, int]]) -> Shape:
    return tuple(n for pair in pairs for n in pair)


def index_select(d: GraphBuilder, a: Arguments, out: Shape) -> str:
    return _picked(d, a["self"], a["dim"], a["index"])


def index(d: GraphBuilder, a: Arguments, out: Shape) -> str:
    """x[:, [0, 2, 5]]: electrodes picked or reordered by a constant list on one axis."""
    given = [(axis, i) for axis, i in enumerate(a["indices"]) if i is not None]
    if len(given) != 1:
        raise Unsupported("indexing by lists on several axes")
    return _picked(d, a["self"], *given[0])


def _picked(d: GraphBuilder, x: str, dim: int, name: str) -> str:
    picks = weights(d, name, "an index")
    if picks.dtype.kind not in "iu" or picks.ndim != 1:
        raise Unsupported("indexing by anything but a list of whole numbers")
    axis = dim % len(d.shape(x))
    order = [int(i) % d.shape(x)[axis] for i in picks]
    return concat(d, [slice_axis(d, x, axis, *run) for run in _runs(order)], axis)


def _runs(order: Sequence[int]) -> list[tuple[int, int]]:
    """[3, 4, 5, 0] -> [(3, 6), (0, 1)]"""
    runs: list[tuple[int, int]] = []
    for i in order:
        if runs and runs[-1][1] == i:
            runs[-1] = (runs[-1][0], i + 1)
        else:
            runs.append((i, i + 1))
    return runs


def filled(value: float | None) -> AtenRow:
    """A constant of the shape of a call's result; None: the call says which."""

    def row(d: GraphBuilder, a: Arguments, out: Shape) -> str:
        number = float(a["fill_value"]) if value is None else value
        return d.constant(np.full(out, number, np.float32))

    return row


def pad(d: GraphBuilder, a: Arguments, out: Shape) -> str:
    """torch lists (before, after) from the last axis backwards; negative ones cut."""
    x, flat, mode = a["self"], list(a["pad"]), a.get("mode", "constant")
    pairs = list(zip(flat[0::2], flat[1::2], strict=True))
    pads = [(0, 0)] * (len(d.shape(x)) - len(pairs)) + pairs[::-1]
    for axis, (before, after) in enumerate(pads):
        stop = d.shape(x)[axis] + min(after, 0)
        x = slice_axis(d, x, axis, max(-before, 0), stop)
        if mode != "constant":
            x = _mirrored(d, x, axis, max(before, 0), max(after, 0), mode)
    positive = tuple((max(before, 0), max(after, 0)) for before, after in pads)
    if mode != "constant" or not any(map(any, positive)):
        return str(x)
    value = float(a.get("value") or 0.0)
    if not math.isfinite(value):
        raise Unsupported(f"padding with {value}")
    return d.add("pad", x, pads=positive, value=value)


def _mirrored(d: GraphBuilder, x: str, axis: int, before: int, after: int, mode: str) -> str:
    """Padding by the tensor's own elements."""
    n = d.shape(x)[axis]

    def part(count: int, start: int, stop: int, step: int = 1) -> list[str]:
        return [slice_axis(d, x, axis, start, stop, step)] if count else []

    def edge(count: int, at: int) -> list[str]:
        counts = [count if i == axis else 1 for i in range(len(d.shape(x)))]
        return [_copied(d, y, counts, whole=True) for y in part(count, at, at + 1)]

    if mode == "replicate":
        front, behind = edge(before, 0), edge(after, n - 1)
    elif mode == "reflect":
        front, behind = part(before, before, 0, -1), part(after, n - 2, n - 2 - after, -1)
    else:
        front, behind = part(before, n - before, n), part(after, 0, after)
    return concat(d, [*front, x, *behind], axis)
