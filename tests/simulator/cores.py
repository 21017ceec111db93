# SPDX-License-Identifier: Apache-2.0
"""Programs of several cores without a compiler: each does its own list of accesses.

What a core notes down lies in words of L2 from RESULTS on, by number: `run` returns them.
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from myoedge.simulator import RunOptions, Simulation, simulate
from myoedge.targets.gap9.simulator_costs import GAP9_CYCLES
from tests.isa.program import (
    ENTRY,
    RESULTS,
    addi,
    bne,
    jal,
    leave,
    load_constant,
    lw,
    make_elf,
    sw,
)

Code = list[int]

FC = 9
L1 = 0x10000000
L1_BYTES = 128 * 1024
L2 = 0x1C110000  # what transfers go to and come from
L2_BYTES = 0x40000
CODE_BYTES = 0x8000  # room for the code of each core
NOTES = 2048  # words
DONE = RESULTS + 4 * NOTES
MAX_CYCLES = 20_000_000

EVENTS = 0x10204000
MASK, MASK_AND, MASK_OR = EVENTS, EVENTS + 4, EVENTS + 8
BUFFER, BUFFER_MASKED, BUFFER_CLEAR = EVENTS + 0x1C, EVENTS + 0x20, EVENTS + 0x28
WAIT, WAIT_CLEAR = EVENTS + 0x38, EVENTS + 0x3C
DMA, DMA_STATUS = 0x10204800, 0x10204804
ITC_MASK, ITC_STATUS = 0x1A109000, 0x1A10900C
ITC_STATUS_SET, ITC_STATUS_CLEAR = 0x1A109010, 0x1A109014
EXIT = 0x1A1040C0

ZERO, T0, T1, T2, S2, S3, S4 = 0, 5, 6, 7, 18, 19, 20
WFI, EBREAK, ECALL = 0x10500073, 0x00100073, 0x00000073
MCYCLE, MHARTID = 0xB00, 0xF14


def alu(funct3: int, rd: int, rs1: int, rs2: int) -> int:
    """add 0, sll 1, or 6, and 7."""
    return rs2 << 20 | rs1 << 15 | funct3 << 12 | rd << 7 | 0x33


def csrr(rd: int, number: int) -> int:
    return number << 20 | 2 << 12 | rd << 7 | 0x73


def elw(rd: int, rs1: int) -> int:
    """p.elw rd, 0(rs1)"""
    return rs1 << 15 | 6 << 12 | rd << 7 | 0x03


def load(rd: int, rs1: int, size: int) -> int:
    """lbu, lhu, lw by the number of bytes."""
    return rs1 << 15 | {1: 4, 2: 5, 4: 2}[size] << 12 | rd << 7 | 0x03


def store(rs2: int, rs1: int, size: int) -> int:
    return rs2 << 20 | rs1 << 15 | {1: 0, 2: 1, 4: 2}[size] << 12 | 0x23


# ---- steps of a core's list


def put(address: int, value: int, size: int = 4) -> Code:
    return [*load_constant(T0, value), *load_constant(T1, address), store(T0, T1, size)]


def note(number: int, register: int = T0) -> Code:
    """Keeps a register as word `number` of the results."""
    assert number < NOTES
    return [*load_constant(T1, RESULTS + 4 * number), sw(register, 0, T1)]


def get(address: int, number: int, size: int = 4) -> Code:
    return [*load_constant(T1, address), load(T0, T1, size), *note(number)]


def wait(address: int, number: int | None = None) -> Code:
    """p.elw"""
    return [*load_constant(T1, address), elw(T0, T1), *([] if number is None else note(number))]


def note_cycle(number: int) -> Code:
    return [csrr(T0, MCYCLE), *note(number)]


def spin(rounds: int) -> Code:
    return [*load_constant(T0, rounds), addi(T0, T0, -1), bne(T0, ZERO, -4)]


def until(address: int, value: int) -> Code:
    """Reads a word over and over until it has a value."""
    return [*load_constant(T1, address), *load_constant(T2, value), lw(T0, 0, T1), bne(T0, T2, -4)]


def repeat(rounds: int, body: Code) -> Code:
    """`body`, which leaves S4 alone, so often."""
    code = [*body, addi(S4, S4, -1)]
    return [*load_constant(S4, rounds), *code, bne(S4, ZERO, -4 * len(code))]


# ---- whole programs


def start(cores: int) -> Code:
    """The fabric controller lets the cores of a bit mask run."""
    code = [*put(0x1A108800, 0xFFFFFFFF), *put(0x10201400, 0xFFFFFFFF)]
    for core in range(9):
        code += put(0x10200040 + 4 * core, code_of(core))
    return [*code, *put(0x10200008, cores)]


def code_of(core: int) -> int:
    return ENTRY + CODE_BYTES * (core + 1)


def make(
    cores: Mapping[int, Code],
    fc: Code | None = None,
    memory: Sequence[tuple[int, bytes]] = (),
    ending: Code | None = None,
) -> bytes:
    """An ELF: the fabric controller starts the cores, does its own list, waits for theirs.

    ending   instead of waiting and an exit with code 0
    """
    first = start(sum(1 << core for core in cores)) if cores else []
    awaited = [word for core in cores for word in until(DONE + 4 * core, 1)]
    lists = {
        code_of(core): [*code, *put(DONE + 4 * core, 1), jal(0, 0)] for core, code in cores.items()
    }
    lists[ENTRY] = [*first, *(fc or []), *(awaited + leave() if ending is None else ending)]
    assert all(4 * len(code) <= CODE_BYTES for code in lists.values())
    segments = [(at, struct.pack(f"<{len(code)}I", *code)) for at, code in lists.items()]
    return make_elf([*segments, *memory], ENTRY)


@dataclass(frozen=True)
class Ran:
    """What the cores noted down, and the bytes that were asked for."""

    notes: tuple[int, ...]
    memory: tuple[bytes, ...]
    run: Simulation


def run(
    elf: bytes,
    dump: Sequence[tuple[int, int]] = (),
    *,
    chip: Mapping[str, int] | None = None,
    spans: bool = False,
) -> Ran:
    """A run that exits with 0; chip: what shall differ from GAP9."""
    options = RunOptions(dump=[(RESULTS, 4 * NOTES), *dump], spans=spans)
    cycles = {**GAP9_CYCLES, **(chip or {})}
    ran = simulate(elf, cycles=cycles, max_cycles=MAX_CYCLES, options=options)
    assert ran.exit_code == 0
    return Ran(struct.unpack(f"<{NOTES}I", ran.dumps[0]), ran.dumps[1:], ran)
