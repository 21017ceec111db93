# SPDX-License-Identifier: Apache-2.0
"""Descriptions of chips: memories, cores, engines, clocks."""

from __future__ import annotations

from myoedge.errors import MyoedgeError
from myoedge.targets.chip import Chip, Engine, OperatingPoint
from myoedge.targets.cortex_m.chips import CORTEX_M
from myoedge.targets.gap9.chip import GAP9

# No limits and no cycles; the kernels of GAP9's cluster, whose parts one thread runs in turn.
HOST = Chip(
    name="host",
    doc="any computer with a C11 compiler; memory is not limited",
    l1_bytes=0,
    l2_bytes=2**31 - 1,
    engines=(
        Engine("cluster", cores=8, macs_per_cycle=0),
        Engine("nine cores", cores=9, macs_per_cycle=0, control_core=True),
    ),
    points=(OperatingPoint("any", volts=0.0, clock_hz=0),),
)
CHIPS = {chip.name: chip for chip in (GAP9, *CORTEX_M, HOST)}

__all__ = ["CHIPS", "Chip", "Engine", "OperatingPoint", "find_chip"]


def find_chip(name: str) -> Chip:
    """Return the description of a chip. Errors: E201 unknown name."""
    if name not in CHIPS:
        raise MyoedgeError(
            "E201",
            f"there is no target {name!r}",
            {"has": ", ".join(CHIPS)},
            [f"--target {next(iter(CHIPS))}"],
        )
    return CHIPS[name]
