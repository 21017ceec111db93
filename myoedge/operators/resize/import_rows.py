# SPDX-License-Identifier: Apache-2.0
"""Import of interpolation and upsampling, axis by axis."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from myoedge.graph.ir import Shape
from myoedge.numerics.arrays import Array
from myoedge.operators.graph_builder import (
    GraphBuilder,
    Unsupported,
    channels_first,
    channels_last,
    slice_axis,
    transpose,
)
from myoedge.operators.import_rows import Arguments, ImportRow, Row, first
from myoedge.operators.library.import_moves import copied
from myoedge.operators.resize.coordinates import (
    PLACES,
    ResizedAxis,
    cubic_weights,
    linear_weights,
    nearest,
    nearest_of_torch,
    neighbours,
)

FEW = 16  # elements of the last axis up to which one matrix of all weights is as fast
CUBIC_OF_TORCH = -0.75
Axes = Sequence[ResizedAxis]


def picked(d: GraphBuilder, x: str, indices: Sequence[Array]) -> str:
    """Select elements with one index list per axis, each as a repetition, slice or take."""
    shape, rank = d.shape(x), len(indices)
    counts = [len(index) // n for index, n in zip(indices, shape, strict=True)]
    repeats = [
        count > 0 and np.array_equal(index, np.arange(n).repeat(count))
        for index, n, count in zip(indices, shape, counts, strict=True)
    ]
    if all(repeats) and rank > 2 and counts[:2] == [1, 1]:
        x = transpose(d, x, channels_last(rank))
        return channels_first(d, copied(d, x, [counts[0], *counts[2:], counts[1]], whole=False))
    for axis, (index, count, repeat) in enumerate(zip(indices, counts, repeats, strict=True)):
        if repeat:
            along = [1] * axis + [count] + [1] * (rank - axis - 1)
            x = copied(d, x, along, whole=False)
        else:
            x = _select_along(d, x, axis, index)
    return x


def _select_along(d: GraphBuilder, x: str, axis: int, index: Array) -> str:
    """Select elements along one axis: a slice if they are equally spaced, otherwise take."""
    steps = {*np.diff(index).tolist()} or {1}
    if len(steps) == 1 and min(steps) > 0:
        return slice_axis(d, x, axis, int(index[0]), int(index[-1]) + 1, steps.pop())
    return d.add("take", x, axis=axis, index=tuple(index.tolist()))


def interpolated(
    d: GraphBuilder,
    x: str,
    axes: Axes,
    weights_at: Callable[[Array], Array],
    *,
    spans: Sequence[tuple[int, int]] = (),
    outside: bool = True,
) -> str:
    """Interpolate x along every axis, starting with the axis that shrinks most; return the result's
    name.

    axes         the resized axes
    weights_at   coordinates of results -> weights of their neighbours
    spans        range of required results per axis; () for all
    outside      whether positions outside the tensor repeat its first or last element
    """
    order = sorted(range(len(axes)), key=lambda i: axes[i].wanted / axes[i].n)
    for i in order:
        place = axes[i].places()[slice(*spans[i]) if spans else slice(None)]
        if not np.array_equal(place, np.arange(axes[i].n)):
            w = neighbours(axes[i], place, weights_at(place), outside=outside)
            x = d.add("resize", x, d.constant(w.weights), axis=i, starts=w.starts)
    return x


def _torch_resized_axes(a: Arguments, shape: Shape, out: Shape, mode: str) -> list[ResizedAxis]:
    """Return the resized axes of torch's [N, C, *S]; a scale factor in the call determines the
    step, except with aligned corners."""
    spatial = "dhw"[5 - len(out) :]
    names = ["scales"] if len(spatial) == 1 else [f"scales_{letter}" for letter in spatial]
    factors = a.get("scale_factors") or [a.get(name) for name in names]
    if mode == "align_corners":
        factors = [None] * len(spatial)
    rows = zip(shape, out, [None, None, *factors], strict=True)
    return [ResizedAxis(n, new, 1.0 / f if f else n / new, mode) for n, new, f in rows]


def upsample_nearest(first_place: float) -> Row:
    """Return a function that imports torch's upsample_nearest.

    first_place   coordinate of the first result: 0, or 0.5 for nearest-exact
    """

    def row(d: GraphBuilder, a: Arguments, out: Shape) -> str:
        axes = _torch_resized_axes(a, d.shape(first(a)), out, "asymmetric")
        return picked(d, first(a), [nearest_of_torch(axis, first_place) for axis in axes])

    return row


def upsample_linear(d: GraphBuilder, a: Arguments, out: Shape) -> str:
    x, mode = first(a), "align_corners" if a["align_corners"] else "half_pixel"
    axes = _torch_resized_axes(a, d.shape(x), out, mode)
    if len(axes) > 3 or axes[-1].n > FEW:
        return interpolated(d, x, axes, linear_weights)
    place = axes[-1].places()
    w = neighbours(axes[-1], place, linear_weights(place), outside=True)
    matrix = np.zeros((len(place), axes[-1].n), np.float32)
    for tap, column in enumerate(w.weights.T):
        matrix[np.arange(len(place)), np.array(w.starts) + tap] = column
    return d.add("linear", x, d.constant(matrix))


def upsample_cubic(d: GraphBuilder, a: Arguments, out: Shape) -> str:
    mode = "align_corners" if a["align_corners"] else "half_pixel"
    axes = _torch_resized_axes(a, d.shape(first(a)), out, mode)
    return interpolated(d, first(a), axes, partial(cubic_weights, a=CUBIC_OF_TORCH))


def resize(d: GraphBuilder, a: Arguments, out: Shape) -> str:
    """Import ONNX's Resize in any mode; results outside a crop region are padded."""
    x, mode = a["self"], a["mode"]
    if a["antialias"] or mode not in ("nearest", "linear", "cubic"):
        raise Unsupported("antialias" if a["antialias"] else f"mode {mode}")
    axes = _onnx_resized_axes(a, d.shape(x), out)
    spans = [*map(_unclipped_results, axes)]
    if mode == "nearest":
        rounded = (nearest(axis, a["nearest_mode"]) for axis in axes)
        x = picked(d, x, [i[slice(*span)] for i, span in zip(rounded, spans, strict=True)])
    elif mode == "linear":
        x = interpolated(d, x, axes, linear_weights, spans=spans)
    else:
        cubic, outside = partial(cubic_weights, a=a["cubic_coeff_a"]), not a["exclude_outside"]
        x = interpolated(d, x, axes, cubic, spans=spans, outside=outside)
    pads = tuple((low, axis.wanted - high) for axis, (low, high) in zip(axes, spans, strict=True))
    value = float(a["extrapolation_value"])
    return d.add("pad", x, pads=pads, value=value) if any(map(any, pads)) else str(x)


def _unclipped_results(axis: ResizedAxis) -> tuple[int, int]:
    """Return the range (first, end) of results that are inside the axis; all results for modes that
    repeat the edge."""
    if axis.mode != "tf_crop_and_resize":
        return 0, axis.wanted
    place = axis.places()
    (found,) = np.nonzero((place >= 0) & (place <= axis.n - 1))
    if not found.size:
        raise Unsupported("a region outside of the tensor")
    return int(found[0]), int(found[-1]) + 1


def _onnx_resized_axes(a: Arguments, shape: Shape, out: Shape) -> list[ResizedAxis]:
    """Return all axes of an ONNX Resize; an axis that is not resized has step 1."""
    mode, rank = a["coordinate_transformation_mode"], len(shape)
    if mode not in PLACES:
        raise Unsupported(f"coordinate_transformation_mode {mode}")
    chosen = [axis % rank for axis in a["axes"] or range(rank)]
    steps = _onnx_steps(a, chosen, shape, out)
    regions = dict.fromkeys(chosen, (0.0, 1.0))
    if mode == "tf_crop_and_resize":
        if a["roi"] is None or a["roi"].size != 2 * len(chosen):
            raise Unsupported("a region without a start and an end for each axis")
        roi = a["roi"].reshape(2, -1).T.tolist()
        regions = {axis: (start, end) for axis, (start, end) in zip(chosen, roi, strict=True)}
    return [
        ResizedAxis(n, new, steps[i], mode, regions[i])
        if i in steps
        else ResizedAxis(n, new, 1.0, "asymmetric")
        for i, (n, new) in enumerate(zip(shape, out, strict=True))
    ]


def _onnx_steps(a: Arguments, chosen: Sequence[int], shape: Shape, out: Shape) -> dict[int, float]:
    """Return the steps of the resized axes, in input elements per result."""
    if a["scales"] is not None and a["scales"].size:
        return {axis: 1.0 / x for axis, x in zip(chosen, a["scales"].tolist(), strict=True)}
    if a["keep_aspect_ratio_policy"] == "stretch":
        return {axis: shape[axis] / out[axis] for axis in chosen}
    larger = a["keep_aspect_ratio_policy"] == "not_smaller"
    each = [shape[axis] / n for axis, n in zip(chosen, a["sizes"], strict=True)]
    return dict.fromkeys(chosen, min(each) if larger else max(each))


def overloads(names: str) -> str:
    """Return the ATen names of an upsampling call: with lists of sizes and factors, and with
    scalars."""
    return " ".join(f"{name}.vec {name}" for name in names.split())


ROWS = (
    ImportRow(
        "expand take",
        upsample_nearest(0.0),
        overloads("upsample_nearest1d upsample_nearest2d upsample_nearest3d"),
    ),
    ImportRow(
        "expand take",
        upsample_nearest(0.5),
        overloads("_upsample_nearest_exact1d _upsample_nearest_exact2d _upsample_nearest_exact3d"),
    ),
    ImportRow(
        "linear resize",
        upsample_linear,
        overloads("upsample_linear1d upsample_bilinear2d upsample_trilinear3d"),
    ),
    ImportRow("resize", upsample_cubic, overloads("upsample_bicubic2d")),
    ImportRow(
        "expand take resize",
        resize,
        onnx="Resize(self, roi: array, scales: array, sizes: ints, *, mode='nearest', axes=None, "
        "coordinate_transformation_mode='half_pixel', nearest_mode='round_prefer_floor', "
        "keep_aspect_ratio_policy='stretch', antialias=False, cubic_coeff_a=-0.75, "
        "exclude_outside=False, extrapolation_value=0.0)",
    ),
)
