# SPDX-License-Identifier: Apache-2.0
"""`myoedge sweep`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from myoedge.cli.shell import Terminal, common

if TYPE_CHECKING:
    from myoedge.sweeps.sweep import Swept


@click.command("sweep")
@click.argument("file", type=click.Path(), metavar="SWEEP.toml")
@click.option("-o", "--output", type=click.Path(), metavar="DIR", help="Default: build/FILE-sweep.")
@click.option("-j", "--jobs", type=click.IntRange(1), metavar="N", help="Processes (processors).")
@click.option("--against", type=click.Path(), metavar="OLD", help="Exit 3 where worse than this.")
@click.option("--scheduler", metavar="ADDRESS", help="A Dask scheduler, tcp://host:8786.")
@common
def command(terminal: Terminal, file: str, **options: Any) -> None:
    """Build and simulate models with budgets, options and operating points, all of each.

    Results that are in DIR already are not computed again, however the last run ended. DIR gets
    sweep.json, sweep.csv and sweep.html, and runs/ with a file for each result.
    """
    from myoedge import api

    found = api.sweep(file, **options, say=lambda text: terminal.progress(f"  {text}"))
    terminal.result(_as_json(found), lambda: _show(terminal, found))
    terminal.progress(f"tables and plots: {found.folder / 'sweep.html'}")
    api.check_regressions(found)


def _as_json(found: Swept) -> dict[str, Any]:
    return {
        "folder": str(found.folder),
        "computed": found.computed,
        "results": list(found.results),
        "regressions": [row.plain() for row in found.regressions],
    }


def _show(terminal: Terminal, found: Swept) -> None:
    from myoedge.reports.text import clean
    from myoedge.sweeps.sweep import in_short

    for row in found.results:
        terminal.out.print(clean(in_short(row)), markup=False, soft_wrap=True)
