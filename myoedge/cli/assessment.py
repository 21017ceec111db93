# SPDX-License-Identifier: Apache-2.0
"""Commands that assess a build: `myoedge adapt` and `myoedge evidence`."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from myoedge.cli.progress import stage_progress
from myoedge.cli.shell import DIFFERENT, Terminal, chosen_build, common

if TYPE_CHECKING:
    from myoedge.building.adapting import Adapted
    from myoedge.building.evidence import Evidence


SESSION = {"method": "method", "seconds": "seconds", "windows": "windows"}
ACCURACIES = {
    "accuracy_before": "before",
    "accuracy_after": "after",
    "accuracy_old_session": "old session",
}
COSTS = {
    "cycles_per_step": "cycles a step",
    "time_us_per_step": "µs a step",
    "energy_uj_per_step": "µJ a step",
    "cycles_end": "cycles, end",
}
MARKS = {
    "*": "no gain on held-back windows, or one class only: the network itself decides",
    "**": "not judged: no window was held back, so a gain is not known",
}


@click.command("adapt")
@click.argument("folder", type=click.Path(), required=False)
@click.option("--data", required=True, metavar="FILE", help="Labelled windows to learn from.")
@click.option("--test", required=True, metavar="FILE", help="Labelled windows of the same session.")
@click.option("--old", metavar="FILE", help="Labelled windows of an older session.")
@click.option("--on", default="host", metavar="WHERE", help="host, or simulator.")
@click.option(
    "--method",
    "methods",
    multiple=True,
    metavar="NAME",
    help="prototypes, lda, head or norm; repeat the option for several (default: all).",
)
@click.option("--every", metavar="TIME", help='Time between windows of a class: "5 ms".')
@click.option("--window", metavar="TIME", help="Length of a window (default: as --every).")
@common
def adapt(terminal: Terminal, folder: str | None, **options: Any) -> None:
    """Adapt a build to a new session, and measure accuracy before and after.

    FOLDER is a build with [adapt] in myoedge.toml; default: the newest below build/. Each session
    learns from the first windows of each class.
    """
    from myoedge import api

    build = chosen_build(terminal, folder)
    with stage_progress(terminal) as progress:
        progress.stage("adapt")
        adapted = api.adapt(build, **options)
    point = None if adapted.point is None else asdict(adapted.point)
    result: dict[str, Any] = {"on": adapted.on, "exact": adapted.exact, "operating_point": point}
    result |= {"l2_bytes": adapted.l2_bytes}
    if not terminal.json_printed("adaptation/1", {**result, "rows": adapted.rows()}):
        _show(terminal, adapted)
    if adapted.exact is False:
        sys.exit(DIFFERENT)


def _show(terminal: Terminal, adapted: Adapted) -> None:
    from myoedge.reports import wording

    rows = adapted.rows()
    for titles in (ACCURACIES, COSTS):  # two tables, as one would be wider than a terminal
        if any(row[key] is not None for row in rows for key in titles):
            _show_table(terminal, {**SESSION, **titles}, rows)
    for mark in sorted({_mark(row) for row in rows} - {""}):
        terminal.text(f"{mark:2} {MARKS[mark]}")
    terminal.text(f"L2 of the adaptation: {adapted.l2_bytes:,} B")
    if (point := adapted.point) is not None:
        terminal.text(f"time and energy at {wording.at_point(point.volts, point.clock_hz)}")
    if adapted.exact is not None:
        verdict = "equal to" if adapted.exact else "NOT equal to"
        terminal.text(f"simulator {verdict} the C on the host")


def _show_table(terminal: Terminal, titles: dict[str, str], rows: list[dict[str, Any]]) -> None:
    from myoedge.reports.tables import columns, show

    shown = [key for key in titles if any(row[key] is not None for row in rows)]
    table = columns([titles[key] for key in shown], left=("method",))
    for row in rows:
        table.add_row(*(_text(key, row) for key in shown))
    show(table, terminal.out)


def _mark(row: dict[str, Any]) -> str:
    if not row["in_force"]:
        return "*"
    return "" if row["judged"] else "**"


def _text(key: str, row: dict[str, Any]) -> str:
    value = row[key]
    if key == "method":
        return f"{value} {_mark(row)}".rstrip()
    if value is None:
        return ""
    if key.startswith("accuracy"):
        return f"{value:.1f} %"
    return (
        f"{value:,.1f}"
        if key.endswith("uj_per_step")
        else f"{value:,g}"
        if key == "seconds"
        else f"{value:,.0f}"
    )


# --- evidence -------------------------------------------------------------------------------------


@click.command("evidence")
@click.argument("folder", type=click.Path(), required=False)
@click.option(
    "-o", "--output", default="evidence", metavar="DIR", help="Where to write (default: evidence)."
)
@click.option("--input", metavar="FILE", help="Samples to run, in the formats of --calib.")
@click.option(
    "--drawn",
    default=8,
    type=click.IntRange(0, 10_000),
    metavar="N",
    help="Random inputs to run in addition (default: 8).",
)
@common
def evidence(
    terminal: Terminal, folder: str | None, output: str, input: str | None, drawn: int
) -> None:
    """Collect evidence for a build's requirements, with a software bill of materials.

    FOLDER is a build; default: the newest below build/. Writes evidence.json, evidence.md and
    sbom.cdx.json (CycloneDX). The exit code is 4 if a requirement is not met.
    """
    from myoedge import api

    build = chosen_build(terminal, folder)
    with stage_progress(terminal) as progress:
        progress.stage("evidence")
        found = api.evidence(build, output=output, input=input, drawn=drawn)
    if not terminal.json_printed("evidence/1", found.document()):
        _show_evidence(terminal, found, output)
    if not found.is_complete:
        sys.exit(DIFFERENT)


def _show_evidence(terminal: Terminal, found: Evidence, output: str) -> None:
    from rich.markup import escape

    from myoedge.reports.tables import columns, show

    table = columns(
        ["", "requirement", "shown", "value"], left=("", "requirement", "shown", "value")
    )
    for row in found.requirements:
        shown = {True: "yes", False: "NO", None: "no limit"}[row.shown]
        table.add_row(row.key, row.text, shown, escape(row.value))
    show(table, terminal.out)
    for part in found.dependences:
        terminal.text(f"depends on data: {part.function}, in {', '.join(part.layers)}")
    if found.compared < 2:
        terminal.text("a single sample does not show which code depends on data: --drawn 8")
    elif not found.dependences:
        terminal.text("no code of the kernels was found to depend on data")
    terminal.next(f"{output}/evidence.md", f"{output}/sbom.cdx.json   # CycloneDX")
