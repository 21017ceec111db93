# SPDX-License-Identifier: Apache-2.0
"""`myoedge inspect`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from myoedge.cli.shell import Voice, common

if TYPE_CHECKING:
    from myoedge.api import Inspection


@click.command("inspect")
@click.argument("model", type=click.Path())
@click.option("--factory", metavar="PKG.MOD:FN", help="Makes the network of a checkpoint.")
@click.option("--calib", metavar="FILE", help="Gives a checkpoint's network its input shape.")
@common
def command(voice: Voice, **options: Any) -> None:
    """Show what a model file holds, and whether it can be built."""
    from myoedge import api

    found = api.inspect(**options)
    voice.result(asdict(found), lambda: _show(voice, found))


def _show(voice: Voice, found: Inspection) -> None:
    from rich.table import Table

    lines = [f"{found.name}  {found.digest[:16]}", *(f"  {note}" for note in found.notes)]
    lines += [f"  input   {name} {list(shape)}" for name, shape in found.inputs]
    lines += [f"  output  {name} {list(shape)}" for name, shape in found.outputs]
    lines.append(f"  {found.params:,} parameters, {found.macs:,} MACs\n")
    voice.out.print("\n".join(lines), markup=False)
    table = Table("layer", "operator", "output", box=None, pad_edge=False)
    table.add_column("MACs", justify="right")
    for path, op, shape, macs in found.layers:
        table.add_row(path, op, "x".join(map(str, shape)), f"{macs:,}" if macs else "")
    voice.out.print(table)
