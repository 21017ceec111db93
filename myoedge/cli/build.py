# SPDX-License-Identifier: Apache-2.0
"""`myoedge build`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from myoedge.cli.shell import Terminal, common, model_options, warn

if TYPE_CHECKING:
    from myoedge.building.confirm import CycleProgress


@click.command("build")
@model_options
@click.option("--target", metavar="CHIP", help="gap9 (default) or host.")
@click.option("--l1", metavar="SIZE", help="No more of L1 than 64KiB, say.")
@click.option("--l2", metavar="SIZE", help="No more of L2.")
@click.option("--l3", metavar="SIZE", help="No more of L3.")
@click.option("--operating-point", metavar="NAME", help="high (default), low, auto, or 300MHz.")
@click.option("--app", metavar="KIND", help="gap-sdk: also an application of the GAP SDK.")
@click.option("--stream", is_flag=True, help="me_push, for frames as they come.")
@click.option(
    "--simulate/--no-simulate",
    default=None,
    help="Simulate one inference at the end (default: up to 300 M estimated cycles).",
)
@click.option("--tune", is_flag=True, help="Choose tiles by simulated cycles: takes minutes.")
@click.option("-o", "--output", type=click.Path(), metavar="DIR", help="Default: build/MODEL-CHIP.")
@common
def command(terminal: Terminal, **options: Any) -> None:
    """Turn a trained network into verified int8 C.

    MODEL is a torch.export archive, an ONNX model, or a checkpoint with --factory; without it,
    the one that myoedge.toml names. DIR appears whole or not at all: plain C with a Makefile in
    src/, the report, the quantised ONNX, and a golden sample. For gap9 the firmware is simulated
    on that sample: cycles, energy and budgets are of that run.
    """
    from myoedge import api
    from myoedge.errors import command as command_line
    from myoedge.reports.text import print_report

    with _progress_bar(terminal) as progress:
        built = api.build(**options, say=terminal.stage, progress=progress)
    terminal.times(built.times_s)
    warn(built.warnings)
    summary = {**built.report, "warnings": []}  # which have been told
    terminal.result(
        {"folder": str(built.folder), "report": built.report},
        lambda: print_report(summary, terminal.out, html=str(built.folder / "report.html")),
    )
    terminal.progress(f"next: {command_line('validate', built.folder)}")


@contextmanager
def _progress_bar(terminal: Terminal) -> Iterator[CycleProgress | None]:
    """A bar of simulated cycles on stderr, where that is a terminal; gone when it is done."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True, no_color=not terminal.color)
    if terminal.level < 0 or not console.is_terminal:
        yield None
        return
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("  simulate", visible=False)
        yield lambda cycles, estimated: bar.update(
            task, completed=cycles, total=max(cycles, estimated), visible=True
        )
