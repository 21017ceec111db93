# SPDX-License-Identifier: Apache-2.0
"""`myoedge ops`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from myoedge.cli.shell import Voice, common

if TYPE_CHECKING:
    from myoedge.api import Operator


@click.command("ops")
@click.option("--md", is_flag=True, help="As Markdown: what docs/ops.md holds.")
@common
def command(voice: Voice, md: bool) -> None:
    """List the operators that can be built, and the calls of PyTorch and ONNX that become them."""
    from myoedge import api
    from myoedge.reports.operators import markdown

    if md and voice.as_json:
        raise click.UsageError("--md and --json are two formats: one of them.")
    found = api.ops()
    if md:
        click.echo(markdown(found), nl=False)
        return
    voice.result({"operators": [asdict(op) for op in found]}, lambda: _show(voice, found))


def _show(voice: Voice, found: tuple[Operator, ...]) -> None:
    from rich.table import Table

    from myoedge.reports.text import show

    table = Table(
        *("operator", "what it does", "PyTorch", "ONNX"),
        box=None,
        pad_edge=False,
        padding=(0, 2, 0, 0),
    )
    for op in found:
        table.add_row(op.name, op.doc, ", ".join(op.torch), ", ".join(op.onnx))
    show(table, voice.out)
