# SPDX-License-Identifier: Apache-2.0
"""Operands of NE16's jobs as lists of copies: an input with its padding, or windows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from myoedge.numerics.arrays import ceil_div, round_up
from myoedge.operators.kernel import Fields

CORES = 7  # that copy, while core 0 starts jobs
LEAST_BYTES = 8  # of a piece that is cut
PADDING = -1  # a source: the padding value


@dataclass(frozen=True, slots=True)
class Copy:
    """Pieces of equal bytes that a core copies from x, or from the padding, as in me_ne16_copy.

    from_at, to   offsets of the first piece in x, or PADDING, and in scratch
    """

    from_at: int
    to: int
    pieces: int
    bytes: int
    from_step: int = 0
    to_step: int = 0


@dataclass(frozen=True, slots=True)
class CopiedOperands:
    """Operands of a convolution's jobs in scratch, as copies that the cores make.

    c, kernel, stride, dilation   of the convolution
    is_windows   whether windows are copied, of kernels of one row; otherwise the padded input
    in_row       whether results are one row
    """

    c: int
    kernel: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]
    is_windows: bool
    in_row: bool

    def of_units(self, tile: Fields, first: int, end: int) -> tuple[Copy, ...]:
        """Return the copies for results, or rows of results, that no earlier ones needed, in turn
        for each of the cores."""
        return tuple(_balance_copies([*self._copies(tile, first, end)]))

    def _copies(self, tile: Fields, first: int, end: int) -> Iterator[Copy]:
        if self.is_windows:
            yield from self._window_copies(tile, first, end)
            return
        axis = 1 if self.in_row else 0
        start, stop = self._input_span(first, axis), self._input_span(end, axis)
        if self.in_row:
            yield from self._column_copies(tile, start, stop)
        else:
            yield from self._row_copies(tile, start, stop)

    def _input_span(self, n: int, axis: int) -> int:
        """Return the rows or columns of the padded input that the first n results cover."""
        reach = (self.kernel[axis] - 1) * self.dilation[axis] + 1
        return (n - 1) * self.stride[axis] + reach if n > 0 else 0

    def _column_copies(self, tile: Fields, start: int, stop: int) -> Iterator[Copy]:
        """Yield the copies of columns start .. stop - 1 of the padded input."""
        left, w = int(tile["conv.pad_left"]), int(tile["conv.w"])
        inside = [min(max(column - left, 0), w) for column in (start, stop)]
        yield from _padding_copies(start * self.c, (min(stop, left) - start) * self.c)
        size, to = (inside[1] - inside[0]) * self.c, (inside[0] + left) * self.c
        if size > 0:
            yield Copy(inside[0] * self.c, to, 1, size)
        behind = max(start, left + w)
        yield from _padding_copies(behind * self.c, (stop - behind) * self.c)

    def _row_copies(self, tile: Fields, start: int, stop: int) -> Iterator[Copy]:
        """Yield the copies of rows start .. stop - 1 of the padded input."""
        columns = self._input_span(int(tile["conv.ow"]), 1)
        row = columns * self.c
        left, w = int(tile["conv.pad_left"]), int(tile["conv.w"])
        top, h = int(tile["conv.pad_top"]), int(tile["conv.h"])
        first, end = (min(max(at - top, 0), h) for at in (start, stop))
        yield from _padding_copies(start * row, (min(stop, top) - start) * row)
        behind = max(start, top + h)
        yield from _padding_copies(behind * row, (stop - behind) * row)
        inside, n = max(min(columns - left, w), 0), end - first
        if n == 0:
            return
        to, after = (first + top) * row, columns - left - inside
        step, from_at = int(tile["conv.row_stride"]), first * int(tile["conv.row_stride"])
        if inside:
            yield Copy(from_at, to + left * self.c, n, inside * self.c, step, row)
        yield from _padding_copies_of_rows(to, n, left * self.c, row)
        yield from _padding_copies_of_rows(to + (left + inside) * self.c, n, after * self.c, row)

    def _window_copies(self, tile: Fields, first: int, end: int) -> Iterator[Copy]:
        """Yield the copies of the windows of results first .. end - 1 of a row: those inside x
        together, one row of taps or one tap at a time; those over an edge one by one."""
        in_one = self.dilation[1] == 1
        taps, runs = (self.kernel[1], 1) if in_one else (1, self.kernel[1])
        left, w, window = int(tile["conv.pad_left"]), int(tile["conv.w"]), self.kernel[1] * self.c
        for run in range(runs):
            starts = [
                at * self.stride[1] + run * self.dilation[1] - left for at in range(first, end)
            ]
            inside = [at for at, x in enumerate(starts) if x >= 0 and x + taps <= w]
            to = first * window + run * self.c
            if inside:
                at, step = inside[0], self.stride[1] * self.c
                pieces = (len(inside), taps * self.c)
                yield Copy(starts[at] * self.c, to + at * window, *pieces, step, window)
            for at, x in enumerate(starts):
                if at not in inside:
                    yield from self._edge_window_copies(x, x + taps, w, to + at * window)

    def _edge_window_copies(self, x: int, end: int, w: int, to: int) -> Iterator[Copy]:
        first, last = min(max(x, 0), w), min(max(end, 0), w)
        before = (min(end, 0) - x) if x < 0 else 0
        yield from _padding_copies(to, before * self.c)
        if last > first:
            yield Copy(first * self.c, to + (first - x) * self.c, 1, (last - first) * self.c)
        behind = max(x, w)
        yield from _padding_copies(to + (behind - x) * self.c, (end - behind) * self.c)


def _padding_copies(to: int, size: int) -> Iterator[Copy]:
    """Yield the copies of padding to `size` bytes: words, and the bytes after them."""
    if size >= 4:
        yield Copy(PADDING, to, size // 4, 4, 0, 4)
    if size > 0 and size % 4:
        yield Copy(PADDING, to + size // 4 * 4, size % 4, 1, 0, 1)


def _padding_copies_of_rows(to: int, rows: int, size: int, step: int) -> Iterator[Copy]:
    """Yield the copies of padding to `size` bytes of each row, 4 at a time at most."""
    for at in range(0, size, 4):
        yield Copy(PADDING, to + at, rows, min(4, size - at), 0, step)


def _copy_cycles(copy: Copy) -> float:
    """Return about the cycles of a core."""
    return 30 + copy.pieces * (8 + copy.bytes / 3)


def _balance_copies(copies: list[Copy]) -> Iterator[Copy]:
    """Yield copies, the longest first, after cutting those that take more than a core's share."""
    share = sum(map(_copy_cycles, copies)) / CORES
    parts = [
        part for copy in copies for part in _split_copy(copy, round(_copy_cycles(copy) / share))
    ]
    yield from sorted(parts, key=_copy_cycles, reverse=True)


def _split_copy(copy: Copy, parts: int) -> Iterator[Copy]:
    """Cut a copy into at most `parts`: by pieces, or a single one by words."""
    if parts > 1 and copy.pieces == 1 and copy.from_at >= 0 and copy.bytes >= LEAST_BYTES:
        each = int(round_up(ceil_div(copy.bytes, parts), 4))
        whole, rest = divmod(copy.bytes, each)
        yield from _split_copy(
            replace(copy, pieces=whole, bytes=each, from_step=each, to_step=each), parts
        )
        behind = whole * each
        if rest:
            at, to = copy.from_at + behind, copy.to + behind
            yield replace(copy, bytes=rest, from_at=at, to=to)
        return
    each = ceil_div(copy.pieces, max(parts, 1))
    for at in range(0, copy.pieces, each):
        from_at = copy.from_at + at * copy.from_step if copy.from_at >= 0 else PADDING
        n = min(each, copy.pieces - at)
        yield replace(copy, from_at=from_at, to=copy.to + at * copy.to_step, pieces=n)
