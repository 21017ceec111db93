# SPDX-License-Identifier: Apache-2.0
"""Pooling and reductions; export as ONNX nodes (pools for regular windows, otherwise one node per
window), and random test cases."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from myoedge.graph.ir import Shape
from myoedge.numerics.arrays import Array
from myoedge.operators.base import QuantizedNode
from myoedge.operators.cases import Draw, DrawnUse
from myoedge.operators.library.reductions import Window, adaptive, regular
from myoedge.operators.qdq import Write, Writer, channels_first, channels_last, sliced, whole


def pool(op: str, d: Draw) -> DrawnUse:
    if d.integer(0, 7) == 0:
        return _draw_dilated_case(op, d)
    rank = d.pick([1, 2, 2])
    windows = _draw_adaptive if d.integer(0, 3) == 0 else _draw_regular
    spatial, attrs, call = windows(d, op, rank)
    shape, common = (
        (d.pick([1, 1, 2]), *spatial, d.integer(1, 6)),
        d.common(1, act=op != "max_pool"),
    )
    text = f"x = x0.movedim(-1, 1)\n{call}.movedim(1, -1)"
    return DrawnUse(op, attrs, (shape,), text, int16=d.pick([(), (0,)]), **common)


def _draw_dilated_case(op: str, d: Draw) -> DrawnUse:
    """Return a random test case of a dilated pool along one axis, whose windows do not start in
    ascending order."""
    size, stride, dilation = d.integer(2, 4), d.integer(1, 3), d.integer(2, 3)
    n = (size - 1) * dilation + d.integer(1, 9)
    windows = regular(n, size, stride, (1, 0), dilation, ceil=d.flag(), count_pad=d.flag())
    one = "x0[:, low:high].amax(1)" if op == "max_pool" else "x0[:, low:high].sum(1) / divisor"
    text = f"torch.stack([{one} for low, high, divisor in windows[0]], 1)"
    shape = (d.pick([1, 1, 2]), n, d.integer(1, 6))
    common = d.common(1, act=op != "max_pool")
    return DrawnUse(op, {"windows": (windows,)}, (shape,), text, int16=d.pick([(), (0,)]), **common)


def _draw_adaptive(d: Draw, op: str, rank: int) -> tuple[Shape, dict[str, Any], str]:
    """Draw an adaptive pool; return (input shape, attributes, call of the torch oracle)."""
    spatial = tuple(d.integer(1, 9) for _ in range(rank))
    out = tuple(d.integer(1, 6) for _ in range(rank))
    windows = tuple(adaptive(n, m) for n, m in zip(spatial, out, strict=True))
    return spatial, {"windows": windows}, f"F.adaptive_{op}{rank}d(x, {out})"


def _draw_regular(d: Draw, op: str, rank: int) -> tuple[Shape, dict[str, Any], str]:
    """Draw a regular pool, sometimes with a divisor; return (input shape, attributes with the
    windows, call of the torch oracle)."""
    axes = []
    for _ in range(rank):
        size = d.integer(1, 5)
        pad = d.integer(0, size // 2)
        axes.append((d.integer(max(1, size - 2 * pad), 8), size, d.integer(1, 4), pad))
    spatial, sizes, stride, padding = zip(*axes, strict=True)
    ceil, count = d.flag(), d.flag()
    windows = tuple(regular(*axis, ceil=ceil, count_pad=count) for axis in axes)
    attrs: dict[str, Any] = {"windows": windows}
    options = {"stride": stride, "padding": padding, "ceil_mode": ceil}
    if op == "avg_pool":
        options["count_include_pad"] = count
        if rank == 2 and d.integer(0, 3) == 0:
            attrs["divisor"] = options["divisor_override"] = d.integer(1, 12)
    named = ", ".join(f"{name}={value}" for name, value in options.items())
    return spatial, attrs, f"F.{op}{rank}d(x, {sizes}, {named})"


def reduction(op: str, d: Draw) -> DrawnUse:
    """Return a random test case of a mean or sum (`op`) over adjacent axes; with int16 operands the
    output's range is at least half of the results'."""
    shape = d.pick([d.shape(1, 5), d.shape(1, 5), (2, 200, 3)])
    first = d.integer(0, len(shape) - 1)
    axes = tuple(range(first, d.integer(first + 1, len(shape))))
    attrs, text = {"axes": axes, "keepdim": d.flag()}, f"torch.{op}(x0, axes, keepdim)"
    int16, common = d.pick([(), (0,)]), d.common(1, act=True)
    if int16:
        common["factors"] = (max(common["factors"][0], 0.5), common["factors"][1])
    return DrawnUse(op, attrs, (shape,), text, int16=int16, **common)


CASES = {
    **{op: partial(pool, op) for op in ("max_pool", "avg_pool")},
    **{op: partial(reduction, op) for op in ("mean", "sum")},
}


def _reduce_test_case(op: str) -> Write:
    def write(w: Writer, step: QuantizedNode, x: str) -> str:
        kept = int(step.attrs["keepdim"])
        return w.node(op, x, whole(w, *step.attrs["axes"]), keepdims=kept)

    return write


Axis = Sequence[Window]


@dataclass(frozen=True, slots=True)
class PoolWindow:
    """The regular windows of a pool along one axis, as ONNX's attributes.

    size            kernel size
    before, after   padding
    """

    size: int
    stride: int
    before: int
    after: int


def onnx_window(axis: Axis, n: int) -> PoolWindow | None:
    """Return the ONNX attributes that give exactly these windows over n elements; None if no
    attributes do."""
    return next((g for g in _onnx_grids(axis, n) if _grid_matches_windows(g, axis, n)), None)


def _onnx_grids(axis: Axis, n: int) -> Iterator[PoolWindow]:
    """Yield candidate ONNX attributes for a pool's windows, from a window that is not clipped."""
    size = max(high - low for low, high, _ in axis)
    whole = next(i for i, (low, high, _) in enumerate(axis) if high - low == size)
    pairs = list(itertools.pairwise(axis))
    strides = [b[0] - a[0] for a, b in pairs] + [b[1] - a[1] for a, b in pairs] or [1]
    for stride in dict.fromkeys(strides):
        before = whole * stride - axis[whole][0]
        after = max((len(axis) - 1) * stride + size - before - n, 0)
        yield PoolWindow(size, stride, before, after)


def _grid_matches_windows(g: PoolWindow, axis: Axis, n: int) -> bool:
    """Return whether ONNX's pool with the attributes g has exactly the windows of `axis`, with
    padding smaller than a window."""
    if g.stride < 1 or not (0 <= g.before < g.size and g.after < g.size):
        return False
    if (n + g.before + g.after - g.size) // g.stride + 1 != len(axis):
        return False
    starts = (i * g.stride - g.before for i in range(len(axis)))
    made = [(max(start, 0), min(start + g.size, n)) for start in starts]
    return made == [(low, high) for low, high, _ in axis]


def _grids_per_axis(step: QuantizedNode) -> list[PoolWindow] | None:
    spatial = step.shapes[0][1:-1]
    windows = [onnx_window(*pair) for pair in zip(step.attrs["windows"], spatial, strict=True)]
    grids = [g for g in windows if g is not None]
    return grids if len(grids) == len(windows) and 1 <= len(grids) <= 3 else None


def _write_max_pool(w: Writer, step: QuantizedNode, x: str) -> str:
    grids = _grids_per_axis(step)
    if grids is None:
        return _write_axis_by_axis(w, step, x, "ReduceMax")
    return _write_onnx_pool(w, "MaxPool", grids, x, len(step.out))


def _write_avg_pool(w: Writer, step: QuantizedNode, x: str) -> str:
    """Write an average pool, with a correction factor if padding is counted."""
    windows, grids = step.attrs["windows"], _grids_per_axis(step)
    inside = _products_over_axes(step, [[high - low for low, high, _ in axis] for axis in windows])
    divisors = _products_over_axes(step, [[window[2] for window in axis] for axis in windows])
    if step.attrs.get("divisor"):
        divisors = np.full(inside.shape, float(step.attrs["divisor"]))
    if grids is None:
        y, factor = _write_axis_by_axis(w, step, x, "ReduceSum"), 1.0 / divisors
    else:
        y, factor = _write_onnx_pool(w, "AveragePool", grids, x, len(step.out)), inside / divisors
        if np.array_equal(divisors, inside):
            return y
    return w.node("Mul", y, w.constant(factor.astype(np.float32)))


def _products_over_axes(step: QuantizedNode, per_axis: Sequence[Sequence[int]]) -> Array:
    """Return, for every output position, the product of one number per axis, float64 [*T, 1]."""
    shape: Shape = (*step.out[1:-1], 1)
    return np.array([math.prod(c) for c in itertools.product(*per_axis)], float).reshape(shape)


def _write_onnx_pool(w: Writer, op: str, grids: Sequence[PoolWindow], x: str, rank: int) -> str:
    y = w.node(
        op,
        channels_first(w, x, rank),
        kernel_shape=[g.size for g in grids],
        strides=[g.stride for g in grids],
        pads=[*(g.before for g in grids), *(g.after for g in grids)],
    )
    return channels_last(w, y, rank)


def _write_axis_by_axis(w: Writer, step: QuantizedNode, x: str, op: str) -> str:
    """Write a pool axis by axis: slice out every window, reduce it, concatenate the results."""
    for d, axis in enumerate(step.attrs["windows"], start=1):
        cuts = [sliced(w, x, low, high, d) for low, high, _ in axis]
        x = w.node("Concat", *(w.node(op, cut, whole(w, d), keepdims=1) for cut in cuts), axis=d)
    return x


WRITE: Mapping[str, Write] = {
    "avg_pool": _write_avg_pool,
    "max_pool": _write_max_pool,
    "mean": _reduce_test_case("ReduceMean"),
    "sum": _reduce_test_case("ReduceSum"),
}
