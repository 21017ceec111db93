# SPDX-License-Identifier: Apache-2.0
"""`myoedge init`."""

from __future__ import annotations

import click

from myoedge.cli.shell import Terminal, common


@click.command("init")
@click.argument("folder", type=click.Path(), default=".")
@click.option("--from", "model", type=click.Path(), metavar="MODEL", help="Model file to build.")
@common
def command(terminal: Terminal, folder: str, model: str | None) -> None:
    """Write myoedge.toml and a script that makes calibration data; never over existing files."""
    from myoedge import api

    written = api.init(folder, model=model)
    paths = [str(path) for path in written]
    terminal.result(
        {"written": paths}, lambda: click.echo("\n".join(f"wrote {name}" for name in paths))
    )
    terminal.progress("next: read your recordings in make_calib.py, run it, then: myoedge build")
