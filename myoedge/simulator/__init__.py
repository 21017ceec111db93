# SPDX-License-Identifier: Apache-2.0
"""Embedded simulator of GAP9, cycle-approximate and deterministic, for bare-metal ELF files."""

from __future__ import annotations

from myoedge.simulator.fault import Faulted, FlashState, with_other_first_core
from myoedge.simulator.machine import PROGRAM_CYCLES, RunOptions, simulate
from myoedge.simulator.playback import Fault, Playback
from myoedge.simulator.result import CoreCounts, ExecutedInstruction, Mark, Simulation, Span
from myoedge.system.elf import Program, read_elf

__all__ = [
    "PROGRAM_CYCLES",
    "CoreCounts",
    "ExecutedInstruction",
    "Fault",
    "Faulted",
    "FlashState",
    "Mark",
    "Playback",
    "Program",
    "RunOptions",
    "Simulation",
    "Span",
    "read_elf",
    "simulate",
    "with_other_first_core",
]
