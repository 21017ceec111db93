# SPDX-License-Identifier: Apache-2.0
"""Cost models of a chip: of kernels, transfers, barriers and control; cycles per instruction;
energy of layers and of sleep."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
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
    change_cycles  cycles of the control core for loading the code that changes tiles, during a
                   layer's first tile
    warm_cycles    cycles saved per tile after a layer's first COLD_TILES, when its code is in the
                   cores' own instruction caches
    dma_delay      cycles lost per cycle of the DMA, which uses the same L1 banks
    """

    unit_cycles: float
    tile_cycles: float
    layer_cycles: float = 0.0
    change_cycles: float = 0.0
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
    level_wait_cycles    cycles of the control core behind a transfer to L2 for which it waited
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
    level_wait_cycles: float = 0.0
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


class KernelEstimate(NamedTuple):
    """Estimate of a kernel for a single layer.

    cycles           with those of loading its code; inf: no tile fits
    constant_bytes   bytes of its constants in L2
    """

    cycles: float
    constant_bytes: int


class ByteCost(NamedTuple):
    """Cycles per byte of a layer's constants, if L2 cannot hold those of all layers.

    loaded   of loading them into L2 while the layer computes
    held     of the L2 that they take, because other layers then load more
    """

    loaded: float = 0.0
    held: float = 0.0


NO_BYTE_COST = ByteCost()


# --- cycles per instruction -----------------------------------------------------------------------


# Student's t for 95 % with 1, 2, ... degrees of freedom
STUDENT = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)


@dataclass(frozen=True, slots=True)
class PublishedRun:
    """A program that others ran on a chip with the core.

    clock_hz       clock of the chip
    runs_per_s     published runs per second
    instructions   of one run, counted here
    """

    name: str
    clock_hz: int
    runs_per_s: float
    instructions: int

    @property
    def cycles_per_instruction(self) -> float:
        return self.clock_hz / self.runs_per_s / self.instructions


@dataclass(frozen=True, slots=True)
class CycleFactor:
    """Cycles per instruction of a core: mean of published runs, which include the waiting for the
    flash of their boards.

    runs     the published runs, 2 to 11
    source   where they are from
    """

    runs: Sequence[PublishedRun]
    source: str

    def cycles(self, instructions: int) -> tuple[int, int, int]:
        """Return the cycles of another program: estimate, and its 95 % interval."""
        found = [run.cycles_per_instruction for run in self.runs]
        mean, margin = statistics.mean(found), statistics.stdev(found) * STUDENT[len(found) - 2]
        margin *= (1 + 1 / len(found)) ** 0.5
        value, low, high = (round(instructions * x) for x in (mean, mean - margin, mean + margin))
        return value, low, high


# --- energy ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class EnergyModel:
    """Energy of a chip. power/model.py has the formula.

    volts            voltage of the coefficients; dynamic energy scales with V^2, leakage with V
    instruction_pj, access_pj, dma_byte_pj   weights of the counters, whose factor is fitted
    values           leakage in mW, clocks in pJ per cycle, factor of the weights, pJ per byte of
                     L3, pJ per busy cycle of the accelerator, pJ per byte of the flash on the chip
    covariance       covariance of the values
    workload, board  relative standard deviations between workloads, and between boards
    typical          instructions, L1 accesses and DMA bytes per cycle of a long layer on the cores
    start_cycles     cycles of a layer that has half of them
    engine_typical   the same as `typical` for a layer on the accelerator, which is busy for
    engine_busy      this fraction of the cycles after
    engine_start_cycles   its start
    typical_error    relative error of energies by these means instead of counters
    modelled_error   of modelled instead of counted cycles
    sleep_mw         asleep with memories retained
    l3_asleep_mw     L3 asleep with data retained
    wake_s           to fall asleep and wake
    """

    volts: float
    instruction_pj: float
    access_pj: float
    dma_byte_pj: float
    values: tuple[float, ...]
    covariance: tuple[tuple[float, ...], ...]
    workload: float
    board: float
    typical: tuple[float, float, float]
    start_cycles: float
    engine_typical: tuple[float, float, float]
    engine_busy: float
    engine_start_cycles: float
    typical_error: float
    modelled_error: float
    sleep_mw: float
    l3_asleep_mw: float
    wake_s: float
