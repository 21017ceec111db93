# SPDX-License-Identifier: Apache-2.0
"""`myoedge bench`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from myoedge.cli.shell import Terminal, board_options, common

if TYPE_CHECKING:
    from myoedge.backends.meter import MeasuredEnergy


@click.command("bench")
@click.argument("folder", type=click.Path(), required=False)
@click.option("--meter", required=True, metavar="DEVICE", help="Serial port of a Nordic PPK2.")
@click.option("--times", type=click.IntRange(1), default=20, help="Inferences (20).")
@board_options
@common
def command(terminal: Terminal, folder: str | None, **options: Any) -> None:
    """Measure the energy of an inference on a board with a power meter.

    FOLDER is the output of build --app gap-sdk; default: the newest below build/. The meter is
    between the supply and the board, its D0 at the board's power pad.
    """
    from myoedge import api
    from myoedge.cli.newest import chosen_build

    energy = api.bench(chosen_build(terminal, folder), **options)
    terminal.result(asdict(energy), lambda: _show(terminal, energy))


def _show(terminal: Terminal, energy: MeasuredEnergy) -> None:
    spread_uj = energy.spread_joules * 1e6
    lines = (
        f"energy    {energy.joules * 1e6:,.1f} µJ an inference, +- {spread_uj:,.1f}",
        f"power     {energy.watts * 1e3:,.2f} mW while the pad is high",
        f"time      {energy.seconds * 1e3:,.2f} ms, mean of {energy.inferences}",
    )
    terminal.out.print("\n".join(lines), markup=False)
