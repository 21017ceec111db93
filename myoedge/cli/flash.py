# SPDX-License-Identifier: Apache-2.0
"""`myoedge flash`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from myoedge.cli.shell import Terminal, board_options, common, warn

if TYPE_CHECKING:
    from myoedge.backends.flashing import FlashResult


@click.command("flash")
@click.argument("folder", type=click.Path(), required=False)
@click.option("--to", default="ram", metavar="MEMORY", help="ram (default), mram or octospi.")
@click.option("--elf", type=click.Path(), metavar="FILE", help="Else gap_sdk/build/myoedge_app.")
@click.option("--no-console", is_flag=True, help="Do not identify the started program.")
@board_options
@common
def command(terminal: Terminal, folder: str | None, no_console: bool, **options: Any) -> None:
    """Write a build's application to a board, verify, start and identify it.

    FOLDER is the output of build --app gap-sdk, with the application compiled by the SDK in
    gap_sdk/build; default: the newest below build/.
    """
    from myoedge import api
    from myoedge.cli.newest import chosen_build

    build = chosen_build(terminal, folder)
    flashed = api.flash(build, console=not no_console, **options, say=terminal.stage)
    warn(flashed.warnings)
    terminal.result(_as_json(flashed), lambda: _show(terminal, flashed))


def _as_json(flashed: FlashResult) -> dict[str, Any]:
    return {k: v for k, v in asdict(flashed).items() if k != "warnings"}


def _show(terminal: Terminal, flashed: FlashResult) -> None:
    started = "started" if flashed.to == "ram" else "set the boot jumper and reset the board"
    terminal.out.print(
        f"{flashed.bytes:,} bytes in {flashed.to} of {flashed.board}; {started}", markup=False
    )
    if flashed.files_bytes:
        terminal.out.print(f"{flashed.files_bytes:,} bytes in octospi: l3.bin", markup=False)
    if flashed.says is not None:
        terminal.out.print(f"identity: {flashed.says}", markup=False, soft_wrap=True)
