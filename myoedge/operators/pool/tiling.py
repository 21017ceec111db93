# SPDX-License-Identifier: Apache-2.0
"""Pooling in tiles: windows as me_pool.h takes them, and the input that a tile of them needs."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from myoedge.numerics.arrays import Array
from myoedge.operators.base import QuantizedNode
from myoedge.operators.kernel import OUT, WORKERS, Dim, Fields, Operand, Region, Tiled
from myoedge.operators.products.packing import limits, with_table
from myoedge.targets.gap9.code_size import BESIDE
from myoedge.targets.gap9.costs import Prices

Window = tuple[int, int, int]
FEW_PIXELS = 32
_AVERAGES, _MAXIMA = ("me_average_words",), ("me_max_words",)
_MORE_MAXIMA = ("max_of_many", "me_max_more")
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


def _runs(windows: Array) -> int:
    """Of windows that are alike, as `entries` tells them."""
    at = count = 0
    while at < len(windows):
        at += int(windows[at, 2]) >> 8
        count += 1
    return count


@dataclass(frozen=True, slots=True)
class Work:
    """Windows of so many taps: averages or maxima; of few taps, which have faster ways; a table.

    runs   of windows that are alike, in a row
    even   all are, along both axes
    """

    taps: int
    average: bool
    few: bool
    table: bool
    runs: int = 1
    even: bool = False


def _cycles(prices: Prices, w: Work, rows: Any, columns: Any, channels: Any) -> Any:
    """Of the core that has most to do: a share of the pixels, or of channels where few are; the
    smaller one where all windows are alike."""
    pixels, words, parts = rows * columns, channels // 4, -(-channels // 4)
    by_channel = (pixels < FEW_PIXELS) & (parts >= WORKERS)
    share = np.where(by_channel, pixels, -(-pixels // WORKERS))
    own = np.where(by_channel, -(-parts // WORKERS), words)
    count, in_row = share * own, np.minimum(w.runs, columns)
    runs = np.where(by_channel, rows * in_row, np.minimum(share * in_row / columns + 1, share))
    if w.even:
        count, runs = _shared(pixels, words), 1.0
    # Of channels that are shared the core with the last ones has no word in their place.
    count = count - np.where(by_channel & (channels % 4 > 0), share, 0)
    tail = share * (channels % 4) * (w.taps * prices.pool_tail_tap + prices.pool_tail)
    if w.table:
        tail = tail + (count * 4 + share * (channels % 4)) * prices.pool_table
    each, run = _window(prices, w)
    total = count * each + runs * run + tail + prices.pool_call
    return total if w.few else total + np.minimum(share, runs * own) * prices.window_side


def _shared(pixels: Any, words: Any) -> Any:
    """What a core has of channels of all pixels, or of pixels."""
    return np.minimum(-(-words // WORKERS) * pixels, -(-pixels // WORKERS) * words)


def _window(prices: Prices, w: Work) -> tuple[Any, Any]:
    """(four results, what is around those side by side)."""
    if w.few and w.average:
        return prices.average_of_4, prices.average_run
    if w.few:
        passes = -(-(w.taps - 1) // 3)
        return passes * prices.max_few, passes * prices.max_few_run + prices.max_run
    if w.average:
        return w.taps * prices.average_tap + prices.average_word, prices.window_run
    return w.taps * prices.max_tap + prices.max_word, prices.window_run


def in_tiles(
    step: QuantizedNode,
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
    c, rows, columns = sizes["channels"], sizes["windows_h"], sizes["windows_w"]
    arrays |= {"rows": entries(rows, kinds[0]), "columns": entries(columns, kinds[1])}
    table = with_table(step, arrays)
    x, y = _images(sizes)
    averages = "each" in arrays
    more = [Operand("each", "each", (arrays["each"].nbytes,), ((),))] if averages else []
    alike = _alike_in(work, arrays, c)
    in_fours = c % 4 == 0
    return Tiled(
        kernel=kernel,
        axes=_axes(sizes),
        split=("c", "t0", "t1") if in_fours else ("t0", "t1"),
        single=("n",),
        operands=(x, *_lists(len(rows), len(columns)), *more, *table, y),
        op={**op, **limits(step)} if averages else dict(op),
        tile=_fields,
        arrays=arrays,
        cycles=lambda tile, prices: _cycles(
            prices, alike, tile["t0"], tile["t1"], tile["c"] * 4 if in_fours else c
        ),
        code=lambda tile: _code(alike, tile["t0"] * tile["t1"], c),
    )


def _code(w: Work, pixels: int, channels: int) -> tuple[str, ...]:
    """Where each core has four channels, the one with fewer has no others."""
    begin = "me_avg_pool_run" if w.average else "me_max_pool_run"
    few = _AVERAGES if w.average else _MAXIMA if w.taps <= 4 else (*_MAXIMA, *_MORE_MAXIMA)
    if w.even:
        return (begin, "run_even", *few)
    window = "me_average_window" if w.average else "me_max_window"
    words = ("few_words", *few) if w.few else ("any_window", window)
    if channels % 4 == 0:
        return (begin, "run_any", *words)
    if pixels < FEW_PIXELS and -(-channels // 4) == WORKERS:
        words = tuple(f"{BESIDE}{name}" for name in words)
    return (begin, "run_any", *words, "run_bytes")


def _axes(sizes: Mapping[str, Any]) -> dict[str, int]:
    """Images, windows, taps of the largest of them, channels: those in fours where they are."""
    rows, columns, c = sizes["windows_h"], sizes["windows_w"], sizes["channels"]
    axes = {"n": sizes["n"], "t0": len(rows), "t1": len(columns)}
    axes |= {"r0": reach(rows)[2], "r1": reach(columns)[2]}
    return axes | ({"c": c // 4, "c4": 4} if c % 4 == 0 else {})


def _images(sizes: Mapping[str, Any]) -> tuple[Operand, Operand]:
    """(what windows lie over, a result for each of them)."""
    n, c, rows, columns = (sizes[key] for key in ("n", "channels", "windows_h", "windows_w"))
    (first_h, stride_h, _), (first_w, stride_w, _) = reach(rows), reach(columns)
    channels: Dim = (("c", 4), ("c4", 1)) if c % 4 == 0 else ()
    image, across, down = (("n", 1),), (("t1", stride_w), ("r1", 1)), (("t0", stride_h), ("r0", 1))
    given, first = (n, sizes["h_in"], sizes["w_in"], c), (0, first_h, first_w, 0)
    made = (n, len(rows), len(columns), c)
    return (
        Operand("x", 0, given, (image, down, across, channels), first),
        Operand("y", OUT, made, (image, (("t0", 1),), (("t1", 1),), channels)),
    )


def _lists(rows: int, columns: int) -> tuple[Operand, Operand]:
    """Where windows begin and end, along both axes."""
    return (
        Operand("rows", "rows", (rows, ENTRY), ((("t0", 1),), ())),
        Operand("columns", "columns", (columns, ENTRY), ((("t1", 1),), ())),
    )


def _alike_in(work: Work, arrays: Mapping[str, Array], channels: int) -> Work:
    """The work with what of its windows is alike."""
    runs = [_runs(arrays[name]) for name in ("rows", "columns")]
    even = max(runs) == 1 and channels % 4 == 0 and work.few and not work.table
    return replace(work, runs=runs[1], even=even)


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
