# SPDX-License-Identifier: Apache-2.0
"""All combinations of tile sizes of a layer, with the bytes and cycles of each."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from myoedge.numerics.arrays import Array, round_up
from myoedge.operators.kernel import TiledKernel
from myoedge.targets.costs import TransferCost

ALIGNMENT = 8  # bytes: start of a buffer in L1
READ_BYTES = 4  # that a kernel reads at once: a buffer in L1 has whole ones (plan/check.py)


def distinct(extent: int) -> list[int]:
    """Return the tile sizes of an axis that lead to different numbers of tiles, ascending; if
    several sizes give one number, the smallest.

    extent   elements along the axis
    """
    return sorted({-(-extent // count) for count in range(1, extent + 1)})


def cut_axes(kernel: TiledKernel) -> list[str]:
    return [axis for axis in (*kernel.unit_axes, *kernel.split) if kernel.axes[axis] > 1]


@dataclass(frozen=True, eq=False)
class Grid:
    """All combinations of a layer's tile sizes, with the bytes and cycles of each for any loop
    order.

    kernel   kernel of the layer
    cost     cost of DMA transfers
    sizes    axis that may be tiled -> tile sizes
    counts   axis -> number of tiles
    """

    kernel: TiledKernel
    cost: TransferCost
    sizes: Mapping[str, Array]
    counts: Mapping[str, Array]

    @staticmethod
    def of(kernel: TiledKernel, cost: TransferCost) -> Grid:
        cut = cut_axes(kernel)
        each = []
        for axis in cut:  # distinct sizes, each rounded up to the kernel's multiple
            extent, multiple = kernel.axes[axis], kernel.multiples.get(axis, 1)
            powers = (1 << n for n in range(extent.bit_length()))
            sizes = {*powers, extent} if axis in kernel.doubled_axes else distinct(extent)
            full = (min(round_up(size, multiple), extent) for size in sizes)
            each.append([1] if axis in kernel.unit_axes else sorted({*sizes, *full}))
        mesh = np.meshgrid(*[np.array(e, np.int64) for e in each], indexing="ij")
        flat = {axis: part.reshape(-1) for axis, part in zip(cut, mesh, strict=True)}
        counts = {axis: -(-kernel.axes[axis] // size) for axis, size in flat.items()}
        return Grid(kernel, cost, flat, counts)

    @cached_property
    def all_sizes(self) -> dict[str, Array | int]:
        return {**self.kernel.axes, **self.sizes}

    @cached_property
    def tiles(self) -> Array:
        total = np.ones(max((len(x) for x in self.sizes.values()), default=1), np.int64)
        for count in self.counts.values():
            total = total * count
        return total

    @cached_property
    def scratch_bytes(self) -> Array:
        scratch = np.asarray(self.kernel.scratch(self.all_sizes))
        return np.asarray(aligned(scratch + np.zeros(len(self.tiles), np.int64)))

    @cached_property
    def operand_bytes(self) -> dict[str, Array]:
        """Bytes of a tile's buffer, by operand."""
        operands = self.kernel.operands
        return {o.name: np.asarray(aligned(o.footprint(self.all_sizes))) for o in operands}

    @cached_property
    def transfer_cycles(self) -> dict[str, Array]:
        """Cycles of one tile's transfer between L2 and L1, by operand."""
        cycles = dict[str, Array]()
        for operand in self.kernel.operands:
            size, lines = operand.footprint(self.all_sizes), operand.lines(self.all_sizes)
            load_cycles = self.cost.command_cycles + self.cost.load_cycles(size, lines)
            cycles[operand.name] = np.asarray(load_cycles)
        return cycles

    @cached_property
    def compute_cycles(self) -> Array:
        """Compute cycles of all tiles of each combination; the last tile along an axis may be
        smaller."""
        axes = list(self.sizes)
        total = np.zeros(len(self.tiles))
        for last in itertools.product((False, True), repeat=len(axes)):
            sizes: dict[str, Array | int] = dict(self.kernel.axes)
            times = np.ones(len(total))
            for axis, at_end in zip(axes, last, strict=True):
                size, count = self.sizes[axis], self.counts[axis]
                rest = self.kernel.axes[axis] - (count - 1) * size
                sizes[axis] = rest if at_end else size
                times = times * (1 if at_end else count - 1)
            total = total + np.where(times > 0, times * self.kernel.cycles(sizes), 0.0)
        return total

    def delay_cycles(self, times: Mapping[str, Array]) -> Array:
        """Return the cycles that all tiles lose because the DMA uses the same L1 banks.

        times   operand -> how often its tile is transferred
        """
        moved = np.zeros(len(self.tiles))
        for name, often in times.items():
            moved += self.operand_bytes[name] * often / self.cost.bytes_per_cycle
        return np.asarray(self.kernel.cost.dma_delay * moved)


def readable(size_bytes: int) -> int:
    """Return the bytes of a buffer in L1 for this much data, which kernels read in words."""
    return int(round_up(max(size_bytes, 1), READ_BYTES))


def aligned(size: Any) -> Any:
    """Round the size of a buffer up to the alignment of buffers in L1."""
    return round_up(size, ALIGNMENT)
