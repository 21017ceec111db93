# SPDX-License-Identifier: Apache-2.0
"""`myoedge ops`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from myoedge.cli.shell import Terminal, common

if TYPE_CHECKING:
    from myoedge.api import Operator


@click.command("ops")
@click.option("--md", is_flag=True, help="As Markdown, as in docs/ops.md.")
@common
def command(terminal: Terminal, md: bool) -> None:
    """List the supported operators, and the calls of PyTorch and ONNX that map to them."""
    from myoedge import api
    from myoedge.reports.operators import markdown

    if md and terminal.as_json:
        raise click.UsageError("--md and --json are two formats: one of them.")
    operators = api.ops()
    if md:
        click.echo(markdown(operators), nl=False)
        return
    terminal.result(
        {"operators": [asdict(op) for op in operators]}, lambda: _show(terminal, operators)
    )


def _show(terminal: Terminal, operators: tuple[Operator, ...]) -> None:
    from rich.table import Table

    from myoedge.reports.text import show

    table = Table(
        *("operator", "description", "PyTorch", "ONNX"),
        box=None,
        pad_edge=False,
        padding=(0, 2, 0, 0),
    )
    for op in operators:
        table.add_row(op.name, op.doc, ", ".join(op.torch), ", ".join(op.onnx))
    show(table, terminal.out)
