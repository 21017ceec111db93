# SPDX-License-Identifier: Apache-2.0
"""Measures the rate of reads of MRAM on a board, next to the clock in its board.toml."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

from myoedge.backends.measurement import check_exit_code, read_content, wrong_size_error
from myoedge.codegen.firmware import Firmware, check_instructions, link
from myoedge.codegen.library import include_files
from myoedge.codegen.runtime import runtime
from myoedge.extensions.boards.board import RUN_S, run_program
from myoedge.system import tools
from myoedge.targets import find_chip
from myoedge.targets.board_memories import on_board
from myoedge.targets.boards import Board
from myoedge.targets.clocks import DividedClock

SOURCE = Path(__file__).with_name("firmware") / "mram_rate.c"
RESULT = "rate.bin"  # that the program writes
RESULT_BYTES = 4 * (2 + 2 * 8)
SMALL_BYTES, LARGE_BYTES = 16, 16384  # as in the program


@dataclass(frozen=True, slots=True)
class MramRate:
    """Rate of reads of MRAM, in bytes per cycle of the peripherals' clock.

    divider           of the peripherals' clock, as the chip's register has it
    clock_hz          clock by which words arrive at this rate; MRAM's, if words take one period
    most_hz           highest clock of MRAM in board.toml
    described         rate by the clock in board.toml
    bytes_per_cycle   mean of several reads
    least, most       lowest and highest rate of a read
    """

    divider: int
    clock_hz: float
    most_hz: int
    described: float
    bytes_per_cycle: float
    least: float
    most: float

    def line(self) -> str:
        """Return the rate as a line of text for people."""
        least, most = (self.clock_hz * x / self.bytes_per_cycle for x in (self.least, self.most))
        return (
            f"{self.clock_hz / 1e6:.1f} MHz ({least / 1e6:.1f} to {most / 1e6:.1f}), divider "
            f"{self.divider}, {self.bytes_per_cycle:.3f} B/cycle; board.toml "
            f"{self.most_hz / 1e6:.1f} MHz"
        )


def has_mram(board: Board) -> bool:
    """Return whether a board's description has MRAM, and its chip a driver for it."""
    program = find_chip(board.chip).program
    return "mram" in board.flash and program is not None and "mram" in program.drivers


def rate_program(most_hz: int) -> Firmware:
    """Return the program that measures reads of MRAM at a clock of at most this. Errors: as
    codegen.firmware.link."""
    files = runtime(levels=["mram"], values={"mram_hz": most_hz})
    files["mram_rate.c"] = SOURCE.read_text(encoding="utf-8")
    made = link(files | include_files(files.values(), ()))
    check_instructions(made)
    return made


def measured_rate(board: Board) -> MramRate:
    """Load the program over a board's JTAG probe, run it and return what it measures.

    board   with MRAM
    Errors: as run_over_jtag and rate_program; E710 rate.bin, E711 the program's own.
    """
    clock = on_board(find_chip(board.chip).with_optional("mram"), board).level("mram").clock
    assert clock is not None, "MRAM has a clock of its own"
    program = rate_program(clock.most_hz).program
    with tools.scratch() as folder:
        code, printed = run_program(board, program, folder, RUN_S)
        check_exit_code(code, printed)
        result = read_content(folder, RESULT)
    if len(result) != RESULT_BYTES:
        raise wrong_size_error(RESULT, RESULT_BYTES, len(result))
    return _rate_of(result, clock)


def _rate_of(result: bytes, clock: DividedClock) -> MramRate:
    """Return the rate that the content of rate.bin gives. A short read takes as long to start as a
    long one."""
    periph_hz, divider, *cycles = struct.unpack(f"<{RESULT_BYTES // 4}I", result)
    taken = [large - small for small, large in zip(cycles[::2], cycles[1::2], strict=True)]
    size_bytes = LARGE_BYTES - SMALL_BYTES
    mean = size_bytes * len(taken) / sum(taken)
    return MramRate(
        divider,
        mean * periph_hz / clock.word_bytes,
        clock.most_hz,
        clock.rate(periph_hz),
        mean,
        size_bytes / max(taken),
        size_bytes / min(taken),
    )
