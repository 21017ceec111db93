# SPDX-License-Identifier: Apache-2.0
"""`myoedge explain`."""

from __future__ import annotations

import click

from myoedge.cli.shell import Terminal, common


@click.command("explain")
@click.argument("code")
@common
def command(terminal: Terminal, code: str) -> None:
    """Explain an error or warning code and its remedy."""
    from myoedge import api

    text = api.explain(code)
    terminal.result({"code": code.upper(), "text": text}, lambda: click.echo(text))
