# SPDX-License-Identifier: Apache-2.0
"""Injection of faults into a simulated run: inverted bits, lost transfers, lost interrupts,
power failures; and the content of its flash."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from myoedge.errors import MyoedgeError
from myoedge.targets.gap9.simulator_costs import GAP9_CYCLES

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


# --- content of the flash, and power failures -----------------------------------------------------


FLASH_BYTES = GAP9_CYCLES["mram_bytes"]


@dataclass(frozen=True)
class FlashState:
    """Flash of the simulated chip at the start of a run, and the time of a power failure.

    contents    first bytes; the rest is erased (0xFF)
    cut_cycle   cycle in which power fails and the run ends; None: never. Each bit of a word that is
                being programmed or erased then has its old or its new value
    seed        seed of the choice of these bits
    fuses       words of the eFUSEs by number, from 0 to 127; the others are 0
    damaged     addresses in words of 16 bytes that have more wrong bits than ECC corrects
    """

    contents: bytes = b""
    cut_cycle: int | None = None
    seed: int = 0
    fuses: Mapping[int, int] = field(default_factory=dict)
    damaged: Sequence[int] = ()


FLASH_WORD_BYTES = 16


def fill_flash(core: ctypes.CDLL, machine: int, state: FlashState) -> None:
    """Give the simulated machine the content of its flash and its eFUSEs."""
    core.machine_flash(machine, state.contents, len(state.contents))
    damaged = core.machine_flash_damaged(machine)
    for address in state.damaged:
        damaged[address // FLASH_WORD_BYTES] = 1
    for number, value in state.fuses.items():
        core.machine_fuse(machine, number, value)


def held_flash(core: ctypes.CDLL, machine: int) -> tuple[bytes, tuple[int, ...]]:
    """Return the content of the flash, and the addresses of its words that ECC does not correct."""
    content = ctypes.string_at(core.machine_flash_bytes(machine), FLASH_BYTES)
    words = ctypes.string_at(core.machine_flash_damaged(machine), FLASH_BYTES // FLASH_WORD_BYTES)
    return content, tuple(FLASH_WORD_BYTES * n for n, word in enumerate(words) if word)
