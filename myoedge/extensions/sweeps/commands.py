# SPDX-License-Identifier: Apache-2.0
"""Commands for sweeps and suggestions: `myoedge sweep` and `myoedge advise`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from myoedge.cli.options import JUNIT, junit_file
from myoedge.cli.runs import as_typed
from myoedge.cli.shell import Terminal, chosen_build, common, warn
from myoedge.errors import command, printable

if TYPE_CHECKING:
    from myoedge.backends.build import Build


def advise_step(build: Build, options: Mapping[str, Any]) -> Iterator[str]:
    """Yield the command that measures variations of a build for a chip."""
    if build.report["cycles"]:
        yield f"{command('advise', build.folder)}   # measures what would make it better"


@click.command("sweep")
@click.argument("file", type=click.Path(), metavar="SWEEP.toml")
@click.option("-o", "--output", type=click.Path(), metavar="DIR", help="Default: build/FILE-sweep.")
@click.option(
    "-j",
    "--jobs",
    type=click.IntRange(1),
    metavar="N",
    help="Number of processes (default: processors).",
)
@click.option(
    "--against",
    type=click.Path(),
    metavar="OLD",
    help="Exit with 3 if a result is worse than in this sweep.",
)
@click.option("--scheduler", metavar="ADDRESS", help="A Dask scheduler, tcp://host:8786.")
@JUNIT
@common
def sweep(terminal: Terminal, file: str, junit: str | None, **options: Any) -> None:
    """Build and simulate all combinations of models, budgets, options, clocks and memories.

    Results that DIR already contains are not computed again, even if the last run was interrupted.
    DIR gets sweep.json, sweep.csv and sweep.html, and runs/ with one file per result.
    """
    from myoedge.extensions.sweeps import verbs
    from myoedge.extensions.sweeps.table import hidden, printed, said
    from myoedge.reports.tables import show

    with junit_file(junit, "myoedge sweep") as write_junit:
        swept = verbs.sweep(file, **options, say=lambda text: terminal.progress(f"  {text}"))
        write_junit(swept.junit)
    result = {
        "folder": str(swept.folder),
        "computed": swept.computed,
        "results": list(swept.results),
        "regressions": [row.plain() for row in swept.regressions],
    }
    if not terminal.json_printed("sweep-run/1", result):
        show(printed(swept.results, terminal.out.width), terminal.out)
        lines = [*hidden(swept.results, terminal.out.width), *said(swept.results)]
        for line in lines:
            terminal.text(line, soft_wrap=True)
    terminal.progress(f"tables and plots: {swept.folder / 'sweep.html'}")
    verbs.check_regressions(swept)
    terminal.next(after_sweep(file, swept.folder, options["against"]))


@click.command("advise")
@click.argument("folder", type=click.Path(), required=False)
@click.option(
    "-j", "--jobs", type=click.IntRange(1), metavar="N", help="Number of builds in parallel."
)
@common
def advise(terminal: Terminal, folder: str | None, jobs: int | None) -> None:
    """Measure what would make a build better: at most five suggestions, with gains and costs.

    FOLDER is a build made on this computer; default: the newest below build/. Its network is built
    and simulated again, with one change per build: this takes as long as five to fifteen. Those
    that can gain most come first; Ctrl-C ends with the suggestions found until then.
    Suggestions are also added to the report, under "What to do next".
    """
    from myoedge.extensions.sweeps import verbs

    build = chosen_build(terminal, folder)
    advice = verbs.advise(build, jobs=jobs, say=lambda text: terminal.progress(f"  {text}"))
    if not terminal.json_printed("advice/1", advice.plain()):
        for suggestion in advice.suggestions:
            how = as_typed(suggestion.how, advice.folder).split("\n")
            lines = (f"  {printable(line)}" for line in how)
            terminal.text(printable(suggestion.text), *lines, soft_wrap=True)
        better = len(advice.suggestions) or "none"
        terminal.text(f"{advice.tried} builds measured: {better} better", soft_wrap=True)
        if advice.cause:
            terminal.text(advice.cause, soft_wrap=True)
        if advice.refused:
            terminal.text(f"cannot be built: {', '.join(advice.refused)}", soft_wrap=True)
        if advice.pointless:
            named = ", ".join(advice.pointless)
            terminal.text(f"not built, as they can gain next to nothing: {named}", soft_wrap=True)
    warn(advice.unwritten)
    if advice.left:
        raise click.Abort
    terminal.next(command("report", build, "--open"))


def after_sweep(file: str, folder: Path, against: str | None) -> str:
    """Return the next step after sweep: comparing a later sweep with this one, or reading the
    comparison."""
    if against is not None:
        from myoedge.extensions.sweeps.results import WORSE_CODE

        return f"{command('explain', WORSE_CODE)}   # what counts as worse"
    later = command("sweep", file, "-o", f"{folder}-new", "--against", folder)
    return f"{later}   # when something has changed"
