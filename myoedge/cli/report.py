# SPDX-License-Identifier: Apache-2.0
"""`myoedge report`."""

from __future__ import annotations

import click

from myoedge.cli.shell import Terminal, common


@click.command("report")
@click.argument("folder", type=click.Path(), required=False)
@click.option(
    "--against", type=click.Path(), metavar="OLD", help="Show differences from this build."
)
@click.option("--open", "show", is_flag=True, help="Open report.html in a browser.")
@common
def command(terminal: Terminal, folder: str | None, against: str | None, show: bool) -> None:
    """Show a build's report, or its differences from another build.

    FOLDER is a build; default: the newest below build/.
    """
    from myoedge import api
    from myoedge.cli.newest import newest
    from myoedge.reports.diff import print_diff
    from myoedge.reports.text import print_report

    chosen = api.load_build(folder or newest())
    page = str(chosen.folder / "report.html")
    if against is not None:
        rows = api.report(chosen, against=against)
        terminal.result(
            {"changes": [row.plain() for row in rows]}, lambda: print_diff(rows, terminal.out)
        )
    else:
        terminal.result(chosen.report, lambda: print_report(chosen.report, terminal.out, html=page))
    if show:
        click.launch(page)
