# SPDX-License-Identifier: Apache-2.0
"""`myoedge doctor`."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from myoedge.cli.shell import Voice, common

if TYPE_CHECKING:
    from myoedge.backends.doctor import ToolRow

MISSING = 5


@click.command("doctor")
@common
def command(voice: Voice) -> None:
    """Show which tools and packages are there, and how to get the others."""
    from myoedge import api

    rows = api.doctor()
    voice.result({"tools": [asdict(row) for row in rows]}, lambda: _show(voice, rows))
    if any(row.state != "ok" and row.needed for row in rows):
        sys.exit(MISSING)


def _show(voice: Voice, rows: tuple[ToolRow, ...]) -> None:
    for row in rows:
        optional = "" if row.needed or row.state == "ok" else " (optional)"
        voice.out.print(
            f"{row.state + optional:<20} {row.name:<13} {row.version}  {row.where}".rstrip(),
            markup=False,
            soft_wrap=True,
        )
        if row.state != "ok":
            blocks = f"; without it: no {', '.join(row.blocks)}" if row.blocks else ""
            voice.out.print(f"{'':<20} get it: {row.fix}{blocks}", markup=False, soft_wrap=True)
