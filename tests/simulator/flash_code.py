# SPDX-License-Identifier: Apache-2.0
"""Code of the fabric controller that uses the flash on the chip by its registers."""

from __future__ import annotations

from tests.simulator.cores import L2, Code, put, until

UDMA, MRAM = 0x1A102000, 0x1A102B00
L2_AT, BYTES, GO, AT, STATUS, MODE = (MRAM + n for n in (0x0C, 0x10, 0x14, 0x18, 0x1C, 0x20))
ERASE_AT, ERASE_WORDS, CLOCK = MRAM + 0x24, MRAM + 0x28, MRAM + 0x2C
POWERED, TRIM, PROGRAM, SECTOR, WORDS, READ = 0xE0, 0x100, 0x200, 0x800, 0x1000, 0x4000
AWAIT = until(STATUS, 0)


def opened(divider: int = 1, trimmed: bool = True) -> Code:
    code = [*put(UDMA + 4, 1 << 21), *put(UDMA + 0x10, 1 << 21), *put(MRAM, 2), *put(MRAM + 4, 3)]
    code += [*put(MRAM + 8, 1), *put(CLOCK, 3 << 8 | divider)]
    return [*code, *(moved(TRIM, 0, L2, 28) if trimmed else [])]


def moved(operation: int, at: int, l2: int, size: int) -> Code:
    code = [*put(MODE, POWERED | operation), *put(AT, at), *put(L2_AT, l2), *put(BYTES, size)]
    return [*code, *put(GO, 2 | (operation == READ)), *AWAIT]


def erased(operation: int, at: int, words: int = 1) -> Code:
    code = [*put(MODE, POWERED | operation), *put(ERASE_AT, 0x1D000000 + at)]
    return [*code, *put(ERASE_WORDS, words - 1), *put(GO, 2), *AWAIT]
