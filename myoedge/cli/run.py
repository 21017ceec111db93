# SPDX-License-Identifier: Apache-2.0
"""`myoedge run`."""

from __future__ import annotations

import sys
from typing import Any

import click

from myoedge.cli.shell import Voice, board_options, common

DIFFER = 4


@click.command("run")
@click.argument("folder", type=click.Path(), required=False)
@click.option("--on", default="board", metavar="WHERE", help="board; or simulator, gvsoc.")
@click.option("--input", metavar="FILE", help="npz/npy samples: one inference each.")
@board_options
@common
def command(voice: Voice, folder: str | None, **options: Any) -> None:
    """Run a build's application on a board: outputs and cycles, layer by layer.

    FOLDER is what build --app gap-sdk wrote; the newest one below build/ without it. The
    application must be on the board and serve its serial line.
    """
    from myoedge import api
    from myoedge.cli.newest import named_or_newest
    from myoedge.cli.simulate import as_json, show

    found = api.run(named_or_newest(voice, folder), **options)
    voice.result(as_json(found), lambda: show(voice, found))
    if not found.exact:
        sys.exit(DIFFER)
