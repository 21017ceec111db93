# SPDX-License-Identifier: Apache-2.0
"""Published runs of MLPerf Tiny v1.0 on Cortex-M, by the instructions of the same C.

The submissions of OctoML (github.com/mlcommons/tiny_results_v1.0, closed/OctoML) contain the C that
ran: of microTVM, with CMSIS-NN ("nn") or without. GCC 12.2 -O2 compiled it, with CMSIS-NN of June
2022 (06ce55bf); QEMU 7.2 counted a run (-icount shift=0). There are no such results for Cortex-M55.
"""

from __future__ import annotations

from myoedge.targets.cycle_factor import CycleFactor, PublishedRun

L4R5_HZ, NRF5340_HZ = 120_000_000, 128_000_000
ON_M4 = CycleFactor(
    (
        PublishedRun("ic, nn", L4R5_HZ, 2.567, 31_946_880),
        PublishedRun("kws, nn", L4R5_HZ, 10.019, 8_444_920),
        PublishedRun("vww, nn", L4R5_HZ, 3.320, 24_823_520),
        PublishedRun("ad, nn", L4R5_HZ, 116.212, 599_400),
        PublishedRun("ic", L4R5_HZ, 2.569, 33_821_120),
        PublishedRun("kws", L4R5_HZ, 6.943, 10_050_160),
        PublishedRun("ad", L4R5_HZ, 85.339, 954_320),
    ),
    "MLPerf Tiny v1.0, STM32L4R5 at 120 MHz",
)
ON_M33 = CycleFactor(
    (
        PublishedRun("ic, nn", NRF5340_HZ, 3.163, 31_975_650),
        PublishedRun("kws, nn", NRF5340_HZ, 13.143, 8_443_650),
        PublishedRun("vww, nn", NRF5340_HZ, 4.310, 24_731_050),
        PublishedRun("ad, nn", NRF5340_HZ, 159.579, 591_950),
    ),
    "MLPerf Tiny v1.0, nRF5340 at 128 MHz",
)
