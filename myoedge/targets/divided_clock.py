# SPDX-License-Identifier: Apache-2.0
"""Clock of a memory that does not follow the chip's operating point."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DividedClock:
    """The clock of a memory that does not follow the chip's: the chip's clock divided by a whole
    number.

    most_hz           highest clock of the memory
    word_bytes        bytes per access
    least_cycles      least cycles of the chip per access
    start_periods     periods of the memory before the first byte, in addition to
    start_cycles      cycles of the chip
    """

    most_hz: int
    word_bytes: int
    least_cycles: int
    start_periods: int
    start_cycles: int

    def divider(self, chip_hz: int) -> int:
        """Return the cycles of the chip per period of the memory."""
        return -(-chip_hz // self.most_hz)

    def rate(self, chip_hz: int) -> float:
        """Return the bytes per cycle of the chip."""
        return self.word_bytes / max(self.least_cycles, self.divider(chip_hz))

    def first_cycles(self, chip_hz: int) -> float:
        """Return the cycles of the chip before the first byte."""
        return self.start_periods * self.divider(chip_hz) + self.start_cycles
