# SPDX-License-Identifier: Apache-2.0
"""[core] of board.toml: a chip's core and the memories of a program in flash."""

from __future__ import annotations

from dataclasses import dataclass, replace

from myoedge.targets.chip import Chip


@dataclass(frozen=True, slots=True)
class Core:
    """The core of a board's chip while it computes, from a data sheet or a meter.

    clock_hz     clock of the core
    current_ma   mean current from the supply, in milliamperes, of a program in flash
    supply_v     supply voltage
    ram_bytes, flash_bytes   memories of a program in flash; 0: as QEMU's board
    """

    clock_hz: int
    current_ma: float
    supply_v: float
    ram_bytes: int = 0
    flash_bytes: int = 0

    def latency_s(self, cycles: int) -> float:
        return cycles / self.clock_hz

    def energy_uj(self, cycles: int) -> float:
        return 1e3 * self.current_ma * self.supply_v * self.latency_s(cycles)

    def limited(self, chip: Chip) -> Chip:
        """Return a chip of programs in flash with the sizes of these memories, at most its own: a
        program is linked for the memories of QEMU's board all the same."""
        ram_bytes = min(self.ram_bytes or chip.l2_bytes, chip.l2_bytes)
        flash_bytes = min(self.flash_bytes or chip.flash_bytes, chip.flash_bytes)
        return replace(chip, l2_bytes=ram_bytes, flash_bytes=flash_bytes)
