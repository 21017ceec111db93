# SPDX-License-Identifier: Apache-2.0
"""Test programs without a compiler: instruction words and data as a minimal ELF of GAP9's map."""

import struct
from dataclasses import dataclass

ENTRY = 0x1C010000
DATA = 0x1C080000
RESULTS = 0x1C100000
L2_END = 0x1C190000
EXIT_GAP9 = 0x1A1040C0
EXIT_PULP_OPEN = 0x1A1040A0

A0, A1, A2 = 10, 11, 12
NOP = 0x13


@dataclass(frozen=True)
class Program:
    """An ELF and the length in bytes of what it leaves at RESULTS."""

    elf: bytes
    results: int


def addi(rd: int, rs1: int, value: int) -> int:
    return (value & 0xFFF) << 20 | rs1 << 15 | rd << 7 | 0x13


def lw(rd: int, offset: int, rs1: int) -> int:
    return (offset & 0xFFF) << 20 | rs1 << 15 | 2 << 12 | rd << 7 | 0x03


def sw(rs2: int, offset: int, rs1: int) -> int:
    return (offset >> 5 & 0x7F) << 25 | rs2 << 20 | rs1 << 15 | 2 << 12 | (offset & 31) << 7 | 0x23


def bne(rs1: int, rs2: int, offset: int) -> int:
    return (
        (offset >> 12 & 1) << 31
        | (offset >> 5 & 0x3F) << 25
        | rs2 << 20
        | rs1 << 15
        | 1 << 12
        | (offset >> 1 & 0xF) << 8
        | (offset >> 11 & 1) << 7
        | 0x63
    )


def jal(rd: int, offset: int) -> int:
    return (
        (offset >> 20 & 1) << 31
        | (offset >> 1 & 0x3FF) << 21
        | (offset >> 11 & 1) << 20
        | (offset >> 12 & 0xFF) << 12
        | rd << 7
        | 0x6F
    )


def load_constant(rd: int, value: int) -> list[int]:
    """lui and addi: any 32-bit value in two words."""
    upper = value + 0x800 & 0xFFFFF000
    return [upper | rd << 7 | 0x37, addi(rd, rd, value)]


def leave(code: int = 0, *, address: int = EXIT_GAP9) -> list[int]:
    """Ends the run with an exit code."""
    return [
        *load_constant(A0, 0x80000000 | code),
        *load_constant(A1, address),
        sw(A0, 0, A1),
        jal(0, 0),
    ]


_SEMIHOSTING = [0x01F01013, 0x00100073, 0x40705013]


SAVED = "results.bin"


def save(name: int, *areas: tuple[int, int]) -> list[int]:
    """Writes (address, bytes) of memory to SAVED by semihosting; `name`: where its name lies.

    For simulators whose memory cannot be read from outside. Arguments lie before the name.
    """
    handle = 8

    def call(operation: int, arguments: list[int | None]) -> list[int]:
        code = load_constant(A1, name - 16)
        for i, value in enumerate(arguments):
            code += [] if value is None else load_constant(A2, value)
            code.append(sw(handle if value is None else A2, 4 * i, A1))
        return [*code, addi(A0, 0, operation), *_SEMIHOSTING]

    return [
        *call(1, [name, 5, len(SAVED)]),
        addi(handle, A0, 0),
        *(word for area in areas for word in call(5, [None, *area])),
        *call(2, [None]),
    ]


def make_program(code: list[int], data: bytes, results: int, *, for_gvsoc: bool = False) -> Program:
    """Code at ENTRY and data at DATA, ending the run; for GVSoC it saves its results to a file."""
    name = DATA + len(data) + 31 & ~15
    if for_gvsoc:
        code = code + save(name, (RESULTS, results)) + leave(address=EXIT_PULP_OPEN) + leave()
        data = data.ljust(name - DATA, b"\0") + SAVED.encode() + b"\0"
    else:
        code = code + leave()
    words = struct.pack(f"<{len(code)}I", *code)
    assert ENTRY + len(words) <= DATA
    assert DATA + len(data) <= RESULTS
    assert RESULTS + results <= L2_END
    return Program(make_elf([(ENTRY, words), (DATA, data)], ENTRY), results)


def make_elf(segments: list[tuple[int, bytes]], entry: int) -> bytes:
    """A 32-bit RISC-V executable with one loaded segment per (address, bytes), without sections."""
    offset = 52 + 32 * len(segments)
    header = b"\x7fELF\x01\x01\x01".ljust(16, b"\0") + struct.pack(
        "<HHIIIIIHHHHHH", 2, 243, 1, entry, 52, 0, 1, 52, 32, len(segments), 40, 0, 0
    )
    table, body = b"", b""
    for address, content in segments:
        padding = -(offset + len(body)) % 4
        body += b"\0" * padding
        place, size = offset + len(body), len(content)
        table += struct.pack("<8I", 1, place, address, address, size, size, 7, 4)
        body += content
    return header + table + body


def segments(elf: bytes) -> list[tuple[int, bytes]]:
    """What make_elf was given."""
    count = struct.unpack_from("<H", elf, 44)[0]
    entries = [struct.unpack_from("<8I", elf, 52 + 32 * i) for i in range(count)]
    return [(address, elf[place : place + size]) for _, place, address, _, size, *_ in entries]
