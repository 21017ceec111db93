# SPDX-License-Identifier: Apache-2.0
"""Chip descriptions: memories, cores, engines, clocks; looked up by name."""

from __future__ import annotations

from myoedge.errors import MyoedgeError
from myoedge.targets.chip import Chip, Engine, OperatingPoint
from myoedge.targets.gap9.chip import GAP9
from myoedge.targets.host import HOST

CHIPS = {chip.name: chip for chip in (GAP9, HOST)}

__all__ = ["CHIPS", "Chip", "Engine", "OperatingPoint", "find_chip"]


def find_chip(name: str) -> Chip:
    """The description of a chip. Errors: E201 unknown name."""
    if name not in CHIPS:
        raise MyoedgeError(
            "E201",
            f"there is no target {name!r}",
            {"has": ", ".join(CHIPS)},
            [f"--target {next(iter(CHIPS))}"],
        )
    return CHIPS[name]
