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
    factory = f" --factory {options['factory']}" if options["factory"] else ""
    voice.say(f"\nnext: myoedge build {options['model']}{factory} --calib calib.npz")


def _show(voice: Voice, found: Inspection) -> None:
    from rich.markup import escape
    from rich.table import Table

    from myoedge.report.text import show

    lines = [f"{found.name}  {found.digest[:16]}", *(f"  {note}" for note in found.notes)]
    lines += [f"  input   {name} {list(shape)}" for name, shape in found.inputs]
    lines += [f"  output  {name} {list(shape)}" for name, shape in found.outputs]
    lines.append(f"  {found.params:,} parameters, {found.macs:,} MACs\n")
    voice.out.print("\n".join(lines), markup=False)
    table = Table("layer", "operator", "output", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("MACs", justify="right")
    for path, op, shape, macs in found.layers:
        table.add_row(escape(path), op, "x".join(map(str, shape)), f"{macs:,}" if macs else "")
    show(table, voice.out)
