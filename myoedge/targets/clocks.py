# SPDX-License-Identifier: Apache-2.0
"""Clocks of a chip: those that programs set, with their dividers, and those of memories that do not
follow the chip's operating point."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

MOST_WAITING_ERROR = Fraction(1, 20)  # of the clock of waiting, which plans take as asked for


@dataclass(frozen=True, slots=True)
class ChipClock:
    """Settings of the clock generator and its dividers, and the clocks that they give.

    multiplier    of the generator's reference
    divider, hz   of controller and cluster while the network runs
    waiting       cycles of this clock in one of the clock while the program waits
    periph_divider, periph_hz   of SPI, UART and the memories beside L2, always
    step_hz       reference of the generator
    """

    multiplier: int
    divider: int
    hz: int
    waiting: int
    periph_divider: int
    periph_hz: int
    step_hz: Fraction

    @property
    def waiting_hz(self) -> int:
        """Clock of controller and cluster while the program waits."""
        return round(self.multiplier * self.step_hz / (self.divider * self.waiting))

    def waits_at(self, asked_hz: int) -> bool:
        """Return whether a divider of 2 or more makes a clock of waiting as asked for, or little
        above it."""
        return self.waiting > 1 and self.waiting_hz <= (1 + MOST_WAITING_ERROR) * asked_hz


@dataclass(frozen=True, slots=True)
class ClockGenerator:
    """A generator that multiplies a reference, with dividers behind it.

    most_hz           highest clock that it generates
    most_multiplier   of the reference, for this clock
    most_divider      largest divider, a whole number
    """

    most_hz: int
    most_multiplier: int
    most_divider: int

    @property
    def step_hz(self) -> Fraction:
        """Clock of the reference."""
        return Fraction(self.most_hz, self.most_multiplier)

    def settings(
        self, clock_hz: int, waiting_hz: int = 0, *, fast_peripherals: bool = False
    ) -> ChipClock:
        """Return the settings for a clock: the nearest one that is not below.

        waiting_hz         clock while the program waits, the nearest one that is not below; 0: the
                           same
        fast_peripherals   whether the peripherals have the network's clock, as memories beside L2
                           need, rather than the one of waiting
        """
        divider = max(self.most_hz // clock_hz, 1)
        multiplier = int(-(-clock_hz * divider // self.step_hz))
        exact_hz = multiplier * self.step_hz / divider
        most = self.most_divider // divider
        waiting = min(max(int(exact_hz // (waiting_hz or exact_hz)), 1), most)
        periph_divider = divider if fast_peripherals else divider * waiting
        periph_hz = round(multiplier * self.step_hz / periph_divider)
        made = (multiplier, divider, round(exact_hz), waiting, periph_divider, periph_hz)
        return ChipClock(*made, self.step_hz)


# --- clocks of memories ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DividedClock:
    """The clock of a memory that does not follow the chip's: the chip's clock divided by a whole
    number.

    most_hz           highest clock of the memory
    word_bytes        bytes per access
    held_cycles       cycles of the chip per access in addition to a period, as a FIFO behind the
                      memory holds it up, with dividers below
    free_divider      from which on it does not
    start_periods     periods of the memory before the first byte, in addition to
    start_cycles      cycles of the chip
    """

    most_hz: int
    word_bytes: int
    held_cycles: int
    free_divider: int
    start_periods: int
    start_cycles: int

    def divider(self, chip_hz: int) -> int:
        """Return the cycles of the chip per period of the memory."""
        return -(-chip_hz // self.most_hz)

    def bounds_hz(self, most_chip_hz: int) -> range:
        """Return the highest clock of the chip with each divider, up to a clock of the chip."""
        end = self.divider(most_chip_hz) * self.most_hz
        return range(self.most_hz, end + 1, self.most_hz)

    def rate(self, chip_hz: int) -> float:
        """Return the bytes per cycle of the chip."""
        divider = self.divider(chip_hz)
        held_cycles = self.held_cycles if divider < self.free_divider else 0
        return self.word_bytes / (divider + held_cycles)

    def first_cycles(self, chip_hz: int) -> float:
        """Return the cycles of the chip before the first byte."""
        return self.start_periods * self.divider(chip_hz) + self.start_cycles
