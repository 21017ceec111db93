# SPDX-License-Identifier: Apache-2.0
"""`myoedge flash`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from myoedge.cli.shell import Voice, board_options, common, warn

if TYPE_CHECKING:
    from myoedge.backends.flashing import Flashed


@click.command("flash")
@click.argument("folder", type=click.Path(), required=False)
@click.option("--to", default="ram", metavar="MEMORY", help="ram (default), mram or octospi.")
@click.option("--elf", type=click.Path(), metavar="FILE", help="Not gap_sdk/build/myoedge_app.")
@click.option("--no-console", is_flag=True, help="Do not ask the started program who it is.")
@board_options
@common
def command(voice: Voice, folder: str | None, no_console: bool, **options: Any) -> None:
    """Bring a build's application to a board: write, verify, start, and ask who it is.

    FOLDER is what build --app gap-sdk wrote, with the application compiled by the SDK in
    gap_sdk/build; the newest one below build/ without it.
    """
    from myoedge import api
    from myoedge.cli.newest import named_or_newest

    build = named_or_newest(voice, folder)
    found = api.flash(build, console=not no_console, **options, say=voice.stage)
    warn(found.warnings)
    voice.result(_as_json(found), lambda: _show(voice, found))


def _as_json(found: Flashed) -> dict[str, Any]:
    return {k: v for k, v in asdict(found).items() if k != "warnings"}


def _show(voice: Voice, found: Flashed) -> None:
    started = "started" if found.to == "ram" else "set the boot jumper and reset the board"
    voice.out.print(
        f"{found.bytes:,} bytes in {found.to} of {found.board}; {started}", markup=False
    )
    if found.files_bytes:
        voice.out.print(f"{found.files_bytes:,} bytes in octospi: l3.bin", markup=False)
    if found.says is not None:
        voice.out.print(f"it says: {found.says}", markup=False, soft_wrap=True)
