# SPDX-License-Identifier: Apache-2.0
"""GAP9's clock generator.

376 times its reference gives 370.5 MHz and 244 times 240 MHz in the programs that were recorded on
GAP9's platform model (GreenWaves gap_sdk 4.12). Its dividers (CCR1 of the register page "fll":
whole numbers up to 255) give clocks below half of its highest, and separate ones for the
peripherals, the controller and the cluster. Such programs set no voltage.
"""

from __future__ import annotations

from myoedge.targets.clock_generator import ClockGenerator

CLOCKS = ClockGenerator(370_500_000, most_multiplier=376, most_divider=255)
