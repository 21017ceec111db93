# SPDX-License-Identifier: Apache-2.0
"""`myoedge run`."""

from __future__ import annotations

import sys
from typing import Any

import click

from myoedge.cli.shell import Terminal, board_options, common

DIFFER = 4


@click.command("run")
@click.argument("folder", type=click.Path(), required=False)
@click.option("--on", default="board", metavar="WHERE", help="board; or simulator, gvsoc.")
@click.option("--input", metavar="FILE", help="npz/npy samples: one inference each.")
@board_options
@common
def command(terminal: Terminal, folder: str | None, **options: Any) -> None:
    """Run a build's application on a board: outputs and cycles, layer by layer.

    FOLDER is the output of build --app gap-sdk; default: the newest below build/. The application
    must run on the board and serve its serial line.
    """
    from myoedge import api
    from myoedge.cli.newest import chosen_build
    from myoedge.cli.simulate import as_json, show

    run = api.run(chosen_build(terminal, folder), **options)
    terminal.result(as_json(run), lambda: show(terminal, run))
    if not run.exact:
        sys.exit(DIFFER)
