# SPDX-License-Identifier: Apache-2.0
"""Verbs on model files: `myoedge inspect`, `quantize`, `build`, `ops`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from myoedge.building.options import BuildOptions, QuantizeOptions
from myoedge.cli import next_steps
from myoedge.cli.options import MAX_BYTES, model_options
from myoedge.cli.progress import stage_progress
from myoedge.cli.shell import Terminal, chosen_build, common, echo, warn
from myoedge.errors import command as command_line
from myoedge.system.progress import tell_cycles
from myoedge.targets import ACCELERATOR

if TYPE_CHECKING:
    from myoedge.api import Inspection
    from myoedge.building.quantized import Quantized


@click.command("build")
@model_options(BuildOptions)
@common
def build(terminal: Terminal, **options: Any) -> None:
    """Turn a trained network into verified int8 C.

    MODEL is a torch.export archive, an ONNX model, or a checkpoint with --factory; without it,
    the model of myoedge.toml is built. DIR appears complete or not at all: plain C with a Makefile
    in src/, the report, the quantised ONNX, and a golden sample. If the chip is simulated, the
    firmware runs on that sample; this run gives cycles and energy, and checks the budgets.
    """
    from myoedge import api
    from myoedge.building.stages import STAGES
    from myoedge.reports.text import print_report

    with stage_progress(terminal, stages=STAGES) as progress:
        built = api.build(**options, say=progress.stage, progress=tell_cycles)
    terminal.times(built.times_s)
    warn(*built.warnings)
    summary = {**built.report, "warnings": []}  # already printed
    result = {"folder": str(built.folder), "report": built.report}
    if terminal.level < 0 and not terminal.as_json:
        terminal.out.print(str(built.folder), soft_wrap=True)
    elif not terminal.json_printed("build/1", result):
        print_report(summary, terminal.out, html=str(built.folder / "report.html"))
    steps = next_steps.after_build(built, options)
    terminal.next(*next_steps.after_warnings(built.warnings, *steps))


@click.command("quantize")
@model_options(QuantizeOptions)
@common
def quantize(terminal: Terminal, **options: Any) -> None:
    """Quantise a network; show its accuracy and SQNR layer by layer, and write nothing.

    MODEL is a model file as for build; default: the one in myoedge.toml. The integers equal those
    of build --engine cores.
    """
    from myoedge import api
    from myoedge.building.stages import QUANTIZE_STAGES

    with stage_progress(terminal, stages=QUANTIZE_STAGES) as progress:
        quantized = api.quantize(**options, say=progress.stage)
    terminal.times(quantized.times_s)
    warn(*quantized.warnings)
    rows = quantized.rows()
    result = {
        "model": quantized.model.name,
        **quantized.sqnr(),
        "outputs": quantized.outputs(),
        "sqnr_before": list(quantized.fidelity.final_functions),
        **quantized.evaluation_rows(),
        "calibration": quantized.network.calibration.source,
        "layers": rows,
    }
    if not terminal.json_printed("quantization/1", result):
        _show_quantized(terminal, quantized, rows)
    step = command_line("build", *next_steps.given_words())
    terminal.next(*next_steps.after_warnings(quantized.warnings, step))


def _show_quantized(terminal: Terminal, quantized: Quantized, rows: list[dict[str, Any]]) -> None:
    from rich.padding import Padding

    from myoedge.operators.layer_names import unique_names
    from myoedge.reports import wording
    from myoedge.reports.tables import columns, facts, show, styled

    table = columns(("layer", "operator"))
    for title in ("dB alone", "dB so far"):
        table.add_column(title, justify="right", no_wrap=True)
    for row, place in zip(rows, unique_names(rows), strict=True):
        values = (wording.decibels(row[key], "") for key in ("sqnr_local_db", "sqnr_db"))
        table.add_row(place, wording.operator(row), *values)
    show(table, terminal.out)
    rows_of_facts = ((name, styled(text)) for name, text in _quantized_facts(quantized))
    show(Padding(facts(rows_of_facts), (1, 0, 0, 0)), terminal.out)


def _quantized_facts(quantized: Quantized) -> Iterator[tuple[str, str]]:
    """Yield (name, text) rows below the table of layers, named as in the summary of a build."""
    from myoedge.reports import evaluation_lines, fidelity

    report = quantized.report()
    known = fidelity.facts(report)
    yield from evaluation_lines.card_facts(report["quantization"])
    titles = ("SQNR", "scales", "refined", "reachable")
    yield from ((title, known[title]) for title in titles if title in known)
    yield (
        "engine",
        f"integers of build --engine cores; those for {ACCELERATOR.text} may have another SQNR",
    )


@click.command("inspect")
@click.argument("path", type=click.Path(), metavar="MODEL|DIR", required=False)
@click.option(
    "--memory", is_flag=True, help="Show the buffers at the peak of each memory (of a build)."
)
@click.option(
    "--factory", metavar="PKG.MOD:FN", help="Function that builds a checkpoint's network."
)
@click.option("--calib", metavar="FILE", help="Samples with a checkpoint's input shape.")
@MAX_BYTES
@common
def inspect(terminal: Terminal, path: str | None, memory: bool, **options: str | None) -> None:
    """Show the network of a model file and whether it can be built, or the report of a build.

    MODEL is a model file, DIR a build; default: the newest build below build/.
    """
    if memory or path is None or os.path.isdir(path):
        if any(options.values()):
            raise click.UsageError(
                "--factory, --calib and --max-bytes go with a model file, not with a build."
            )
        _inspect_build(terminal, chosen_build(terminal, path), memory)
    else:
        _inspect_model(terminal, path, options)


def _inspect_model(terminal: Terminal, model: str, options: Mapping[str, str | None]) -> None:
    from myoedge import api

    inspection = api.inspect(model, **options)
    if not terminal.json_printed("inspection/1", asdict(inspection)):
        _show_inspection(terminal, inspection)
    terminal.next(*next_steps.after_inspect(model, options["factory"], options["calib"]))


def _inspect_build(terminal: Terminal, folder: Path, memory: bool) -> None:
    from myoedge import api
    from myoedge.reports.peaks import print_peaks
    from myoedge.reports.text import print_report

    if memory:
        peaks = api.peaks(folder)
        result = {"memories": [asdict(peak) for peak in peaks]}
        if not terminal.json_printed("memory-peaks/1", result):
            print_peaks(peaks, terminal.out)
        terminal.next(command_line("report", folder, "--open"))
        return
    report = api.load_build(folder).report
    if not terminal.json_printed("report/1", report):
        print_report(report, terminal.out, html=str(folder / "report.html"))
    terminal.next(command_line("inspect", folder, "--memory"))


def _show_inspection(terminal: Terminal, inspection: Inspection) -> None:
    from myoedge.reports.tables import columns, show

    lines = [
        f"{inspection.name}  float network {inspection.digest[:16]}",
        *(f"  {note}" for note in inspection.notes),
    ]
    lines += [f"  input   {name} {list(shape)}" for name, shape in inspection.inputs]
    lines += [f"  output  {name} {list(shape)}" for name, shape in inspection.outputs]
    lines.append(f"  {inspection.params:,} parameters, {inspection.macs:,} MACs\n")
    terminal.text(*lines)
    table = columns(("layer", "operator", "output", "MACs"))
    for path, op, shape, macs in inspection.layers:
        table.add_row(path, op, "x".join(map(str, shape)), f"{macs:,}" if macs else "")
    show(table, terminal.out)


@click.command("ops")
@click.option("--md", is_flag=True, help="Print all details, as Markdown.")
@common
def ops(terminal: Terminal, md: bool) -> None:
    """List the supported operators, and the calls of PyTorch and ONNX that map to them.

    Operators of plug-ins are listed if myoedge.toml in the current folder names these.
    """
    from myoedge import api
    from myoedge.reports.tables import columns, show

    if md and terminal.as_json:
        raise click.UsageError("give either --md or --json, not both.")
    operators = api.ops()
    if md:
        from myoedge.reports.operators import markdown

        echo(markdown(operators), nl=False)
    elif not terminal.json_printed("operators/1", {"operators": [asdict(op) for op in operators]}):
        titles = ("operator", "description", "PyTorch", "ONNX")
        table = columns(titles, left=titles, overflow="fold")
        for op in operators:
            table.add_row(op.name, op.doc, ", ".join(op.torch), ", ".join(op.onnx))
        show(table, terminal.out)
    terminal.next(next_steps.at_a_model())
