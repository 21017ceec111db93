# SPDX-License-Identifier: Apache-2.0
"""Flash on the simulated chip across runs, and power cuts."""

from __future__ import annotations

from dataclasses import dataclass

from myoedge.targets.gap9.simulator_costs import GAP9_CYCLES

FLASH_BYTES = GAP9_CYCLES["mram_bytes"]


@dataclass(frozen=True)
class FlashState:
    """The simulated chip's flash at the start of a run, and when its power fails.

    contents    first bytes; the rest is erased (0xFF)
    cut_cycle   cycle in which power fails and the run ends; None: never. Each bit of a word that is
                being programmed or erased then has its old or its new value
    seed        seed of the choice of these bits
    """

    contents: bytes = b""
    cut_cycle: int | None = None
    seed: int = 0
