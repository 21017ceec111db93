# SPDX-License-Identifier: Apache-2.0
"""Energy model of GAP9: weights of counters, coefficients fitted to published figures,
uncertainties.

The four free coefficients (VALUES without those of L3 and MRAM) are fitted: `python -m
tests.energy_page fit` derives them from PUBLISHED and recorded counters and writes them below;
docs/developers/energy.md shows how well they predict each workload when it is left out of the fit.
No board has been measured.
"""

from __future__ import annotations

from myoedge.targets.costs import EnergyModel

VOLTS = 0.80  # voltage of the coefficients; dynamic energy scales with V^2, leakage power with V

# Relative weights of the counters, from GVSoC's power model of GAP9 in the public gap_sdk 4.12
# (power_models/core/riscy.json, l1/l1.json). Its documents call it preliminary, and its totals are
# a third of measured ones: only the ratio is used, and one factor is fitted.
INSTRUCTION_PJ = 4.98
ACCESS_PJ = 2.124  # per word in L1
DMA_BYTE_PJ = ACCESS_PJ / 4  # a word in L1; no figure for L2 is published, so that it is left out

# Per byte from or to L3, chip and memory: not fitted. A memory of the same width, rate and supply
# takes at most 324 pJ (HyperRAM S27KS0641, data sheet 001-97964 *L: 60 mA, 1.8 V, 333 MB/s); no
# figure for GAP9's pads and controller is published. 300 to 900 pJ (2 sigma).
L3_BYTE_PJ, L3_SIGMA = 600.0, 0.25

# Per byte read from the flash on the chip (MRAM): assumed, as no source has a figure for GAP9. 20
# pJ is remembered of Vega, its research sibling (arXiv 2110.09101), and was not found again. Up to
# 100 pJ at 2 sigma.
MRAM_BYTE_PJ, MRAM_SIGMA = 20.0, 2.0

# Fitted: leakage (mW); clock trees and idle fabric controller (pJ per cycle); factor of the
# weights; busy cycle of NE16 (pJ).
VALUES = (4.28782, 34.2382, 2.43405, L3_BYTE_PJ, 134.964, MRAM_BYTE_PJ)
COVARIANCE = (
    (5.59655, -20.7434, 0.0518915, 0.0, -2.39408, 0.0),
    (-20.7434, 88.5016, -0.572053, 0.0, -3.38021, 0.0),
    (0.0518915, -0.572053, 0.0759294, 0.0, -0.835281, 0.0),
    (0.0, 0.0, 0.0, (L3_SIGMA * L3_BYTE_PJ) ** 2, 0.0, 0.0),
    (-2.39408, -3.38021, -0.835281, 0.0, 156.148, 0.0),
    (0.0, 0.0, 0.0, 0.0, 0.0, (MRAM_SIGMA * MRAM_BYTE_PJ) ** 2),
)
WORKLOAD = 0.149  # relative error for a workload outside the fit, root mean square
BOARD = 0.075  # between boards and chips: 15 % at two sigma, assumed, as nothing is published

# Instructions, L1 accesses and DMA bytes per cycle of a long layer on the cores: means over the
# recorded networks. A short layer is mostly start-up: it has half of them at START_CYCLES.
TYPICAL = (6.64, 2.37, 1.23)
START_CYCLES = 4000
# The same for a layer on NE16, which is busy for this fraction of the cycles after its start: 3,000
# cycles before the jobs were data, which saves 400 to 1,300 in ten layers of three chains.
TYPICAL_ON_NE16, NE16_BUSY, NE16_START_CYCLES = (1.15, 0.46, 0.8), 0.85, 1800
# Relative error, root mean square over thirty networks, also small ones (test_energy_intervals), of
# energies by these means instead of counters.
TYPICAL_ERROR = 0.19
# Of modelled instead of counted cycles: estimates of whole networks must be within 25 %
# (docs/developers/performance.md), taken as two sigma.
MODELLED_ERROR = 0.125

# (workload, operating point) -> mean milliwatts. MLPerf Tiny v1.0, closed division, GAP9 EVK of
# GreenWaves: microjoules divided by milliseconds of the results; idle power between windows from
# its logs, middle of the range. They ran on NE16 for PUBLISHED_CYCLES. TinyMyo: arXiv 2512.15729;
# its clock follows from its cycles, 0.80 V from the clock.
PUBLISHED = {
    ("idle", "low"): 8.65,
    ("idle", "high"): 16.6,
    ("AD", "low"): 19.3,
    ("AD", "high"): 41.4,
    ("IC", "low"): 28.9,
    ("IC", "high"): 65.0,
    ("KWS", "low"): 25.3,
    ("KWS", "high"): 56.0,
    ("VWW", "low"): 23.6,
    ("VWW", "high"): 52.0,
    ("TinyMyo", "high"): 57.18,
}

# Cycles of these results: milliseconds times clock, equal at both points within 0.1 %.
PUBLISHED_CYCLES = {"AD": 65_000, "IC": 227_900, "KWS": 175_800, "VWW": 416_000}

# Asleep with memories retained: GAP9's figure is not public. 1.7 uW is Vega's (arXiv 2110.09101), a
# research chip of the same family and process; the upper bound is the whole leakage above.
SLEEP_MW = 0.0017
# Half sleep of the PSRAM with data retained: 40 uA at 1.8 V (APS256XXN data sheet 1.00).
L3_ASLEEP_MW = 0.072
# To fall asleep and wake with L2 retained (GAP9 SDK, "Using low power modes": about 1.2 ms).
WAKE_S = 1.2e-3

ENERGY = EnergyModel(
    VOLTS,
    INSTRUCTION_PJ,
    ACCESS_PJ,
    DMA_BYTE_PJ,
    VALUES,
    COVARIANCE,
    WORKLOAD,
    BOARD,
    TYPICAL,
    START_CYCLES,
    TYPICAL_ON_NE16,
    NE16_BUSY,
    NE16_START_CYCLES,
    TYPICAL_ERROR,
    MODELLED_ERROR,
    SLEEP_MW,
    L3_ASLEEP_MW,
    WAKE_S,
)
