# SPDX-License-Identifier: Apache-2.0
"""Copies of elements and of axes, and nearest-neighbour resizing, which copies or picks them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from myoedge.graph.ir import Shape
from myoedge.numerics.arrays import Array
from myoedge.operators.graph_builder import (
    GraphBuilder,
    Unsupported,
    channels_first,
    channels_last,
    reshape,
    slice_axis,
    transpose,
)
from myoedge.operators.import_rows import Arguments


def copied(d: GraphBuilder, x: str, counts: Sequence[int], *, whole: bool) -> str:
    """Each axis `count` times, the axis as a whole (abab) or its elements (aabb), in one expand."""
    shape = d.shape(x)
    if all(count == 1 for count in counts):
        return x
    pairs = [(c, n) if whole else (n, c) for n, c in zip(shape, counts, strict=True)]
    thin = [n for extent in shape for n in ((1, extent) if whole else (extent, 1))]
    y = d.add("expand", reshape(d, x, thin), shape=tuple(n for pair in pairs for n in pair))
    return reshape(d, y, [n * c for n, c in pairs])


def upsample_nearest(d: GraphBuilder, a: Arguments, out: Shape) -> str:
    """[N, C, *S] by whole factors, channels last and back."""
    x, rank = a["input"], len(out)
    sizes = list(zip(d.shape(x)[2:], out[2:], strict=True))
    if any(wanted % n for n, wanted in sizes):
        raise Unsupported("nearest-neighbour upsampling by a factor that is not whole")
    counts = [1, *(wanted // n for n, wanted in sizes), 1]
    return channels_first(d, copied(d, transpose(d, x, channels_last(rank)), counts, whole=False))


def resize(d: GraphBuilder, a: Arguments, out: Shape) -> str:
    """Nearest neighbours: elements copied a whole number of times, or picked at equal steps."""
    x, shape = a["self"], d.shape(a["self"])
    if a["mode"] != "nearest":
        raise Unsupported(f"mode {a['mode']}")
    if a["keep_aspect_ratio_policy"] != "stretch":
        raise Unsupported("keep_aspect_ratio_policy")
    sizes = zip(shape, out, _scales(a, shape, out), strict=True)
    maps = [_nearest(a, *axis) for axis in sizes]
    counts = [len(where) // n for where, n in zip(maps, shape, strict=True)]
    if all(
        count and np.array_equal(where, np.arange(n).repeat(count))
        for where, n, count in zip(maps, shape, counts, strict=True)
    ):
        if len(shape) > 2 and out[:2] == shape[:2]:
            return upsample_nearest(d, {"input": x}, out)
        for axis, count in enumerate(counts):
            x = copied(d, x, [count if i == axis else 1 for i in range(len(shape))], whole=False)
        return str(x)
    for axis, where in enumerate(maps):
        steps = {int(n) for n in np.diff(where)} or {1}
        if len(steps) > 1 or 0 in steps:
            raise Unsupported("nearest-neighbour resizing by a factor that is not whole")
        x = slice_axis(d, x, axis, int(where[0]), int(where[-1]) + 1, steps.pop())
    return str(x)


def _scales(a: Arguments, shape: Shape, out: Shape) -> list[float]:
    """The factor of each axis; with sizes it follows from them."""
    scales_given = a["scales"]
    if scales_given is None or not scales_given.size:
        return [wanted / n for n, wanted in zip(shape, out, strict=True)]
    axes = [axis % len(out) for axis in a["axes"] or range(len(out))]
    scales = dict(zip(axes, scales_given.tolist(), strict=True))
    return [float(scales.get(axis, 1.0)) for axis in range(len(out))]


def _nearest(a: Arguments, n: int, wanted: int, scale: float) -> Array:
    """Input element of every output element of an axis; onnx/defs, operator Resize."""
    at, way = np.arange(wanted, dtype=np.float64), a["coordinate_transformation_mode"]
    if way == "align_corners":
        place = at * (n - 1) / (wanted - 1) if wanted > 1 else 0 * at
    elif way == "asymmetric":
        place = at / scale
    elif way == "half_pixel" or (way == "pytorch_half_pixel" and wanted > 1):
        place = (at + 0.5) / scale - 0.5
    elif way == "pytorch_half_pixel":
        place = 0 * at
    else:
        raise Unsupported(f"coordinate_transformation_mode {way}")
    low, ties = np.floor(place), place - np.floor(place) == 0.5
    nearest = {
        "floor": low,
        "ceil": np.ceil(place),
        "round_prefer_ceil": np.where(ties, low + 1, np.floor(place + 0.5)),
    }.get(a["nearest_mode"], np.where(ties, low, np.floor(place + 0.5)))
    return np.clip(nearest, 0, n - 1).astype(np.int64)
