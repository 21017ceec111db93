# SPDX-License-Identifier: Apache-2.0
"""Clock of programs for GAP9 without an SDK, which set the clock generator themselves.

The generator multiplies its reference. 376 gives 370.5 MHz and 244 gives 240 MHz in the programs
that were recorded on GAP9's platform model (GreenWaves gap_sdk 4.12). Such programs set no voltage.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

STEP_HZ = Fraction(370_500_000, 376)  # of the generator


@dataclass(frozen=True, slots=True)
class ChipClock:
    """A setting of the clock generator, and the clock that it gives in Hz."""

    multiplier: int
    hz: int


def chip_clock(clock_hz: int) -> ChipClock:
    """Return the setting of the clock generator for a clock: the nearest one that is not below."""
    multiplier = -(-clock_hz // STEP_HZ)
    return ChipClock(multiplier, round(multiplier * STEP_HZ))
