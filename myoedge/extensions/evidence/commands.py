# SPDX-License-Identifier: Apache-2.0
"""The command that collects evidence: `myoedge evidence`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from myoedge.cli.progress import stage_progress
from myoedge.cli.shell import DIFFERENT, Terminal, chosen_build, common

if TYPE_CHECKING:
    from myoedge.extensions.evidence.evidence import Evidence


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

    FOLDER is a build; default: the newest below build/. Writes evidence.json, evidence.md,
    misra.md and sbom.cdx.json (CycloneDX). The exit code is 4 if a requirement is not met.
    """
    from myoedge.extensions.evidence import verbs

    build = chosen_build(terminal, folder)
    with stage_progress(terminal) as progress:
        progress.stage("evidence")
        found = verbs.evidence(build, output=output, input=input, drawn=drawn)
    if not terminal.json_printed("evidence/1", found.document()):
        _show_evidence(terminal, found, output)
    if not found.is_complete:
        sys.exit(DIFFERENT)


def _show_evidence(terminal: Terminal, found: Evidence, output: str) -> None:
    from myoedge.reports.tables import columns, show

    table = columns(
        ["", "requirement", "shown", "value"], left=("", "requirement", "shown", "value")
    )
    for row in found.requirements:
        shown = {True: "yes", False: "NO", None: "no limit"}[row.shown]
        table.add_row(row.key, row.text, shown, row.value)
    show(table, terminal.out)
    for part in found.dependences:
        terminal.text(f"depends on data: {part.function}, in {found.names(part.layers)}")
    if found.compared < 2:
        terminal.text("a single sample does not show which code depends on data: --drawn 8")
    elif found.varying and not found.is_analysed:
        terminal.text(f"depends on data: {', '.join(found.varying)}")
    elif not found.dependences:
        terminal.text("no code of the kernels was found to depend on data")
    terminal.next(f"{output}/evidence.md", f"{output}/sbom.cdx.json   # CycloneDX")
