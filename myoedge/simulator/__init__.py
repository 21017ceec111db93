# SPDX-License-Identifier: Apache-2.0
"""The embedded simulator of GAP9: runs a bare-metal ELF, cycle-approximate and deterministic."""

from __future__ import annotations

from myoedge.simulator.fault import Faulted
from myoedge.simulator.machine import RunOptions, simulate
from myoedge.simulator.result import CoreCounts, ExecutedInstruction, Mark, Simulation, Span
from myoedge.system.elf import Program, read_elf

__all__ = [
    "CoreCounts",
    "ExecutedInstruction",
    "Faulted",
    "Mark",
    "Program",
    "RunOptions",
    "Simulation",
    "Span",
    "read_elf",
    "simulate",
]
