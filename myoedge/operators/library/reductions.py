# SPDX-License-Identifier: Apache-2.0
"""Import of reductions over axes, and windows of pools along an axis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from myoedge.graph.ir import Shape
from myoedge.numerics.arrays import outer_inner
from myoedge.operators.graph_builder import (
    GraphBuilder,
    as_tuple,
    channels_first,
    channels_last,
    reshape,
    transpose,
)
from myoedge.operators.import_rows import Arguments, Row, first
from myoedge.operators.library.import_moves import before_infinite_pad


def reduction(op: str, before: Sequence[Any] = (), after: Sequence[Any] = ()) -> Row:
    """Return a function that imports a reduction (`op`); without an axes argument, all axes are
    reduced.

    before, after   pointwise functions before and after the reduction
    """

    def row(d: GraphBuilder, a: Arguments, out: Shape) -> str:
        axes, x = {*reduced_axes(d, a)}, first(a)
        if op == "max_pool":
            inner, pads = before_infinite_pad(d, x, math.inf if before else -math.inf)
            x = inner if axes.issuperset(i for i, pair in enumerate(pads) if any(pair)) else x
        x = d.add("table", x, chain=tuple(before)) if before else x
        y = reduced(d, op, x, axes, keepdim=bool(a.get("keepdim", False)), out=out)
        return d.add("table", y, chain=tuple(after)) if after else y

    return row


largest = reduction("max_pool")


least = reduction("max_pool", [("neg",)], [("neg",)])


def reduced_axes(d: GraphBuilder, a: Arguments) -> list[int]:
    """Return the axes to reduce; without the argument all axes, or none with ONNX's
    noop_with_empty_axes."""
    rank, dims = len(d.shape(first(a))), as_tuple([] if a.get("dim") is None else a["dim"], 1)
    axes = sorted({axis % rank for axis in dims})
    return [*range(rank)] if not dims and not a.get("noop") else axes


def reduced(d: GraphBuilder, op: str, x: str, axes: set[int], *, keepdim: bool, out: Shape) -> str:
    if not axes:
        return x
    if op == "max_pool":
        return reshape(d, _add_maximum(d, x, axes), out)
    return d.add(op, x, axes=tuple(sorted(axes)), keepdim=keepdim)


def _add_maximum(d: GraphBuilder, x: str, axes: set[int]) -> str:
    """Add the maximum over axes as a max pool with one window per reduced axis; reduced axes have
    extent 1."""
    shape, rank = d.shape(x), len(d.shape(x))
    if rank in (3, 4) and not axes & {0, 1}:
        whole = tuple(
            ((0, n, n),) if i in axes else tuple((at, at + 1, 1) for at in range(n))
            for i, n in enumerate(shape[2:], start=2)
        )
        y = d.add("max_pool", transpose(d, x, channels_last(rank)), windows=whole)
        return channels_first(d, y)
    for axis in sorted(axes):
        outer, n, inner = outer_inner(d.shape(x), axis)
        kept = tuple(1 if i == axis else m for i, m in enumerate(d.shape(x)))
        y = d.add("max_pool", reshape(d, x, (outer, n, inner)), windows=(((0, n, n),),))
        x = reshape(d, y, kept)
    return x


REDUCED = "(self, dim: axes, *, keepdim: keepdims = True, noop: noop_with_empty_axes = False)"


Window = tuple[int, int, int]  # (first element, end, divisor)


def regular(
    n: int,
    size: int,
    stride: int,
    pads: int | tuple[int, int],
    dilation: int = 1,
    *,
    ceil: bool = False,
    count_pad: bool,
) -> tuple[Window, ...]:
    """Return the windows of a pool along an axis of n elements as PyTorch defines them, clipped to
    the input.

    ceil        whether a last window that starts inside the input or the padding before it is kept
    count_pad   whether the divisor of an average counts padding
    With dilation, windows refer to the axis after `in_phases`, in which their taps are adjacent.
    """
    before, after = (pads, pads) if isinstance(pads, int) else pads
    reach = (size - 1) * dilation + 1
    starts = range(-before, n + after - reach + (stride if ceil else 1), stride)
    phases = [len(range(phase, n, dilation)) for phase in range(dilation)]
    windows = []
    for start in (at for at in starts if at < n or not ceil):
        stop, phase = min(start + reach, n + after), start % dilation
        taps = range(max(start, phase), min(stop, n), dilation)
        low = sum(phases[:phase]) + taps.start // dilation
        count = len(range(start, stop, dilation)) if count_pad else len(taps)
        windows.append((low, low + len(taps), count))
    return tuple(windows)


def adaptive(n: int, out: int) -> tuple[Window, ...]:
    """Return the windows floor(i n / out) .. ceil((i + 1) n / out) of PyTorch's adaptive
    pooling."""
    edges = [(i * n // out, -(-(i + 1) * n // out)) for i in range(out)]
    return tuple((low, high, high - low) for low, high in edges)
