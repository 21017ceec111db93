# SPDX-License-Identifier: Apache-2.0
"""Faults of a simulated program: their errors, and their injection: inverted bits, lost transfers,
lost interrupts, power failures; and the content of its flash."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import compress

from myoedge.errors import MyoedgeError
from myoedge.simulator.binding import FaultReport
from myoedge.simulator.result import Simulation
from myoedge.system.elf import Program
from myoedge.targets.gap9.simulator_costs import GAP9_CYCLES

FC = 9
OFF, ASLEEP = 0, 2  # enum CoreState of core.h
NO_PROGRESS = ("E707", "E708")  # not caused by a single core
AS_ANOTHER_CORE = ("E702", *NO_PROGRESS)  # no stack, or no core that wakes it
GAP9_FC, PULP_OPEN_FC = 9, 0x3E0  # numbers of the fabric controller
# `csrr rd, mhartid`: the word without rd.
READS_MHARTID, BESIDE_RD = 0xF1402073, 0xFFFFF07F

# enum Fault of core.h -> error code and remedy.
KINDS = {
    1: ("E701", "an instruction of this chip's cores: RV32IMC and Xpulpv2, no floating point"),
    2: ("E702", "addresses of L1, L2 or a register"),
    3: ("E703", "code in L2, at even addresses"),
    4: ("E704", "a register that exists, with an access of its size and direction"),
    5: ("E705", "transfers of 1 byte to 128 KiB between L1 and L2, 2D on the L2 side, waited for"),
    6: ("E706", "larger stacks"),
    7: ("E707", "an event that wakes one of the cores"),
    8: ("E708", "--max-cycles N"),
    9: ("E709", "no ebreak or ecall, no interrupt of a cluster core: nothing handles them"),
    10: ("E709", "no ebreak or ecall, no interrupt of a cluster core: nothing handles them"),
    11: ("E709", "no ebreak or ecall, no interrupt of a cluster core: nothing handles them"),
    12: ("E712", "less to record"),
    13: ("E713", "an NE16 job as docs/developers/simulator.md has them"),
}
_NAMES = (
    *("zero", "ra", "sp", "gp", "tp"),
    *("t0", "t1", "t2", "s0", "s1"),
    *(f"a{i}" for i in range(8)),
    *(f"s{i}" for i in range(2, 12)),
    *(f"t{i}" for i in range(3, 7)),
)


class Faulted(MyoedgeError):
    """A fault of the simulated program: cause, source line, cycle, registers.

    run   records up to the fault
    """

    run: Simulation


def fault_error(report: FaultReport, program: Program, run: Simulation) -> Faulted:
    """Return the error for a fault that the C core reports, with the run's records up to it."""
    code, needs = KINDS[report.kind]
    title = report.text.decode("utf-8", "replace")
    facts: dict[str, object] = {"cycle": report.cycle}
    if report.core >= 0:
        core_name = _name(report.core)
        if code in NO_PROGRESS:
            cores = zip(report.at, report.state, strict=True)
            lines = [
                f"{_name(core)} {'sleeps' if state == ASLEEP else 'runs'} at {_place(program, pc)}"
                for core, (pc, state) in enumerate(cores)
                if state != OFF  # cores that were started
            ]
            facts |= {"cores": "\n".join(lines), "shown": core_name}
        else:
            title = f"{core_name}: {title}"
        texts = [f"{name}={value:08x}" for name, value in zip(_NAMES, report.r, strict=True)]
        registers = "\n".join(" ".join(texts[i : i + 8]) for i in range(0, len(texts), 8))
        facts |= {"pc": _place(program, report.pc)}
        facts |= {"instruction": f"0x{report.word:08x}", "registers": registers}
    error = Faulted(code, title, {**facts, "needs": needs})
    error.run = run
    return error


def with_other_first_core(fault: Faulted, program: Program, fc_hart: int) -> Faulted:
    """Return the fault with another first remedy if it applies: simulate with the fabric
    controller's core number on the other platform.

    fc_hart   core number of the fabric controller in this run
    A program that finds an unknown core number mistakes the fabric controller for a cluster core,
    and then waits or has no stack.
    """
    started = any(c.instructions for c in fault.run.counts[:FC])
    if started or fault.code not in AS_ANOTHER_CORE or not _reads_core_number(program):
        return fault
    other = PULP_OPEN_FC if fc_hart == GAP9_FC else GAP9_FC
    whose = "pulp-open" if other == PULP_OPEN_FC else "GAP9"
    tried = f"--fc-hart {other:#x}, if the program is for {whose}: its first core is {fc_hart} here"
    before = fault.notice
    error = Faulted(before.code, before.title, dict(before.facts), (tried, *before.tries))
    error.run = fault.run
    return error


def _reads_core_number(program: Program) -> bool:
    """Return whether `csrr rd, mhartid` (read the core number) occurs at any even address."""
    return any(
        int.from_bytes(code[at : at + 4], "little") & BESIDE_RD == READS_MHARTID
        for _, code in program.segments
        for at in range(0, len(code) - 3, 2)
    )


def _name(core: int) -> str:
    return "fabric controller" if core == FC else f"core {core}"


def _place(program: Program, pc: int) -> str:
    """Format a program address with function and source line, if known."""
    parts = filter(None, (program.function_at(pc), program.line_at(pc)))
    return f"0x{pc:08x}  {', '.join(parts)}".rstrip()


# Injection of faults into a simulated run: inverted bits, lost transfers, lost interrupts, power
# failures; and the content of its flash.

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
    return content, tuple(compress(range(0, FLASH_BYTES, FLASH_WORD_BYTES), words))
