# SPDX-License-Identifier: Apache-2.0
"""Import of pooling, means, sums and maxima."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

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
)
from myoedge.operators.import_rows import Arguments, ImportRow, Row, first
from myoedge.operators.library.conditions import truth
from myoedge.operators.library.import_moves import batched, before_infinite_pad, pads_of, per_axis
from myoedge.operators.library.reductions import (
    REDUCED,
    largest,
    least,
    reduced,
    reduced_axes,
    reduction,
)
from myoedge.operators.library.reductions import adaptive as adaptive_windows
from myoedge.operators.library.reductions import regular as regular_windows


def dilations(a: Arguments, rank: int) -> tuple[int, ...]:
    """Return the dilation along each spatial axis; 1 where the kernel has a single tap."""
    pairs = zip(per_axis(a, "kernel_size", rank), per_axis(a, "dilation", rank), strict=True)
    return tuple(distance if size > 1 else 1 for size, distance in pairs)


def in_phases(d: GraphBuilder, x: str, dilation: Sequence[int]) -> str:
    """Reorder x [N, *S, C] so that the taps of dilated windows are adjacent.

    With dilation d, each spatial axis holds elements 0, d, 2 d, .., then 1, 1 + d, .., and so on.
    """
    for axis, step in enumerate(dilation, start=1):
        n = d.shape(x)[axis]
        x = concat(d, [slice_axis(d, x, axis, p, n, step) for p in range(min(step, n))], axis)
    return x


def regular(a: Arguments, spatial: Shape) -> Any:
    """Return the windows along each spatial axis of a pool; the default stride is the kernel size
    in torch, and 1 in ONNX."""
    rank = len(spatial)
    if rank not in (1, 2, 3):
        raise Unsupported(f"pooling {rank}-D")
    size, dilation = per_axis(a, "kernel_size", rank), dilations(a, rank)
    stride = size if a["stride"] == [] else per_axis(a, "stride", rank)
    if max(dilation) > 1 and str(a.get("auto_pad", "")).startswith("SAME"):
        raise Unsupported("dilation with auto_pad, which onnx and onnxruntime pad differently")
    pads = pads_of(a, spatial, size, stride, dilation)
    flags = {"ceil": bool(a["ceil_mode"]), "count_pad": bool(a.get("count_include_pad"))}
    axes = zip(spatial, size, stride, pads, dilation, strict=True)
    windows = tuple(regular_windows(*axis, **flags) for axis in axes)
    if any(low >= high for axis in windows for low, high, _ in axis):
        raise Unsupported("a window that covers only padding")
    return windows


def adaptive(a: Arguments, spatial: Shape) -> Any:
    sizes = as_tuple(a["output_size"], len(spatial))
    return tuple(adaptive_windows(n, size or n) for n, size in zip(spatial, sizes, strict=True))


def pool(op: str, windows: Callable[[Arguments, Shape], Any], rank: int | None = None) -> Row:
    """Return a function that imports a pool of [N, C, *S], or [C, *S].

    op        operator
    windows   (arguments, spatial extents) -> windows per axis
    rank      number of spatial axes; None: ONNX, whose tensors have N and whose result shape
              follows from the windows
    """

    def row(d: GraphBuilder, a: Arguments, out: Shape) -> str:
        axes = len(out) if rank is None else rank + 2
        x, pads = _padding_of_pool(d, op, a, axes - 2)
        x = transpose(d, batched(d, x, axes), channels_last(axes))
        spatial = [n + sum(pair) for n, pair in zip(d.shape(x)[1:-1], pads, strict=True)]
        found = windows(a, tuple(spatial))
        attrs: dict[str, Any] = {"windows": _clip_windows_to_tensor(found, pads, d.shape(x)[1:-1])}
        if a.get("dilation"):
            x = in_phases(d, x, dilations(a, axes - 2))
        divisor = int(a.get("divisor_override") or 0)
        if divisor < 0:
            raise Unsupported(f"pooling with divisor_override={divisor}")
        if divisor:
            attrs["divisor"] = divisor
        y = d.add(op, x, **attrs) if axes < 5 else _pool_three_axes(d, op, x, attrs)
        y = channels_first(d, y)
        return y if rank is None else reshape(d, y, out)

    return row


def _padding_of_pool(
    d: GraphBuilder, op: str, a: Arguments, rank: int
) -> tuple[str, Sequence[tuple[int, int]]]:
    """Return the operand of a pool, and how much of the windows is padding around it: of a maximum,
    what the network pads with minus infinity."""
    x = first(a)
    inner, pads = before_infinite_pad(d, x, -math.inf)
    axes = len(pads) - rank
    can_clip = op == "max_pool" and not any(map(any, pads[:axes]))
    if not can_clip or (a.get("dilation") and max(dilations(a, rank)) > 1):
        return x, [(0, 0)] * rank
    return inner, pads[axes:]


def _clip_windows_to_tensor(windows: Any, pads: Sequence[tuple[int, int]], spatial: Shape) -> Any:
    """Return windows over a padded tensor as windows over the tensor itself."""
    clipped = tuple(
        tuple((max(low - before, 0), min(high - before, n), c) for low, high, c in axis)
        for axis, (before, _), n in zip(windows, pads, spatial, strict=True)
    )
    if any(low >= high for axis in clipped for low, high, _ in axis):
        raise Unsupported("a window that covers only padding")
    return clipped


def _pool_three_axes(d: GraphBuilder, op: str, x: str, attrs: Mapping[str, Any]) -> str:
    """Pool [N, D, H, W, C] as two pools: along the first spatial axis, then along the other two."""
    (n, depth, *image), (along, *others) = d.shape(x), attrs["windows"]
    if along != tuple((i, i + 1, 1) for i in range(depth)):
        if "divisor" in attrs:
            raise Unsupported("pooling 3-D with divisor_override")
        rows = reshape(d, x, (n, depth, math.prod(image)))
        x = d.add(op, rows, windows=(along,))
    images = reshape(d, x, (n * len(along), *image))
    y = d.add(op, images, **{**attrs, "windows": tuple(others)})
    return reshape(d, y, (n, len(along), *d.shape(y)[1:]))


def any_of(d: GraphBuilder, a: Arguments, out: Shape) -> str:
    """Import any(): 1 if at least one element is not 0."""
    return str(largest(d, {"dim": None, **a, "self": truth(d, first(a))}, out))


def all_of(d: GraphBuilder, a: Arguments, out: Shape) -> str:
    """Import all(): 1 if no element is 0."""
    return str(least(d, {"dim": None, **a, "self": truth(d, first(a))}, out))


def least_and_largest(d: GraphBuilder, a: Arguments, out: Sequence[Shape]) -> tuple[str, str]:
    return least(d, a, out[0]), reduction("max_pool")(d, a, out[1])


def log_sum_exp(d: GraphBuilder, a: Arguments, out: Shape) -> str:
    """Import log(sum(exp(x - m))) + m, where m is the maximum, so that exponentials are within 0 ..
    1."""
    kept = tuple(1 if i in reduced_axes(d, a) else n for i, n in enumerate(d.shape(first(a))))
    largest = reduction("max_pool")(d, {**a, "keepdim": True}, kept)
    powers = d.add("table", d.add("sub", first(a), largest), chain=(("exp",),))
    total = reduction("sum", after=[("log",)])(d, {**a, "self": powers, "keepdim": True}, kept)
    return reshape(d, d.add("add", total, largest), out)


def product(d: GraphBuilder, a: Arguments, out: Shape) -> str:
    """Import a product over axes, by repeatedly multiplying the two halves of an axis."""
    x = first(a)
    for axis in reduced_axes(d, a):
        while (n := d.shape(x)[axis]) > 1:
            half = n // 2
            pair = (slice_axis(d, x, axis, 0, half), slice_axis(d, x, axis, half, 2 * half))
            rest = [slice_axis(d, x, axis, n - 1, n)] * (n % 2)
            x = concat(d, [d.add("mul", *pair), *rest], axis)
    return reshape(d, x, out)


def spatial_reduction(op: str) -> Row:
    """Return a function that imports `op` over all axes after the second, which keep size 1."""

    def row(d: GraphBuilder, a: Arguments, out: Shape) -> str:
        axes = set(range(2, len(d.shape(a["self"]))))
        return reduced(d, op, a["self"], axes, keepdim=True, out=out)

    return row


WINDOWS = (
    "(self, *, kernel_size: kernel_shape, stride: strides = None, dilation: dilations = None, "
    "pads=None, auto_pad='NOTSET', ceil_mode=False"
)

ROWS = (
    *(
        ImportRow(op, pool(op, windows, rank), names.replace("Nd", f"{rank}d"))
        for rank in (1, 2, 3)
        for op, windows, names in (
            ("max_pool", regular, "max_poolNd max_poolNd_with_indices"),
            ("max_pool", adaptive, "adaptive_max_poolNd"),
            ("avg_pool", regular, "avg_poolNd"),
            ("avg_pool", adaptive, "adaptive_avg_poolNd _adaptive_avg_poolNd"),
        )
    ),
    ImportRow("max_pool", pool("max_pool", regular), onnx=f"MaxPool{WINDOWS})"),
    ImportRow(
        "avg_pool",
        pool("avg_pool", regular),
        onnx=f"AveragePool{WINDOWS}, count_include_pad=False)",
    ),
    ImportRow("max_pool", reduction("max_pool"), "amax max", f"ReduceMax{REDUCED}"),
    ImportRow("max_pool", least, "amin min", f"ReduceMin{REDUCED}"),
    ImportRow("max_pool", any_of, "any any.dim any.dims"),
    ImportRow("max_pool", all_of, "all all.dim all.dims"),
    ImportRow("max_pool", least_and_largest, "aminmax", all_results=True),
    ImportRow("max_pool", spatial_reduction("max_pool"), onnx="GlobalMaxPool(self)"),
    ImportRow("mean", reduction("mean"), "mean mean.dim", f"ReduceMean{REDUCED}"),
    ImportRow("mean", spatial_reduction("mean"), onnx="GlobalAveragePool(self)"),
    ImportRow("sum", reduction("sum"), "sum sum.dim_IntList", f"ReduceSum{REDUCED}"),
    ImportRow("sum", reduction("sum", [("abs",)]), onnx=f"ReduceL1{REDUCED}"),
    ImportRow("sum", reduction("sum", after=[("log",)]), onnx=f"ReduceLogSum{REDUCED}"),
    ImportRow("sum max_pool", log_sum_exp, "logsumexp", f"ReduceLogSumExp{REDUCED}"),
    ImportRow("mul", product, "prod prod.dim_int", f"ReduceProd{REDUCED}"),
)
