# SPDX-License-Identifier: Apache-2.0
"""Memories and clocks of a chip on a board, by its board.toml."""

from __future__ import annotations

from dataclasses import replace

from myoedge.targets.boards import FILLS, Board
from myoedge.targets.chip import Chip
from myoedge.targets.memories import MemoryLevel


def on_board(chip: Chip, board: Board | None) -> Chip:
    """Return the chip with the core and the clocks of the board's memories; None: any board."""
    if board is None:
        return chip
    chip = chip if board.core is None else board.core.limited(chip)
    clocks_hz = {name: flash.clock_hz for name, flash in board.flash.items() if flash.clock_hz}
    return chip.with_clocks(clocks_hz)


def with_sizes(chip: Chip, board: Board | None) -> Chip:
    """Return the chip with memories behind L2 of at most the board's bytes, and programs with that
    flash, and without levels that have no room on the board; None: any board.

    Optional levels of no bytes stay: no program starts from them.
    """
    if board is None:
        return chip
    most_bytes = _most_bytes(chip, board)
    store_bytes = stored_bytes(chip, board)

    def sized(level: MemoryLevel) -> MemoryLevel:
        level = replace(level, bytes=min(level.bytes, most_bytes.get(level.name, level.bytes)))
        is_short = level.external and store_bytes < chip.l2_bytes + level.bytes
        return replace(level, filled_bytes=store_bytes) if is_short else level

    levels, optional = (tuple(map(sized, x)) for x in (chip.levels, chip.optional_levels))
    chip = replace(chip, levels=tuple(x for x in levels if x.room_bytes), optional_levels=optional)
    if chip.program is None or chip.program.flash is None:
        return chip
    layout = chip.program.flash
    layout = replace(
        layout, size_bytes=min(most_bytes.get("mram", layout.size_bytes), layout.size_bytes)
    )
    return replace(chip, program=replace(chip.program, flash=layout))


def _most_bytes(chip: Chip, board: Board) -> dict[str, int]:
    """Return memory level -> bytes of a board that lists it, or that lists other flashes only."""
    most_bytes = {} if board.ram is None else {"l3": board.ram.bytes}
    if board.flash:  # all of them: a flash on the chip that is not among them is not used
        most_bytes |= {x.name: 0 for x in chip.optional_levels}
    most_bytes |= {name: flash.bytes for name, flash in board.flash.items()}
    return most_bytes


def stored_bytes(chip: Chip, board: Board) -> int:
    """Return the bytes of the flash beside the chip for a boot image and data of L3: without boot
    chain, tables, and the bytes in front of a sector; 0 without this flash."""
    flash = board.flash.get(FILLS)
    layout = None if chip.program is None else chip.program.flash
    boot_bytes = 0 if layout is None else layout.boot_bytes
    return 0 if flash is None else max(flash.bytes - flash.sector_bytes - boot_bytes, 0)
