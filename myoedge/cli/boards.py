# SPDX-License-Identifier: Apache-2.0
"""`myoedge boards`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from myoedge.cli.shell import Voice, common

if TYPE_CHECKING:
    from myoedge.targets.boards import Board


@click.command("boards")
@click.option("--board", metavar="ID|TOML", help="Only this one; a path checks a file of your own.")
@common
def command(voice: Voice, board: str | None) -> None:
    """List the boards that programs can be flashed to, and what is known of each."""
    from myoedge import api

    found = api.boards(board)
    voice.result({"boards": [asdict(b) for b in found]}, lambda: _show(voice, found))


def _show(voice: Voice, found: tuple[Board, ...]) -> None:
    for board in found:
        tried = "" if board.tried else "   (never tried on hardware)"
        voice.out.print(f"{board.id}  {board.name}, {board.chip}{tried}", markup=False)
        for what, text in _rows(board):
            voice.out.print(f"  {what:<8} {text}", markup=False, soft_wrap=True)


def _rows(board: Board) -> list[tuple[str, str]]:
    rows = []
    if board.ram:
        rows.append(("RAM", f"{board.ram.part}, {board.ram.bytes:,} bytes"))
    for name, flash in board.flash.items():
        rows.append((name, f"{flash.part}, {flash.bytes:,} bytes"))
    if board.probe:
        rows.append(("probe", f"{board.probe.kind}, USB {', '.join(board.probe.usb_ids)}"))
    if board.console:
        rows.append(("console", f"UART {board.console.uart}, {board.console.baud_rate:,} baud"))
    if board.power:
        rows.append(("power", f"pad {board.power.pad}, supply {board.power.supply_v} V"))
    return rows or [("", "nothing is known but the chip")]
