# SPDX-License-Identifier: Apache-2.0
"""DMA commands that move a region of an operand between L1 and the other memory."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from myoedge.graph.ir import Shape
from myoedge.operators.kernel import Operand, Region


@dataclass(frozen=True, slots=True)
class Transfer:
    """One DMA command: rows of bytes, contiguous in L1, strided in the other memory.

    operand   name of the operand
    at        offset in bytes in the operand, outside L1
    l1        offset in bytes in L1
    bytes     total bytes
    line      bytes per row
    stride    bytes between the starts of rows outside L1; 0 for one row
    """

    operand: str
    at: int
    l1: int
    bytes: int
    line: int
    stride: int

    @property
    def end(self) -> int:
        """Offset in the operand of the first byte after the transfer."""
        return self.at + (self.bytes // self.line - 1) * self.stride + self.line


def transfers(operand: Operand, region: Region, l1: int) -> Iterator[Transfer]:
    """Yield the DMA commands, as few as possible, for a region of an operand.

    l1   offset of its buffer in L1
    """
    for more, at, size, line, stride in _commands(operand.shape, operand.itemsize, region):
        yield Transfer(operand.name, at, l1 + more, size, line, stride)


@lru_cache(maxsize=1 << 14)  # plans are tried that differ only in addresses
def _commands(shape: Shape, itemsize: int, region: Region) -> tuple[tuple[int, ...], ...]:
    """Return, per DMA command: (offset in the L1 buffer, offset in the operand, total bytes, bytes
    of a row, stride)."""
    if region.size == 0:
        return ()
    run, loops = _runs(shape, itemsize, region.extent)
    strides = _strides(shape, itemsize)
    start = sum(s * stride for s, stride in zip(region.start, strides, strict=True))
    found: list[tuple[int, ...]] = []
    *outer, (count, stride) = loops or ((1, 0),)
    for index in itertools.product(*(range(n) for n, _ in outer)):
        at = start + sum(i * s for i, (_, s) in zip(index, outer, strict=True))
        found.append((len(found) * run * count, at, run * count, run, stride if count > 1 else 0))
    return tuple(found)


def start_bytes(operand: Operand, region: Region) -> int:
    """Return the byte offset of a region's first element in the operand."""
    strides = _strides(operand.shape, operand.itemsize)
    return sum(s * stride for s, stride in zip(region.start, strides, strict=True))


@lru_cache
def _strides(shape: Shape, itemsize: int) -> tuple[int, ...]:
    return tuple(itemsize * math.prod(shape[d + 1 :]) for d in range(len(shape)))


@lru_cache
def _runs(shape: Shape, itemsize: int, part: Shape) -> tuple[int, tuple[tuple[int, int], ...]]:
    """Return the bytes of a contiguous run of a region, and the (count, stride) of the loops over
    its runs, outermost first."""
    run = itemsize
    loops: list[tuple[int, int]] = []
    for extent, stride in zip(reversed(part), reversed(_strides(shape, itemsize)), strict=True):
        if extent == 1:
            continue
        if not loops and stride == run:
            run *= extent
        elif loops and stride == loops[0][0] * loops[0][1]:
            loops[0] = (loops[0][0] * extent, loops[0][1])
        else:
            loops.insert(0, (extent, stride))
    return run, tuple(loops)
