# SPDX-License-Identifier: Apache-2.0
"""`myoedge build`."""

from __future__ import annotations

from typing import Any

import click

from myoedge.cli.shell import Terminal, common, model_options, warn


@click.command("build")
@model_options
@click.option("--target", metavar="CHIP", help="gap9 (default) or host.")
@click.option("--l1", metavar="SIZE", help="No more of L1 than 64KiB, say.")
@click.option("--l2", metavar="SIZE", help="No more of L2.")
@click.option("--l3", metavar="SIZE", help="No more of L3.")
@click.option("--operating-point", metavar="NAME", help="high (default), low, auto, or 300MHz.")
@click.option("--app", metavar="KIND", help="gap-sdk: also an application of the GAP SDK.")
@click.option("--stream", is_flag=True, help="me_push, for frames as they come.")
@click.option("-o", "--output", type=click.Path(), metavar="DIR", help="Default: build/MODEL-CHIP.")
@common
def command(terminal: Terminal, **options: Any) -> None:
    """Turn a trained network into verified int8 C.

    MODEL is a torch.export archive, an ONNX model, or a checkpoint with --factory; without it,
    the one that myoedge.toml names. DIR appears whole or not at all: plain C with a Makefile in
    src/, the report, the quantised ONNX, and a golden sample.
    """
    from myoedge import api
    from myoedge.errors import command as command_line
    from myoedge.reports.text import print_report

    built = api.build(**options, say=terminal.stage)
    terminal.times(built.times_s)
    warn(built.warnings)
    summary = {**built.report, "warnings": []}  # which have been told
    terminal.result(
        {"folder": str(built.folder), "report": built.report},
        lambda: print_report(summary, terminal.out, html=str(built.folder / "report.html")),
    )
    terminal.progress(f"next: {command_line('validate', built.folder)}")
