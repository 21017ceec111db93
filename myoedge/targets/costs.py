# SPDX-License-Identifier: Apache-2.0
"""Cost models of kernels, and of transfers, barriers and control around them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class KernelCost:
    """Estimated cycles of a kernel on an engine.

    unit_cycles    cycles of one core per unit of work; the kernel's tiling defines the unit
    tile_cycles    additional cycles per tile: call, code around the loops, misses of the core's own
    instruction cache
    layer_cycles   additional cycles of a layer's first tile after another kernel, to load code from
                   L2
    warm_cycles    cycles saved per tile after a layer's first COLD_TILES, when its code is in the
                   cores' own instruction caches
    dma_delay      cycles lost per cycle of the DMA, which uses the same L1 banks
    """

    unit_cycles: float
    tile_cycles: float
    layer_cycles: float = 0.0
    warm_cycles: float = 0.0
    dma_delay: float = 0.0

    def cycles(self, work: float) -> float:
        """Return the cycles of a tile.

        work   units of work on the busiest core; a number or an array
        """
        return self.unit_cycles * work + self.tile_cycles


@dataclass(frozen=True, slots=True)
class TransferCost:
    """Cost model of everything around kernels, in cycles: transfers, barriers, control of tiles.

    bytes_per_cycle      rate of the DMA between L1 and L2, in each direction
    line_cycles          cycles of the DMA per row of a transfer into L1
    command_cycles       cycles of the control core to start a transfer
    contention           fraction of a compute cycle that the DMA loses, because L1 banks are shared
    barrier_cycles       cycles of a barrier, before each tile
    tile_setup_cycles    cycles of the control core for each tile's arguments
    layer_setup_cycles   cycles of the control core per layer
    network_cycles       additional cycles of the first layer, with empty instruction caches
    ninth_core_cycles    additional cycles per tile if the control core also computes
    level_command_cycles  cycles of the control core to start a transfer between a level and L2
    cache_code_cycles    cycles for loading as much kernel code as the cluster's shared instruction
                         cache holds
    l2_operand_factor    factor on the cycles of a unit of work with operands in L2
    """

    bytes_per_cycle: float = 8.0
    line_cycles: float = 0.0
    command_cycles: float = 0.0
    contention: float = 0.0
    barrier_cycles: float = 0.0
    tile_setup_cycles: float = 0.0
    layer_setup_cycles: float = 0.0
    network_cycles: float = 0.0
    ninth_core_cycles: float = 0.0
    level_command_cycles: float = 0.0
    cache_code_cycles: float = 0.0
    l2_operand_factor: float = 4.2

    def load_cycles(self, size_bytes: float, lines: float) -> float:
        """Return the DMA cycles of a transfer into L1, as an array if sizes are arrays.

        lines   rows of the transfer
        """
        return size_bytes / self.bytes_per_cycle + lines * self.line_cycles

    def store_cycles(self, size_bytes: float) -> float:
        """Return the DMA cycles of a transfer out of L1, without a cost per row."""
        return size_bytes / self.bytes_per_cycle


class ByteCost(NamedTuple):
    """Cycles per byte of a layer's constants, if L2 cannot hold those of all layers.

    loaded   of loading them into L2 while the layer computes
    held     of the L2 that they take, because other layers then load more
    """

    loaded: float = 0.0
    held: float = 0.0


NO_BYTE_COST = ByteCost()
