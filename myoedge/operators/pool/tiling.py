# SPDX-License-Identifier: Apache-2.0
"""Tiling of pooling: window tables for me_pool.h, and the part of the input that a tile reads."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from myoedge.numerics.arrays import Array, ceil_div
from myoedge.operators.base import QuantizedNode
from myoedge.operators.kernel import OUT, AffineExpr, Fields, Operand, Region, Sizes, TiledKernel
from myoedge.operators.products.packing import table_operand
from myoedge.targets.chip import Engine

Window = tuple[int, int, int]
FEW_PIXELS = 32
ENTRY = 12  # bytes of me_window
MOST_ALIKE = 255


def windows_of(step: QuantizedNode) -> tuple[Sequence[Window], Sequence[Window]]:
    """Return the windows of a pool along rows and along columns; a 1-D signal is an image of one
    row."""
    rows, columns = (((0, 1, 1),), *step.attrs["windows"])[-2:]
    return rows, columns


def reach(windows: Sequence[Window]) -> tuple[int, int, int]:
    """Return (first, stride, size): evenly spaced ranges that contain the windows, window i in the
    elements first + i * stride .. first + i * stride + size - 1."""
    count = len(windows)
    stride = round((windows[-1][0] - windows[0][0]) / (count - 1)) if count > 1 else 1
    first = min(w[0] - i * stride for i, w in enumerate(windows))
    size = max(w[1] - i * stride - first for i, w in enumerate(windows))
    return first, stride, size


def entries(windows: Sequence[Window], kinds: Sequence[int]) -> Array:
    """Return the windows as the kernel's table, int32 [windows, 3]: first element; end (exclusive);
    kind and number of equal windows that follow, each in one byte.

    kinds   the divisors in ascending order, whose index is the kind; () if all windows have one
            kind
    """
    numbers = [(low, high, kinds.index(d) if kinds else 0) for low, high, d in windows]
    rows = [
        (low, high, kind | _alike(numbers[at:]) << 8)
        for at, (low, high, kind) in enumerate(numbers)
    ]
    return np.array(rows, np.int32)


def _alike(windows: Sequence[Window]) -> int:
    """Return the number of windows, from the first on, with the same size, kind and spacing."""
    if len(windows) == 1:
        return 1
    low, high, kind = windows[0]
    step = windows[1][0] - low
    same = (w == (low + i * step, high + i * step, kind) for i, w in enumerate(windows))
    return min(sum(1 for _ in itertools.takewhile(bool, same)), MOST_ALIKE)


def _runs(windows: Array) -> int:
    """Return the number of runs of equal windows in a table of `entries`."""
    at = count = 0
    while at < len(windows):
        at += int(windows[at, 2]) >> 8
        count += 1
    return count


@dataclass(frozen=True, slots=True)
class Work:
    """Properties of a pool's windows from which its work is estimated.

    taps      taps per window
    average   whether the kernel averages instead of taking maxima
    few       whether the windows suit the kernel's unrolled loop: up to nine taps of a maximum, or
              two or four of an average
    runs      runs of equal windows per row
    even      whether all windows are equal, along both axes
    """

    taps: int
    average: bool
    few: bool
    runs: int = 1
    even: bool = False


def _units(w: Work, rows: Any, columns: Any, channels: Any, cores: int) -> Any:
    """Return the work of the busiest core, in taps of four channels; cores share windows or, for
    few windows, channels."""
    pixels, words, rest = rows * columns, channels // 4, channels % 4
    share = -(-pixels // cores)
    each, run = _window_units(w)
    by_channel = (pixels < FEW_PIXELS) & ((words >= cores) | (words > pixels))
    lines = np.where(by_channel, rows, np.minimum(share / columns + 1, share))
    runs = 1.0 if w.even else lines * np.minimum(w.runs, columns)
    shared = np.minimum(-(-words // cores) * pixels, share * words)
    count = np.where(by_channel | w.even, shared, share * words)
    alone = np.where((words == 0) & (rest > pixels), 1, rest)
    return count * each + runs * run + share * alone * (1.4 * w.taps + 2)


def _window_units(w: Work) -> tuple[float, float]:
    """Return (work per four channels of a result, overhead per window), in taps."""
    if w.few and w.average:
        return (5.4 if w.taps == 4 else 4.1), 64
    passes = -(-(w.taps - 1) // 3)
    if w.few:
        return 2.4 * passes, 19.0 * passes + 57
    return (w.taps + 6.3, 46) if w.average else (w.taps + 3, 72)


def _wide_average_cycles(taps: int, rows: int, results: Any, cores: int) -> Any:
    """Return the cycles of me_avg_pool_s16 on the busiest core.

    taps, rows   taps and rows of a window
    """
    return ceil_div(results, cores) * (28 + 4 * taps + 27 * rows)


def _cycles(
    work: Work, axes: Mapping[str, int], c: int, cores: int, *, is_wide: bool
) -> Callable[[Sizes], Any]:
    """Return a function: tile sizes -> work units of the kernel; cycles for int16 averages."""

    def units(tile: Sizes) -> Any:
        channels = tile["c"] * 4 if "c" in axes else c
        if is_wide and work.average:
            results = tile["t0"] * tile["t1"] * channels
            return _wide_average_cycles(work.taps, axes["r0"], results, cores)
        return _units(work, tile["t0"], tile["t1"], channels, cores)

    return units


def in_tiles(
    step: QuantizedNode,
    engine: Engine,
    kernel: str,
    op: Fields,
    work: Work,
    each: tuple[Operand, ...] = (),
    kinds: tuple[Sequence[int], Sequence[int]] = ((), ()),
) -> TiledKernel:
    """Return the tiled kernel of a pool; tiles divide images n, windows t0 and t1, and channels c,
    in blocks of four if there are many.

    kernel   C function
    op       fields of its op struct
    each     for averages, requantisation per pair of divisors
    kinds    for averages, the divisors along both axes
    """
    (rows, columns), (n, *_, c) = windows_of(step), step.shapes[0]
    arrays = {"rows": entries(rows, kinds[0]), "columns": entries(columns, kinds[1])}
    lists = (
        Operand(name, name, (len(array), ENTRY), (((axis, 1),), ()), array=array)
        for (name, array), axis in zip(arrays.items(), ("t0", "t1"), strict=True)
    )
    axes = {"n": n, "t0": len(rows), "t1": len(columns), "r0": reach(rows)[2]}
    axes |= {"r1": reach(columns)[2], **({"c": c // 4, "c4": 4} if c % 4 == 0 else {})}
    table, runs = table_operand(step), [_runs(array) for array in arrays.values()]
    even = max(runs) == 1 and "c" in axes and work.few and not table
    repeated = replace(work, runs=runs[1], even=even)
    x, y = _images(step)
    return TiledKernel(
        function=kernel,
        axes=axes,
        split=("c", "t0", "t1") if "c" in axes else ("t0", "t1"),
        unit_axes=("n",),
        operands=(x, *lists, *each, *table, y),
        op=op,
        tile=lambda regions: _fields(regions, x.itemsize),
        work=_cycles(repeated, axes, c, engine.cores, is_wide=step.has_int16),
    )


def _images(step: QuantizedNode) -> tuple[Operand, Operand]:
    """Return input and output as [images, rows, columns, channels]; a 1-D signal is an image of one
    row."""
    (rows, columns), (n, *spatial, c) = windows_of(step), step.shapes[0]
    (top, down, _), (left, right, _) = reach(rows), reach(columns)
    channels: AffineExpr = (("c", 4), ("c4", 1)) if c % 4 == 0 else ()
    image, t0, t1 = (((axis, 1),) for axis in ("n", "t0", "t1"))
    windows = (("t0", down), ("r0", 1)), (("t1", right), ("r1", 1))
    x = Operand(
        "x",
        0,
        (n, *(1, *spatial)[-2:], c),
        (image, *windows, channels),
        (0, top, left, 0),
        step.read_type(0).size_bytes,
    )
    y = Operand(
        "y",
        OUT,
        (n, len(rows), len(columns), c),
        (image, t0, t1, channels),
        itemsize=step.element_type.size_bytes,
    )
    return x, y


def _fields(regions: Mapping[str, Region], x_itemsize: int) -> Fields:
    """Return the fields of the tile struct; x points to where the whole input would start, because
    windows are counted from there."""
    x, y = regions["x"], regions["y"]
    c, row = x.extent[3], x.extent[2] * x.extent[3]
    return {
        "x": f"@x-{(x.start[1] * row + x.start[2] * c) * x_itemsize}",
        "c": c,
        "row_stride": row,
        "rows": "@rows",
        "columns": "@columns",
        "oh": y.extent[1],
        "ow": y.extent[2],
        "y": "@y",
        "y_stride": c,
    }
