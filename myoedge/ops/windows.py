# SPDX-License-Identifier: Apache-2.0
"""Pooling in tiles: windows as me_pool.h takes them, and the input that a tile of them needs."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from myoedge.ir import Array
from myoedge.op import Step
from myoedge.ops.packing import limits, with_table
from myoedge.target.gap9_tiles import Prices
from myoedge.tiled import OUT, Dim, Fields, Operand, Region, Tiled

Window = tuple[int, int, int]
WORKERS = 8
FEW_PIXELS = 32
ENTRY = 6  # bytes of me_window
MOST_ALIKE = 127  # the byte is the upper one of a signed number
LONGEST = 2**15 - 1


def reach(windows: Sequence[Window]) -> tuple[int, int, int]:
    """(first, stride, size): window i lies in first + i * stride .. + size, for every i."""
    count = len(windows)
    stride = round((windows[-1][0] - windows[0][0]) / (count - 1)) if count > 1 else 1
    first = min(w[0] - i * stride for i, w in enumerate(windows))
    size = max(w[1] - i * stride - first for i, w in enumerate(windows))
    return first, stride, size


def entries(windows: Sequence[Window], kinds: Sequence[int]) -> Array:
    """int16 [windows, 3]: first, one past the last, and in two bytes kind and windows alike.

    kinds   the divisors in ascending order, or nothing where all are alike
    """
    numbers = [(low, high, kinds.index(d) if kinds else 0) for low, high, d in windows]
    rows = [
        (low, high, kind | _alike(numbers[at:]) << 8)
        for at, (low, high, kind) in enumerate(numbers)
    ]
    return np.array(rows, np.int16)


def _alike(windows: Sequence[Window]) -> int:
    """How many of them, from the first on, have its size and kind and lie at one distance."""
    if len(windows) == 1:
        return 1
    low, high, kind = windows[0]
    step = windows[1][0] - low
    same = (w == (low + i * step, high + i * step, kind) for i, w in enumerate(windows))
    return min(sum(1 for _ in itertools.takewhile(bool, same)), MOST_ALIKE)


@dataclass(frozen=True, slots=True)
class Work:
    """Windows of so many taps: averages or maxima; of few taps, which have faster ways; a table."""

    taps: int
    average: bool
    few: bool
    table: bool


def _cycles(prices: Prices, w: Work, rows: Any, columns: Any, channels: Any) -> Any:
    """Of the core that has most to do: a share of the pixels, or of channels where few are."""
    pixels, words = rows * columns, channels // 4
    by_channel = (pixels < FEW_PIXELS) & (-(-channels // 4) >= WORKERS)
    share = np.where(by_channel, pixels, -(-pixels // WORKERS))
    count = share * np.where(by_channel, -(-words // WORKERS), words)
    runs = np.where(by_channel, rows, share / columns + 1)
    tail = share * (channels % 4) * (w.taps * prices.pool_tail_tap + prices.pool_tail)
    if w.table:
        tail = tail + (count * 4 + share * (channels % 4)) * prices.pool_table
    if w.few and w.average:
        each, run = prices.average_of_4, prices.average_run
    elif w.few:
        passes = -(-(w.taps - 1) // 3)
        each, run = passes * prices.max_few, passes * prices.max_few_run
    elif w.average:
        each, run = w.taps * prices.average_tap + prices.average_word, prices.average_run
    else:
        each, run = w.taps * prices.max_tap + prices.max_word, prices.max_run
    return count * each + runs * run + tail + prices.pool_call


def in_tiles(
    step: Step,
    sizes: Mapping[str, Any],
    kernel: str,
    op: Mapping[str, int | str],
    arrays: dict[str, Array],
    kinds: tuple[Sequence[int], Sequence[int]],
    work: Work,
) -> Tiled | None:
    """Axes t0 and t1 of the results and c."""
    if max(sizes["h_in"], sizes["w_in"]) > LONGEST:
        return None
    n, c = sizes["n"], sizes["channels"]
    rows, columns = sizes["windows_h"], sizes["windows_w"]
    arrays |= {"rows": entries(rows, kinds[0]), "columns": entries(columns, kinds[1])}
    table = with_table(step, arrays)
    (first_h, stride_h, size_h), (first_w, stride_w, size_w) = reach(rows), reach(columns)
    axes = {"n": n, "t0": len(rows), "t1": len(columns), "r0": size_h, "r1": size_w}
    channels: Dim = (("c", 4), ("c4", 1)) if c % 4 == 0 else ()
    axes |= {"c": c // 4, "c4": 4} if channels else {}
    index: tuple[Dim, ...] = (
        (("n", 1),),
        (("t0", stride_h), ("r0", 1)),
        (("t1", stride_w), ("r1", 1)),
        channels,
    )
    x = Operand("x", 0, (n, sizes["h_in"], sizes["w_in"], c), index, (0, first_h, first_w, 0))
    y = Operand(
        "y",
        OUT,
        (n, len(rows), len(columns), c),
        ((("n", 1),), (("t0", 1),), (("t1", 1),), channels),
    )
    lists = (
        Operand("rows", "rows", (len(rows), ENTRY), ((("t0", 1),), ())),
        Operand("columns", "columns", (len(columns), ENTRY), ((("t1", 1),), ())),
    )
    more = [Operand("each", "each", (arrays["each"].nbytes,), ((),))] if "each" in arrays else []
    fields = {**op, **limits(step)} if more else dict(op)

    return Tiled(
        kernel=kernel,
        axes=axes,
        split=("c", "t0", "t1") if channels else ("t0", "t1"),
        single=("n",),
        operands=(x, *lists, *more, *table, y),
        op=fields,
        tile=_fields,
        arrays=arrays,
        cycles=lambda tile, prices: _cycles(
            prices, work, tile["t0"], tile["t1"], tile["c"] * 4 if channels else c
        ),
        first=lambda sizes, prices: prices.first_pool,
    )


def _fields(regions: Mapping[str, Region]) -> Fields:
    """Windows count from the start of the whole input, so x points there."""
    x, y = regions["x"], regions["y"]
    c, row = x.extent[3], x.extent[2] * x.extent[3]
    return {
        "x": f"@x-{x.start[1] * row + x.start[2] * c}",
        "c": c,
        "row_stride": row,
        "rows": "@rows",
        "columns": "@columns",
        "oh": y.extent[1],
        "ow": y.extent[2],
        "y": "@y",
        "y_stride": c,
    }
