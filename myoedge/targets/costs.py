# SPDX-License-Identifier: Apache-2.0
"""Cycles of kernels and transfers, as a chip's table states them: estimates, not measurements."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class KernelCost:
    """Cycles of a kernel on an engine.

    unit_cycles    of one core for a unit of work; the kernel's tiling defines the unit
    tile_cycles    of every tile besides: the call, what is around its loops, misses of the core's
                   own instruction cache
    layer_cycles   of a layer's first tile besides, where the layer before runs another kernel: code
                   that comes from L2
    """

    unit_cycles: float
    tile_cycles: float
    layer_cycles: float = 0.0

    def cycles(self, work: float) -> float:
        """Cycles of a tile by the units of work on its busiest core; also for arrays."""
        return self.unit_cycles * work + self.tile_cycles


@dataclass(frozen=True, slots=True)
class TransferCost:
    """Cycles of what is around kernels: transfers, barriers, the core that controls the tiles.

    bytes_per_cycle        of the DMA between L1 and L2, each direction
    line_cycles            of the DMA, of each line of a transfer into L1
    command_cycles         of the control core, to start a transfer
    contention             part of a cycle of computation that the DMA loses: banks of L1 are shared
    barrier_cycles         before each tile
    tile_setup_cycles      of the control core, of each tile: its arguments
    layer_setup_cycles     of the control core, of each layer
    network_cycles         of the first layer: empty instruction caches
    ninth_core_cycles      of each tile that the control core computes too
    l3_command_cycles      of the control core, to start a transfer between L3 and L2
    l3_start_cycles        of L3, before the first byte of a transfer
    l2_operand_factor      times the cycles of a unit of work, where a kernel's operands stay in L2
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
    l3_command_cycles: float = 0.0
    l3_start_cycles: float = 250.0
    l2_operand_factor: float = 4.2

    def load_cycles(self, size_bytes: float, lines: float) -> float:
        """DMA cycles of a transfer into L1; also for arrays of sizes."""
        return size_bytes / self.bytes_per_cycle + lines * self.line_cycles

    def store_cycles(self, size_bytes: float) -> float:
        """DMA cycles of a transfer out of L1, without a cost per line."""
        return size_bytes / self.bytes_per_cycle
