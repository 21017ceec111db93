# SPDX-License-Identifier: Apache-2.0
"""`myoedge init`."""

from __future__ import annotations

import click

from myoedge.cli.shell import Voice, common


@click.command("init")
@click.argument("folder", type=click.Path(), default=".")
@click.option("--from", "model", type=click.Path(), metavar="MODEL", help="The model it is for.")
@common
def command(voice: Voice, folder: str, model: str | None) -> None:
    """Write myoedge.toml and a script that makes calibration data; never over existing files."""
    from myoedge import api

    written = api.init(folder, model=model)
    shown = [str(path) for path in written]
    voice.result(
        {"written": shown}, lambda: click.echo("\n".join(f"wrote {name}" for name in shown))
    )
    voice.say("next: put your recordings into make_calib.py and run it, then: myoedge build")
