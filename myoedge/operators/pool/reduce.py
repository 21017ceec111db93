# SPDX-License-Identifier: Apache-2.0
"""Sums and means over adjacent axes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from myoedge.graph.ir import Attrs, Shape
from myoedge.numerics.arrays import Array
from myoedge.operators.base import (
    LoopNest,
    OpDef,
    QuantizedNode,
    QuantizedParams,
    QuantizeInputs,
    StreamingRule,
    register,
)
from myoedge.operators.common_rules import stored_bound, with_requant
from myoedge.operators.elementwise.tiling import axes_of
from myoedge.operators.kernel import OUT, WORKERS, Dim, Fields, Operand, Region, Sizes, Tiled
from myoedge.operators.loops import Loop
from myoedge.operators.products.packing import scale_fields, with_table
from myoedge.targets.gap9.code_size import BESIDE
from myoedge.targets.gap9.costs import Prices


def shape(attrs: Attrs, x: Shape) -> Shape:
    """x [*outer, *reduced, *inner] -> [*outer, *inner], the reduced axes kept as 1 with keepdim."""
    axes = attrs["axes"]
    kept = [1 if d in axes else n for d, n in enumerate(x) if attrs["keepdim"] or d not in axes]
    return tuple(kept)


def split(attrs: Attrs, x: Shape) -> tuple[int, int, int]:
    """(outer, reduced, inner) extents; the reduced axes are adjacent (see passes/lower.py)."""
    first, last = min(attrs["axes"]), max(attrs["axes"])
    return math.prod(x[:first]), math.prod(x[first : last + 1]), math.prod(x[last + 1 :])


def nest(attrs: Attrs, shapes: Sequence[Shape], out: Shape) -> LoopNest:
    outer, reduced, inner = split(attrs, shapes[0])
    o, r, i = (("o", 1),), (("r", 1),), (("i", 1),)
    axes = {"o": outer, "i": inner, "r": reduced}
    return LoopNest(axes, {"x": (o, r, i), "y": (o, i)}, frozenset("r"))


def mean_real(attrs: Attrs, x: Array) -> Array:
    return np.asarray(x.mean(axis=tuple(attrs["axes"]), keepdims=attrs["keepdim"]))


def sum_real(attrs: Attrs, x: Array) -> Array:
    return np.asarray(x.sum(axis=tuple(attrs["axes"]), keepdims=attrs["keepdim"]))


def _quantize(site: QuantizeInputs, divisor: int) -> QuantizedParams:
    """acc = sum (x - x_zero), requantised once."""
    x = site.params(0)
    bound = 255 * split(site.attrs, site.shapes[0])[1]
    factor = x.scale / (site.target.scale * divisor)
    return with_requant(site, factor, bound, {"x_zero": x.zero_point})


def mean_quantize(site: QuantizeInputs) -> QuantizedParams:
    return _quantize(site, split(site.attrs, site.shapes[0])[1])


def sum_quantize(site: QuantizeInputs) -> QuantizedParams:
    return _quantize(site, 1)


def integer(step: QuantizedNode, x: Array) -> Array:
    """x int8 [*outer, *reduced, *inner] -> int8."""
    wide = x.astype(np.int64) - step["x_zero"]
    acc = wide.sum(axis=tuple(step.attrs["axes"])).reshape(step.out)
    return step.requantize(acc)


def literals(step: QuantizedNode) -> dict[str, object]:
    outer, reduced, inner = split(step.attrs, step.shapes[0])
    return {"outer": outer, "reduced": reduced, "inner": inner}


def in_tiles(step: QuantizedNode) -> Tiled:
    """Cut around and within the reduced axes."""
    outer, reduced, inner = split(step.attrs, step.shapes[0])
    numbers = [0, *(step[name] for name in ("mult", "offset", "shift"))]
    arrays: dict[str, Array] = {"each": np.array(numbers, np.int32)}
    table = with_table(step, arrays)
    axes, (inside,) = axes_of((Loop(inner, (1,)),))
    around: Dim = (("o", 1),)
    x = Operand("x", 0, (outer, reduced, inner), (around, (), inside))
    y = Operand("y", OUT, (outer, inner), (around, inside))

    def width(sizes: Sizes) -> Any:
        return y.footprint({**sizes, "o": 1})

    return Tiled(
        kernel="me_sums",
        axes={"o": outer, **axes},
        split=("o", "i0"),
        operands=(x, Operand("each", "each", (16,), ((),)), *table, y),
        op={"reduced": reduced, "x_zero": step["x_zero"], "each": "@each", **scale_fields(step)},
        tile=_tile_fields,
        arrays=arrays,
        cycles=lambda sizes, prices: (
            _rows(prices, sizes["o"], reduced)
            if inner == 1
            else _windows(prices, sizes["o"], width(sizes), reduced)
        ),
        code=lambda sizes: _code(sizes["o"], width(sizes)) if inner > 1 else _SUMS,
    )


_SUMS = ("me_sums_run", "me_reduce_run", "me_sum_bytes")


def _code(images: int, inner: int) -> tuple[str, ...]:
    """Where a core has a word at most, the one with single results has no other."""
    begin, words = ("me_sums_run", "me_reduce_run windows"), ("any_window", "me_average_window")
    if inner % 4 == 0:
        return (*begin, *words)
    if images * -(-inner // 4) > WORKERS:
        return (*begin, *words, "run_bytes")
    return (*begin, *(f"{BESIDE}{name}" for name in words), "run_bytes")


def _rows(prices: Prices, rows: Any, reduced: int) -> Any:
    """Of a core: rows that lie dense."""
    each = reduced // 4 * prices.sums_word + reduced % 4 * prices.sums_byte + prices.sums_row
    return -(-rows // WORKERS) * each + prices.sums_call


def _windows(prices: Prices, images: Any, inner: Any, reduced: int) -> Any:
    """Of the core that has most to do: four results at a time, as the pooling kernels do it; the
    last ones of an image may be fewer, one by one."""
    share = -(-images * -(-inner // 4) // WORKERS)
    each = reduced * prices.average_tap + prices.average_word
    alone = inner % 4 * (reduced * prices.pool_tail_tap + prices.pool_tail)
    ends = np.where(inner % 4 > 0, np.minimum(-(-images // WORKERS), share), 0)
    runs = np.where(share > ends, 1, 0) * prices.window_run
    return (share - ends) * each + ends * alone + runs + prices.sums_call


def _tile_fields(regions: Mapping[str, Region]) -> Fields:
    outer, inner = regions["y"].extent
    return {"x": "@x", "y": "@y", "outer": outer, "inner": inner}


def _streaming_rule(
    attrs: Attrs, shapes: Sequence[Shape], index: int, axis: int
) -> StreamingRule | None:
    """Frame by frame along the axes that stay."""
    axes = attrs["axes"]
    gone = 0 if attrs["keepdim"] else sum(other < axis for other in axes)
    return None if axis in axes else StreamingRule(axis - gone, lambda made: attrs)


MEAN = register(
    OpDef(
        name="mean",
        doc="mean over any axes, global average pooling among them",
        shape=shape,
        nest=nest,
        real=mean_real,
        integer=integer,
        quantize=mean_quantize,
        acc_bound=stored_bound,
        template="reduce.c.j2",
        literals=literals,
        tiled=in_tiles,
        epilogue=True,
        streaming_rule=_streaming_rule,
    )
)

SUM = register(
    OpDef(
        name="sum",
        doc="sum over any axes",
        shape=shape,
        nest=nest,
        real=sum_real,
        integer=integer,
        quantize=sum_quantize,
        acc_bound=stored_bound,
        template="reduce.c.j2",
        literals=literals,
        tiled=in_tiles,
        epilogue=True,
        streaming_rule=_streaming_rule,
    )
)
