# SPDX-License-Identifier: Apache-2.0
"""State of the simulated chip's flash and eFUSEs between runs, and power failures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from myoedge.targets.gap9.simulator_costs import GAP9_CYCLES

FLASH_BYTES = GAP9_CYCLES["mram_bytes"]


@dataclass(frozen=True)
class FlashState:
    """Flash of the simulated chip at the start of a run, and the time of a power failure.

    contents    first bytes; the rest is erased (0xFF)
    cut_cycle   cycle in which power fails and the run ends; None: never. Each bit of a word that is
                being programmed or erased then has its old or its new value
    seed        seed of the choice of these bits
    fuses       words of the eFUSEs by number, from 0 to 127; the others are 0
    """

    contents: bytes = b""
    cut_cycle: int | None = None
    seed: int = 0
    fuses: Mapping[int, int] = field(default_factory=dict)
