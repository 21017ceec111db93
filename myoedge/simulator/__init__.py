# SPDX-License-Identifier: Apache-2.0
"""The embedded simulator of GAP9: runs a bare-metal ELF, to the cycle the same every time."""

from __future__ import annotations

from myoedge.simulator.fault import Faulted
from myoedge.simulator.machine import Wanted, simulate
from myoedge.simulator.result import CoreCounts, Mark, Simulation, Span, Step
from myoedge.system.elf import Program, read_elf

__all__ = [
    "CoreCounts",
    "Faulted",
    "Mark",
    "Program",
    "Simulation",
    "Span",
    "Step",
    "Wanted",
    "read_elf",
    "simulate",
]
