# SPDX-License-Identifier: Apache-2.0
"""Descriptions of chips: memories, cores, engines, clocks."""

from __future__ import annotations

import difflib
from collections.abc import Callable

from myoedge.errors import MyoedgeError
from myoedge.targets.chip import Chip, Engine, OperatingPoint
from myoedge.targets.cortex_m.chips import CORTEX_M
from myoedge.targets.gap9.chip import GAP9
from myoedge.targets.gap9.energy import ENERGY
from myoedge.targets.gap9.program import CLOCKS, PROGRAM

# No limits and no cycles; the kernels of a cluster, whose parts one thread runs in turn.
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
# If no target is named
DEFAULT, DEFAULT_PROGRAM, DEFAULT_CLOCKS, DEFAULT_ENERGY = GAP9, PROGRAM, CLOCKS, ENERGY
CHIPS = {chip.name: chip for chip in (DEFAULT, *CORTEX_M, HOST)}
if any(chip.energy not in (None, DEFAULT_ENERGY) for chip in CHIPS.values()):
    raise ValueError("power/model.py computes with the coefficients of one chip")
# In reports of all chips, whose keys are those of one schema
ACCELERATOR = next(engine for engine in DEFAULT.engines if engine.accelerator)
ENGINE_TEXTS = {engine.name: engine.text for chip in CHIPS.values() for engine in chip.engines}

__all__ = [
    "ACCELERATOR",
    "CHIPS",
    "DEFAULT",
    "DEFAULT_CLOCKS",
    "DEFAULT_ENERGY",
    "DEFAULT_PROGRAM",
    "ENGINE_TEXTS",
    "Chip",
    "Engine",
    "OperatingPoint",
    "find_chip",
    "first_chip",
]


def first_chip(suits: Callable[[Chip], object]) -> str:
    """Return the name of a chip with a property, for remedies."""
    return next(name for name, chip in CHIPS.items() if suits(chip))


def find_chip(name: str) -> Chip:
    """Return the description of a chip. Errors: E201 unknown name."""
    if name not in CHIPS:
        near = difflib.get_close_matches(name.lower(), CHIPS, 1) or [*CHIPS]
        facts = {"has": ", ".join(CHIPS)}
        raise MyoedgeError("E201", f"there is no target {name!r}", facts, [f"--target {near[0]}"])
    return CHIPS[name]
