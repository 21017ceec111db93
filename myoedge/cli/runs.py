# SPDX-License-Identifier: Apache-2.0
"""Verbs on builds: `myoedge validate`, `report`."""

from __future__ import annotations

import os
import shlex
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from myoedge.backends.names import backends
from myoedge.cli import next_steps
from myoedge.cli.options import JUNIT, junit_file
from myoedge.cli.progress import stage_progress
from myoedge.cli.shell import (
    DIFFERENT,
    Terminal,
    board_options,
    chosen_build,
    common,
    echo,
    newest,
    warn,
    with_options,
)
from myoedge.errors import MyoedgeError, command

if TYPE_CHECKING:
    from myoedge.api import Build, Validation
    from myoedge.reports.diff import Changes


REPORT, COMPARISON = "report.html", "comparison.html"
USUAL = "."  # value of --html without a name


CHECK_OPTIONS = with_options(
    click.argument("folder", type=click.Path(), required=False),
    click.option(
        "--on",
        default=("host",),
        multiple=True,
        metavar="BACKENDS",
        help=f"Backends, comma-separated: {', '.join(backends())}.",
    ),
    click.option("--input", metavar="FILE", help="More samples, in the formats of --calib."),
    click.option(
        "--test",
        metavar="DATA",
        help="Labelled test samples: measure the accuracy of the C, also for the report.",
    ),
    click.option(
        "--onnx", is_flag=True, help="Also measure model.int8.onnx (pip install onnxruntime)."
    ),
    click.option(
        "--cc", default="zig", metavar="COMPILER", help="C compiler: zig (included), cc, or a path."
    ),
    JUNIT,
    board_options,
)


@click.command("validate")
@CHECK_OPTIONS
@common
def validate(
    terminal: Terminal, folder: str | None, on: tuple[str, ...], junit: str | None, **options: Any
) -> None:
    """Compare every layer of the generated C with the NumPy reference, bit for bit.

    FOLDER is a build; default: the newest below build/. The exit code is 4 if integers differ, or
    if onnxruntime's outputs have an SQNR below 20 dB against the reference.
    """
    from myoedge import api

    backends = tuple(dict.fromkeys(filter(None, ",".join(on).split(","))))
    with junit_file(junit, "myoedge validate") as write_junit:
        build = chosen_build(terminal, folder)
        with stage_progress(terminal) as progress:
            validation = api.validate(build, on=backends, **options, say=progress.stage)
        write_junit(lambda: validation.junit(api.load_build(build).report["model"]["name"]))
    if not terminal.json_printed("validation/1", _validation_json(validation)):
        _show_validation(terminal, validation)
    warn(*validation.warnings, validation.unwritten)
    if not validation.passed:
        sys.exit(DIFFERENT)
    report = api.load_build(build).report
    step = next_steps.after_validate(build, report, validation.exact)
    terminal.next(*next_steps.after_warnings(validation.warnings, step))


def _validation_json(validation: Validation) -> dict[str, Any]:
    difference = None if validation.difference is None else asdict(validation.difference)
    if difference is not None:
        difference["rung"] = difference.pop("backend")  # key used by earlier versions
    return {
        "exact": validation.exact,
        "samples": validation.samples,
        "difference": difference,
        "evaluation": validation.evaluation,
        "onnx_db": None if validation.onnx_db is None else min(validation.onnx_db, 999.0),
    }


def _onnx_verdict(db: float) -> str:
    """Return text on the SQNR of onnxruntime's outputs, which differ because it rounds ties
    differently."""
    from myoedge.backends.onnx_agreement import AGREES_DB, DIFFERS_DB

    if db == float("inf"):
        return "the same integers"
    kept = f"{db:z.1f} dB to the reference"
    if db >= AGREES_DB:
        return f"agrees: {kept}"
    if db >= DIFFERS_DB:
        return f"agrees within roundings that add up: {kept}; --input compares more samples"
    return f"does NOT agree: {kept}; rounding differences keep {DIFFERS_DB:g} dB or more"


def _show_validation(terminal: Terminal, validation: Validation) -> None:
    from myoedge.backends.names import backends
    from myoedge.reports.evaluation_lines import card_facts

    for backend, count in validation.samples.items():
        if validation.exact[backend]:
            singular, plural = ("pass", "passes") if validation.in_passes else ("sample", "samples")
            runs = f"{count:,} {singular if count == 1 else plural}"
            compared = "every layer" if backends()[backend].shows_layers else "outputs"
            terminal.text(f"exact: reference = {backends()[backend].text}, {compared}, {runs}")
    if validation.onnx_db is not None:
        terminal.text(f"onnxruntime on model.int8.onnx: {_onnx_verdict(validation.onnx_db)}")
    for title, text in card_facts(validation.evaluation):
        terminal.text(f"{title}: {text}".replace("\n", "\n  "), soft_wrap=True)
    if validation.difference is None:
        return
    first, run = validation.difference, "pass" if validation.in_passes else "sample"
    index = list(first.index)
    terminal.text(
        f"{first.where} differs on {first.backend}",
        f"  layer     {first.layer} ({first.name}), {run} {first.sample}, index {index}",
        f"  expected  {first.expected}",
        f"  got       {first.got}",
    )


def _print_changes(terminal: Terminal, new: Build, rows: Changes, page: str | None) -> None:
    from myoedge.reports import speed
    from myoedge.reports.diff import print_diff

    result = {"verdict": asdict(rows.verdict), "changes": [row.plain() for row in rows]}
    if not terminal.json_printed("changes/1", result):
        print_diff(rows, terminal.out)
        has_startup = any(change.fact.key == "cycles.startup" for change in rows)
        if has_startup and (written := speed.startup_writes(new.report)):
            terminal.text(f"start-up cycles: {written[0].lower()}{written[1:]}", soft_wrap=True)
    if page:
        terminal.progress(f"page: {page}")


def _page_file(html: str | None, against: str | None) -> str | None:
    """Return the file that --html names: its value, or the usual name without one."""
    return html if html != USUAL else REPORT if against is None else COMPARISON


@click.command("report")
@click.argument("folder", type=click.Path(), required=False)
@click.option(
    "--against", type=click.Path(), metavar="OLD", help="Show differences from this build."
)
@click.option(
    "--html",
    is_flag=False,
    flag_value=USUAL,
    metavar="[FILE]",
    help=f"Write a page ({REPORT}); with --against, both builds side by side ({COMPARISON}).",
)
@click.option("--open", "show", is_flag=True, help="Open the page in a browser.")
@click.option(
    "--figures",
    metavar="DIR",
    help="Write the charts as SVG and PDF, and the tables as CSV and LaTeX.",
)
@common
def report(
    terminal: Terminal,
    folder: str | None,
    against: str | None,
    html: str | None,
    show: bool,
    figures: str | None,
) -> None:
    """Show a build's report, or with --against its differences from another build.

    FOLDER is a build; default: the newest below build/.
    """
    from myoedge import api
    from myoedge.reports.text import print_report

    chosen = api.load_build(folder or newest())
    html = _page_file(html, against)
    page = html or str(chosen.folder / "report.html")
    if against is not None and figures is not None:
        raise click.UsageError("--figures is for one build: without --against.")
    if against is not None:
        _print_changes(terminal, chosen, api.report(chosen, against=against, html=html), html)
    elif not terminal.json_printed("report/1", api.report(chosen, html=html, figures=figures)):
        print_report(_localise_commands(chosen), terminal.out, html=page)
        _print_stale_energies(terminal, chosen)
    if show:
        click.launch(page)
    terminal.next(next_steps.after_report(chosen.folder, against, is_page=bool(html or show)))


def _print_stale_energies(terminal: Terminal, build: Build) -> None:
    """Print how to renew the energies of a report that was made before a calibration."""
    from myoedge.building.stale_energies import stale_energies

    if stale := stale_energies(build.report):
        renewed = f"{stale}: renew them by {command('energy', build.folder)}"
        terminal.text(renewed, soft_wrap=True)


@click.command("diff")
@click.argument("old", type=click.Path())
@click.argument("new", type=click.Path())
@common
def diff(terminal: Terminal, old: str, new: str) -> None:
    """Check whether the model.blob of build NEW suffices to update the firmware of build OLD.

    Both need --weights-blob. To compare their figures, use `report NEW --against OLD`.
    """
    from myoedge import api

    found = api.diff(old, new)
    if not terminal.json_printed("layouts/1", found.plain()):
        terminal.text(str(found))


@click.command("check")
@click.argument("folder", type=click.Path(), required=False)
@click.option(
    "--against", type=click.Path(), required=True, metavar="OLD", help="The accepted build."
)
@click.option(
    "--config", type=click.Path(), metavar="TOML", help="File with [check] (default: myoedge.toml)."
)
@click.option("--annotations", is_flag=True, help="Also print annotations for GitHub Actions.")
@JUNIT
@common
def check(
    terminal: Terminal,
    folder: str | None,
    against: str,
    config: str | None,
    annotations: bool,
    junit: str | None,
) -> None:
    """Compare a build with an accepted one; exit with 3 if a figure is worse than [check] allows.

    FOLDER is a build; default: the newest below build/. Figures are cycles, latency, energy,
    memory, SQNR, accuracy, and whether outputs are exact.
    """
    from myoedge import api

    with junit_file(junit, "myoedge check") as write_junit:
        found = api.check(chosen_build(terminal, folder), against=against, config=config)
        write_junit(found.junit)
    if not terminal.json_printed("check/1", found.plain()):
        for row in found.figures:
            terminal.text(f"{row.status:<8}{row.text}", soft_wrap=True)
    if annotations:
        for line in found.annotations():
            echo(line, err=True)
    found.raise_worse()


def _localise_commands(build: Build) -> dict[str, Any]:
    """Return a build's report, with the commands of suggestions as typed in the current folder."""
    from myoedge.backends.arguments import recalled

    report = build.report
    advice = report.get("advice")
    if not advice or not advice["suggestions"]:
        return report
    try:
        folder = recalled(build).folder
    except MyoedgeError:  # made on another computer
        return report
    rows = [{**row, "how": as_typed(row["how"], folder)} for row in advice["suggestions"]]
    return {**report, "advice": {**advice, "suggestions": rows}}


def as_typed(how: str, folder: str) -> str:
    """Return a suggestion's lines with its command for the current folder; TOML lines are
    unchanged."""
    if not folder or os.path.realpath(folder) == os.path.realpath("."):  # "": an unknown folder
        return how
    place, start = shlex.quote(folder), "myoedge "
    lines = how.split("\n")
    return "\n".join(f"(cd {place} && {x})" if x.startswith(start) else x for x in lines)
