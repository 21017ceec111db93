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

    swept = api.sweep(file, **options, say=lambda text: terminal.progress(f"  {text}"))
    terminal.result(_as_json(swept), lambda: _show(terminal, swept))
    terminal.progress(f"tables and plots: {swept.folder / 'sweep.html'}")
    api.check_regressions(swept)


def _as_json(swept: Swept) -> dict[str, Any]:
    return {
        "folder": str(swept.folder),
        "computed": swept.computed,
        "results": list(swept.results),
        "regressions": [row.plain() for row in swept.regressions],
    }


def _show(terminal: Terminal, swept: Swept) -> None:
    from myoedge.reports.text import clean
    from myoedge.sweeps.sweep import in_short

    for row in swept.results:
        terminal.out.print(clean(in_short(row)), markup=False, soft_wrap=True)
