# SPDX-License-Identifier: Apache-2.0
"""More than two buffers for what a layer reads, so that the DMA goes on while one tile takes long.

Where tiles take about as long to compute as to load, the first one takes longer: its code is not in
the caches yet. With two buffers the DMA then waits for the cores, and later they for it.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import replace

from myoedge.operators.kernel import TiledKernel
from myoedge.plan.l1.prefetch import moved_cycles
from myoedge.plan.l1.tile_search import ALIGNMENT, TileChoice
from myoedge.plan.l1.tiling import Tiling, unplaced
from myoedge.targets.costs import TransferCost

DEPTHS = (3, 4, 6, 8)
MOST_COMMANDS = 9  # of the DMA for tiles to come: its queue holds ten, and then the core waits
LEAST_MOVED = 0.7  # of the time for computing: where loads take less, two buffers do


def deeper(
    kernel: TiledKernel, room: int, resident: Container[str], cost: TransferCost, choice: TileChoice
) -> Iterator[TileChoice]:
    """Equal tiles with more buffers, as far as these take at most `room` bytes of L1."""
    tiling = unplaced(kernel, choice, resident)
    count = len(tiling.tiles)
    if count <= 2 or choice.l1_bytes > room or not _waits(tiling, cost):
        return
    commands = max(len(tile.loads) for tile in tiling.tiles[1:])
    for depth in sorted({min(depth, count) for depth in DEPTHS}):
        more = replace(choice, depth=depth)
        size = sum(_up(b.size_bytes) for b in unplaced(kernel, more, resident).buffers)
        if size <= room and (depth - 1) * commands <= MOST_COMMANDS:
            yield replace(more, l1_bytes=size)


def _waits(tiling: Tiling, cost: TransferCost) -> bool:
    """Whether cores may have to wait for the DMA."""
    sizes = {**tiling.kernel.axes, **tiling.choice.sizes}
    computed = len(tiling.tiles) * float(tiling.kernel.cycles(sizes))
    moved = sum(moved_cycles(tile.loads, cost) for tile in tiling.tiles)
    return moved > LEAST_MOVED * computed


def _up(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT
