# SPDX-License-Identifier: Apache-2.0
"""`myoedge inspect`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from myoedge.cli.newest import chosen_build
from myoedge.cli.shell import Terminal, common
from myoedge.errors import command as command_line

if TYPE_CHECKING:
    from myoedge.api import Inspection


@click.command("inspect")
@click.argument("path", type=click.Path(), metavar="MODEL|DIR", required=False)
@click.option("--memory", is_flag=True, help="Buffers at the peak of L1, L2 and L3, of a build.")
@click.option("--factory", metavar="PKG.MOD:FN", help="Builds a checkpoint's network.")
@click.option("--calib", metavar="FILE", help="Gives a checkpoint's network its input shape.")
@common
def command(
    terminal: Terminal, path: str | None, memory: bool, factory: str | None, calib: str | None
) -> None:
    """Show the network of a model file and whether it can be built, or the report of a build.

    MODEL is a model file, DIR a build; default: the newest build below build/.
    """
    if memory or path is None or Path(path).is_dir():
        if factory or calib:
            raise click.UsageError("--factory and --calib go with a model file, not with a build.")
        _of_build(terminal, chosen_build(terminal, path), memory)
    else:
        _of_model(terminal, path, factory, calib)


def _of_model(terminal: Terminal, model: str, factory: str | None, calib: str | None) -> None:
    from myoedge import api

    inspection = api.inspect(model, factory=factory, calib=calib)
    terminal.result(asdict(inspection), lambda: _show(terminal, inspection))
    factory_option = ("--factory", factory) if factory else ()
    terminal.progress(
        f"\nnext: {command_line('build', model, *factory_option, '--calib', 'calib.npz')}"
    )


def _of_build(terminal: Terminal, folder: Path, memory: bool) -> None:
    from myoedge import api
    from myoedge.reports.peaks import print_peaks
    from myoedge.reports.text import print_report

    if memory:
        peaks = api.peaks(folder)
        rows = {"memories": [asdict(peak) for peak in peaks]}
        terminal.result(rows, lambda: print_peaks(peaks, terminal.out))
        return
    report = api.load_build(folder).report
    page = str(folder / "report.html")
    terminal.result(report, lambda: print_report(report, terminal.out, html=page))
    terminal.progress(f"next: {command_line('inspect', folder, '--memory')}")


def _show(terminal: Terminal, inspection: Inspection) -> None:
    from rich.markup import escape
    from rich.table import Table

    from myoedge.reports.text import show

    lines = [
        f"{inspection.name}  {inspection.digest[:16]}",
        *(f"  {note}" for note in inspection.notes),
    ]
    lines += [f"  input   {name} {list(shape)}" for name, shape in inspection.inputs]
    lines += [f"  output  {name} {list(shape)}" for name, shape in inspection.outputs]
    lines.append(f"  {inspection.params:,} parameters, {inspection.macs:,} MACs\n")
    terminal.out.print("\n".join(lines), markup=False)
    table = Table("layer", "operator", "output", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("MACs", justify="right")
    for path, op, shape, macs in inspection.layers:
        table.add_row(escape(path), op, "x".join(map(str, shape)), f"{macs:,}" if macs else "")
    show(table, terminal.out)
