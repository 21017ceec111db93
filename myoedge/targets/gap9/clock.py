# SPDX-License-Identifier: Apache-2.0
"""Clocks of programs for GAP9 without an SDK, which set the clock generator themselves.

The generator multiplies its reference. 376 gives 370.5 MHz and 244 gives 240 MHz in the programs
that were recorded on GAP9's platform model (GreenWaves gap_sdk 4.12). Its dividers (CCR1 of the
register page "fll": whole numbers up to 255) give clocks below half of its highest, and separate
ones for the peripherals, the controller and the cluster. Such programs set no voltage.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

STEP_HZ = Fraction(370_500_000, 376)  # of the generator
MOST_GENERATED_HZ = 370_500_000
MOST_DIVIDER = 255


@dataclass(frozen=True, slots=True)
class ChipClock:
    """Settings of the clock generator and its dividers, and the clocks that they give.

    multiplier    of the generator's reference
    divider, hz   of controller and cluster while the network runs
    waiting       cycles of this clock in one of the clock while the program waits
    periph_divider, periph_hz   of SPI, UART and the memories beside L2, always
    """

    multiplier: int
    divider: int
    hz: int
    waiting: int
    periph_divider: int
    periph_hz: int

    @property
    def waiting_hz(self) -> int:
        """Clock of controller and cluster while the program waits."""
        return round(self.multiplier * STEP_HZ / (self.divider * self.waiting))


def chip_clock(clock_hz: int, waiting_hz: int = 0, *, fast_peripherals: bool = False) -> ChipClock:
    """Return the settings for a clock: the nearest one that is not below.

    waiting_hz         clock while the program waits, the nearest one that is not below; 0: the same
    fast_peripherals   whether the peripherals have the network's clock, as memories beside L2
                       need, rather than the one of waiting
    """
    divider = max(MOST_GENERATED_HZ // clock_hz, 1)
    multiplier = int(-(-clock_hz * divider // STEP_HZ))
    exact_hz = multiplier * STEP_HZ / divider
    waiting = min(max(int(exact_hz // (waiting_hz or exact_hz)), 1), MOST_DIVIDER // divider)
    periph_divider = divider if fast_peripherals else divider * waiting
    periph_hz = round(multiplier * STEP_HZ / periph_divider)
    return ChipClock(multiplier, divider, round(exact_hz), waiting, periph_divider, periph_hz)
