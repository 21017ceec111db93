# SPDX-License-Identifier: Apache-2.0
"""Import rows of pooling, means, sums and maxima."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from myoedge.graph.ir import Shape
from myoedge.operators.base import outer_inner
from myoedge.operators.conv.import_rows import batched, pads_of, per_axis
from myoedge.operators.graph_builder import (
    GraphBuilder,
    Unsupported,
    as_tuple,
    channels_first,
    channels_last,
    reshape,
    transpose,
)
from myoedge.operators.import_rows import (
    Arguments,
    AtenRow,
    Calls,
    OnnxCall,
    OnnxRow,
    calls,
    first,
    first_of,
)
from myoedge.operators.pool.definition import Window
from myoedge.operators.pool.definition import adaptive as adaptive_windows
from myoedge.operators.pool.definition import regular as regular_windows


def pool(op: str, rank: int, windows: Callable[[Arguments, Shape, int], Any]) -> AtenRow:
    """[N, C, *S] (or without N) through a channels-last pooling and back."""

    def row(d: GraphBuilder, a: Arguments, out: Shape) -> str:
        x = transpose(d, batched(d, first(a), rank + 2), channels_last(rank + 2))
        attrs = {"windows": windows(a, d.shape(x)[1:-1], rank)}
        divisor = int(a.get("divisor_override") or 0)
        if divisor < 0:
            raise Unsupported(f"pooling with divisor_override={divisor}")
        if divisor:
            attrs["divisor"] = divisor
        y = d.add(op, x, **attrs)
        return reshape(d, channels_first(d, y), out)

    return row


def regular(a: Arguments, spatial: Shape, rank: int) -> Any:
    if any(n != 1 for n in as_tuple(a.get("dilation", 1), rank)):
        raise Unsupported("pooling with dilation")
    size = as_tuple(a["kernel_size"], rank)
    stride = as_tuple(a["stride"], rank) if a.get("stride") else size
    pads = as_tuple(a["padding"], rank)
    count = bool(a.get("count_include_pad", False))
    make = functools.partial(regular_windows, ceil=bool(a["ceil_mode"]), count_pad=count)
    return tuple(make(*axis) for axis in zip(spatial, size, stride, pads, strict=True))


def adaptive(a: Arguments, spatial: Shape, rank: int) -> Any:
    wanted = as_tuple(a["output_size"], rank)
    sizes = [n if w is None else w for n, w in zip(spatial, wanted, strict=True)]
    return tuple(adaptive_windows(n, size) for n, size in zip(spatial, sizes, strict=True))


def reduce(op: str) -> AtenRow:
    def row(d: GraphBuilder, a: Arguments, out: Shape) -> str:
        x = first(a)
        rank = len(d.shape(x))
        dims = a.get("dim")
        axes = range(rank) if dims is None or dims == [] else as_tuple(dims, 1)
        kept = tuple(sorted(axis % rank for axis in axes))
        if not kept:
            return x
        return d.add(op, x, axes=kept, keepdim=bool(a.get("keepdim", False)))

    return row


def largest(d: GraphBuilder, a: Arguments, out: Shape) -> str:
    """max and amax over axes: one window over all of each, channels last where they are kept and
    one or two axes are left."""
    x, rank = a["self"], len(d.shape(a["self"]))
    dims = a.get("dim")
    axes = {i % rank for i in (range(rank) if dims is None or dims == [] else as_tuple(dims, 1))}
    if rank in (3, 4) and not axes & {0, 1}:
        x = transpose(d, x, channels_last(rank))
        inner = [(i, n) for i, n in enumerate(d.shape(a["self"]))][2:]
        whole = [((0, n, n),) if i in axes else _single(n) for i, n in inner]
        return reshape(d, channels_first(d, d.add("max_pool", x, windows=tuple(whole))), out)
    for axis in sorted(axes):
        outer, n, inner_size = outer_inner(d.shape(x), axis)
        kept = tuple(1 if i == axis else m for i, m in enumerate(d.shape(x)))
        y = d.add("max_pool", reshape(d, x, (outer, n, inner_size)), windows=(((0, n, n),),))
        x = reshape(d, y, kept)
    return reshape(d, x, out)


def _single(n: int) -> tuple[tuple[int, int, int], ...]:
    """A window of its own for each of n elements."""
    return tuple((i, i + 1, 1) for i in range(n))


def pool_onnx(op: str) -> OnnxRow:
    """[N, C, *S] through a channels-last pooling and channels_first."""

    def row(c: OnnxCall) -> str:
        d, sizes = c.builder, c.shape()[2:]
        rank, kernel = len(sizes), tuple(c.attrs["kernel_shape"])
        if rank not in (1, 2) or len(kernel) != rank:
            raise Unsupported(f"pooling {rank}-D")
        stride, dilation = (per_axis(c, name, rank) for name in ("strides", "dilations"))
        if any(n > 1 and k > 1 for n, k in zip(dilation, kernel, strict=True)):
            raise Unsupported("pooling with dilation")
        pads = pads_of(c, sizes, kernel, stride, (1,) * rank)
        count = bool(c.attrs.get("count_include_pad", 0))
        axes = zip(sizes, kernel, stride, pads, strict=True)
        ceil = bool(c.attrs.get("ceil_mode", 0))
        windows = tuple(_windows(*axis, ceil=ceil, count=count) for axis in axes)
        return channels_first(
            d, d.add(op, transpose(d, c.x(), channels_last(rank + 2)), windows=windows)
        )

    return row


def _windows(
    n: int, size: int, stride: int, pads: tuple[int, int], *, ceil: bool, count: bool
) -> tuple[Window, ...]:
    """The windows of one axis, clipped to the input; `count`: padding counts in the divisor."""
    before, after = pads
    room = n + before + after - size
    starts = range((room + (stride - 1 if ceil else 0)) // stride + 1)
    found = []
    for start in (i * stride - before for i in starts):
        if ceil and start >= n:  # it would begin in the padding behind
            continue
        stop = min(start + size, n + after)
        low, high = max(start, 0), min(stop, n)
        if low >= high:
            raise Unsupported("a window that lies in the padding alone")
        found.append((low, high, stop - start if count else high - low))
    return tuple(found)


def global_pool(op: str) -> OnnxRow:
    def row(c: OnnxCall) -> str:
        axes = tuple(range(2, len(c.shape())))
        return _reduced(c, op, c.x(), axes, keep=True)

    return row


def reduction(op: str, before: Sequence[Any] = (), after: Sequence[Any] = ()) -> OnnxRow:
    """`op` over axes, between functions of one number."""

    def row(c: OnnxCall) -> str:
        x = c.builder.add("table", c.x(), chain=tuple(before)) if before else c.x()
        axes = c.ints("axes", 1, "the list of axes")
        rank = len(c.builder.shape(x))
        if not axes and not c.attrs.get("noop_with_empty_axes", 0):
            axes = tuple(range(rank))
        kept = tuple(sorted({axis % rank for axis in axes or ()}))
        y = _reduced(c, op, x, kept, keep=bool(c.attrs.get("keepdims", 1))) if kept else x
        return c.builder.add("table", y, chain=tuple(after)) if after else y

    return row


def _reduced(c: OnnxCall, op: str, x: str, axes: tuple[int, ...], *, keep: bool) -> str:
    if not axes:
        return x
    if op == "max_pool":
        return largest(c.builder, {"self": x, "dim": list(axes)}, c.out)
    return c.builder.add(op, x, axes=axes, keepdim=keep)


RANKS = (1, 2)
AVERAGES = {
    "avg_pool": regular,
    "adaptive_avg_pool": adaptive,
    "_adaptive_avg_pool": adaptive,
}


def _max_pools(rank: int) -> dict[str, AtenRow]:
    windows, whole = (pool("max_pool", rank, make) for make in (regular, adaptive))
    return {
        **calls(windows, f"max_pool{rank}d"),
        **calls(first_of(windows), f"max_pool{rank}d_with_indices"),
        **calls(first_of(whole), f"adaptive_max_pool{rank}d"),
    }


ATEN: Calls = {
    "max_pool": {
        **_max_pools(1),
        **_max_pools(2),
        **calls(largest, "amax", "max"),
        **calls(first_of(largest), "max.dim"),
    },
    "avg_pool": {
        f"aten.{name}{rank}d.default": pool("avg_pool", rank, windows)
        for rank in RANKS
        for name, windows in AVERAGES.items()
    },
    "mean": calls(reduce("mean"), "mean", "mean.dim"),
    "sum": calls(reduce("sum"), "sum", "sum.dim_IntList"),
}
ONNX: Calls = {
    "max_pool": {
        "MaxPool": pool_onnx("max_pool"),
        "GlobalMaxPool": global_pool("max_pool"),
        "ReduceMax": reduction("max_pool"),
        "ReduceMin": reduction("max_pool", [("neg",)], [("neg",)]),
    },
    "avg_pool": {"AveragePool": pool_onnx("avg_pool")},
    "mean": {"GlobalAveragePool": global_pool("mean"), "ReduceMean": reduction("mean")},
    "sum": {
        "ReduceSum": reduction("sum"),
        "ReduceL1": reduction("sum", [("abs",)]),
        "ReduceL2": reduction("sum", [("square",)], [("sqrt",)]),
        "ReduceSumSquare": reduction("sum", [("square",)]),
    },
}
