# SPDX-License-Identifier: Apache-2.0
"""`myoedge boards`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from myoedge.cli.shell import Terminal, common

if TYPE_CHECKING:
    from myoedge.targets.boards import Board


@click.command("boards")
@click.option("--board", metavar="ID|TOML", help="Only this one; a path checks a file of your own.")
@common
def command(terminal: Terminal, board: str | None) -> None:
    """List the known boards and their descriptions."""
    from myoedge import api

    boards = api.boards(board)
    terminal.result({"boards": [asdict(b) for b in boards]}, lambda: _show(terminal, boards))


def _show(terminal: Terminal, boards: tuple[Board, ...]) -> None:
    for board in boards:
        tried = "" if board.tried else "   (never tried on hardware)"
        terminal.out.print(f"{board.id}  {board.name}, {board.chip}{tried}", markup=False)
        for label, text in _rows(board):
            terminal.out.print(f"  {label:<8} {text}", markup=False, soft_wrap=True)


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
    return rows or [("", "only the chip is described")]
