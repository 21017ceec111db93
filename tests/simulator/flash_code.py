# SPDX-License-Identifier: Apache-2.0
"""Code of the fabric controller that uses the flash on the chip by its registers, and waits for its
events."""

from __future__ import annotations

from tests.isa.program import bne, load_constant, lw
from tests.simulator.cores import ITC_MASK, ITC_STATUS_CLEAR, L2, T0, T1, T2, WFI, Code, put

UDMA, MRAM = 0x1A102000, 0x1A102B00
L2_AT, BYTES, GO, AT, STATUS, MODE = (MRAM + n for n in (0x0C, 0x10, 0x14, 0x18, 0x1C, 0x20))
ERASE_AT, ERASE_WORDS, CLOCK, ENABLE = MRAM + 0x24, MRAM + 0x28, MRAM + 0x2C, MRAM + 0x34
POWERED, TRIM, PROGRAM, SECTOR, WORDS, READ = 0xE0, 0x100, 0x200, 0x800, 0x1000, 0x4000
ENDS = {SECTOR: 113, WORDS: 113, PROGRAM: 114, TRIM: 115, READ: 116}  # event by operation
UNMASK, LINE, ITC_EVENT = 0x1A106098, 1 << 26, 0x1A109024


def awaited(event: int) -> Code:
    """Sleeps until the event has been taken out of the interrupt controller's FIFO."""
    body = [WFI, *put(ITC_STATUS_CLEAR, LINE), *load_constant(T1, ITC_EVENT), lw(T0, 0, T1)]
    body += load_constant(T2, event)
    return [*body, bne(T0, T2, -4 * len(body))]


def opened(divider: int = 1, trimmed: bool = True, enabled: int = 15) -> Code:
    code = [*put(UDMA + 4, 1 << 21), *put(UDMA + 0x10, 1 << 21), *put(MRAM, 2), *put(MRAM + 4, 3)]
    code += [*put(MRAM + 8, 1), *put(CLOCK, 3 << 8 | divider), *put(ENABLE, enabled)]
    for event in sorted(set(ENDS.values())):
        code += put(UNMASK, event)
    code += put(ITC_MASK, LINE)
    return [*code, *(moved(TRIM, 0, L2, 28) if trimmed else [])]


def begun(operation: int, at: int, l2: int, size: int) -> Code:
    code = [*put(MODE, POWERED | operation), *put(AT, at), *put(L2_AT, l2), *put(BYTES, size)]
    return [*code, *put(GO, 2 | (operation == READ))]


def moved(operation: int, at: int, l2: int, size: int) -> Code:
    return [*begun(operation, at, l2, size), *awaited(ENDS[operation])]


def erased(operation: int, at: int, words: int = 1) -> Code:
    code = [*put(MODE, POWERED | operation), *put(ERASE_AT, 0x1D000000 + at)]
    return [*code, *put(ERASE_WORDS, words - 1), *put(GO, 2), *awaited(ENDS[operation])]
