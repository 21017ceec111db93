# SPDX-License-Identifier: Apache-2.0
"""`myoedge doctor`."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from myoedge.cli.shell import Terminal, common

if TYPE_CHECKING:
    from myoedge.backends.doctor import ToolRow

MISSING = 5


@click.command("doctor")
@common
def command(terminal: Terminal) -> None:
    """List required tools and packages, and how to install missing ones."""
    from myoedge import api

    rows = api.doctor()
    terminal.result({"tools": [asdict(row) for row in rows]}, lambda: _show(terminal, rows))
    if any(row.state != "ok" and row.needed for row in rows):
        sys.exit(MISSING)


def _show(terminal: Terminal, rows: tuple[ToolRow, ...]) -> None:
    for row in rows:
        optional = "" if row.needed or row.state == "ok" else " (optional)"
        terminal.out.print(
            f"{row.state + optional:<20} {row.name:<13} {row.version}  {row.where}".rstrip(),
            markup=False,
            soft_wrap=True,
        )
        if row.state != "ok":
            blocks = f"; without it: no {', '.join(row.blocks)}" if row.blocks else ""
            terminal.out.print(f"{'':<20} install: {row.fix}{blocks}", markup=False, soft_wrap=True)
