# SPDX-License-Identifier: Apache-2.0
"""Injection of faults into a simulated run: inverted bits, lost transfers and lost interrupts."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

from myoedge.errors import MyoedgeError

DISTURBANCES = ("memory", "register", "dma", "interrupt")  # enum Disturbance of machine.h


@dataclass(frozen=True, order=True)
class Disturbance:
    """A fault that is injected into the chip when the run reaches a cycle.

    kind    "memory" or "register": a bit is inverted; "dma": the next transfer moves no bytes;
            "interrupt": the next unmasked interrupt of the fabric controller, or event of a
            cluster core, is lost
    where   address of the byte; for a register 32 * core + register; for an interrupt the core (9:
            the
    fabric controller)
    bit     0 .. 7 of a byte, 0 .. 31 of a register
    """

    cycle: int
    kind: str
    where: int = 0
    bit: int = 0


def disturb(core: ctypes.CDLL, machine: int, fault: Disturbance) -> None:
    """Inject a fault into the simulated machine now. Errors: E243 no such address or bit."""
    kind = DISTURBANCES.index(fault.kind)
    if not core.machine_disturb(machine, kind, fault.where, fault.bit):
        facts = {"has": f"{fault.kind} {fault.where:#x}, bit {fault.bit}"}
        raise MyoedgeError("E243", "there is no such place to disturb", facts)
