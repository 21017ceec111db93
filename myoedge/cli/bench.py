# SPDX-License-Identifier: Apache-2.0
"""`myoedge bench`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from myoedge.cli.shell import Voice, board_options, common

if TYPE_CHECKING:
    from myoedge.backends.meter import Energy


@click.command("bench")
@click.argument("folder", type=click.Path(), required=False)
@click.option("--meter", required=True, metavar="DEVICE", help="Serial port of a Nordic PPK2.")
@click.option("--times", type=click.IntRange(1), default=20, help="Inferences (20).")
@board_options
@common
def command(voice: Voice, folder: str | None, **options: Any) -> None:
    """Measure the energy of an inference on a board with a power meter.

    FOLDER is what build --app gap-sdk wrote; the newest one below build/ without it. The meter is
    between the supply and the board, its D0 at the board's power pad.
    """
    from myoedge import api
    from myoedge.cli.newest import named_or_newest

    found = api.bench(named_or_newest(voice, folder), **options)
    voice.result(asdict(found), lambda: _show(voice, found))


def _show(voice: Voice, found: Energy) -> None:
    lines = (
        f"energy    {found.joules * 1e6:,.1f} µJ an inference, +- {found.spread_joules * 1e6:,.1f}",
        f"power     {found.watts * 1e3:,.2f} mW while the pad is high",
        f"time      {found.seconds * 1e3:,.2f} ms, mean of {found.inferences}",
    )
    voice.out.print("\n".join(lines), markup=False)
