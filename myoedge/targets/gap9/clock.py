# SPDX-License-Identifier: Apache-2.0
"""Clock of programs for GAP9 without an SDK, which set the clock generator themselves.

The generator multiplies its reference. 376 gives 370.5 MHz and 244 gives 240 MHz in the programs
that were recorded on GAP9's platform model (GreenWaves gap_sdk 4.12). Clocks below half of its
highest are divided (CCR1 of the register page "fll": whole numbers up to 255). Such programs set no
voltage.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

STEP_HZ = Fraction(370_500_000, 376)  # of the generator
MOST_GENERATED_HZ = 370_500_000


@dataclass(frozen=True, slots=True)
class ChipClock:
    """A setting of the clock generator and its divider, and the clock that they give in Hz."""

    multiplier: int
    divider: int
    hz: int


def chip_clock(clock_hz: int) -> ChipClock:
    """Return the setting for a clock: the nearest one that is not below."""
    divider = max(MOST_GENERATED_HZ // clock_hz, 1)
    multiplier = -(-clock_hz * divider // STEP_HZ)
    return ChipClock(multiplier, divider, round(multiplier * STEP_HZ / divider))
