# SPDX-License-Identifier: Apache-2.0
"""`myoedge explain`."""

from __future__ import annotations

import click

from myoedge.cli.shell import Voice, common


@click.command("explain")
@click.argument("code")
@common
def command(voice: Voice, code: str) -> None:
    """Show what an error or warning means and what to do about it."""
    from myoedge import api

    text = api.explain(code)
    voice.result({"code": code.upper(), "text": text}, lambda: click.echo(text))
