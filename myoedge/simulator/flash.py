# SPDX-License-Identifier: Apache-2.0
"""Flash on the simulated chip across runs, and power cuts."""

from __future__ import annotations

from dataclasses import dataclass

from myoedge.targets.gap9.simulator_costs import GAP9_CYCLES

FLASH_BYTES = GAP9_CYCLES["mram_bytes"]


@dataclass(frozen=True)
class FlashState:
    """Flash at the start of a run, and when its power goes.

    contents    first bytes; the rest is erased (0xFF)
    cut_cycle   cycle in which power goes and the run ends; None: never. Of a word that is being
                programmed, and of the words that are being erased, each bit is then the old or the
                new one
    seed        of the choice of these bits
    """

    contents: bytes = b""
    cut_cycle: int | None = None
    seed: int = 0
