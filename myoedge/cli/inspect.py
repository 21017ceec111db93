# SPDX-License-Identifier: Apache-2.0
"""`myoedge inspect`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from myoedge.cli.newest import named_or_newest
from myoedge.cli.shell import Voice, common
from myoedge.errors import command as command_line

if TYPE_CHECKING:
    from myoedge.api import Inspection


@click.command("inspect")
@click.argument("path", type=click.Path(), metavar="MODEL|DIR", required=False)
@click.option("--memory", is_flag=True, help="Who makes the peak of L1, L2 and L3, in a build.")
@click.option("--factory", metavar="PKG.MOD:FN", help="Makes the network of a checkpoint.")
@click.option("--calib", metavar="FILE", help="Gives a checkpoint's network its input shape.")
@common
def command(
    voice: Voice, path: str | None, memory: bool, factory: str | None, calib: str | None
) -> None:
    """Show what a model file holds, and whether it can be built; or what a build folder holds.

    MODEL is a model file, DIR what build wrote: the newest one below build/ without it.
    """
    if memory or path is None or Path(path).is_dir():
        if factory or calib:
            raise click.UsageError("--factory and --calib go with a model file, not with a build.")
        _of_build(voice, named_or_newest(voice, path), memory)
    else:
        _of_model(voice, path, factory, calib)


def _of_model(voice: Voice, model: str, factory: str | None, calib: str | None) -> None:
    from myoedge import api

    found = api.inspect(model, factory=factory, calib=calib)
    voice.result(asdict(found), lambda: _show(voice, found))
    given = ("--factory", factory) if factory else ()
    voice.say(f"\nnext: {command_line('build', model, *given, '--calib', 'calib.npz')}")


def _of_build(voice: Voice, folder: Path, memory: bool) -> None:
    from myoedge import api
    from myoedge.reports.peaks import print_peaks
    from myoedge.reports.text import print_report

    if memory:
        found = api.peaks(folder)
        rows = {"memories": [asdict(peak) for peak in found]}
        voice.result(rows, lambda: print_peaks(found, voice.out))
        return
    report = api.load_build(folder).report
    page = str(folder / "report.html")
    voice.result(report, lambda: print_report(report, voice.out, html=page))
    voice.say(f"next: {command_line('inspect', folder, '--memory')}")


def _show(voice: Voice, found: Inspection) -> None:
    from rich.markup import escape
    from rich.table import Table

    from myoedge.reports.text import show

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
