# SPDX-License-Identifier: Apache-2.0
"""`myoedge quantize`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from myoedge.cli.shell import Terminal, common, model_options, warn

if TYPE_CHECKING:
    from myoedge.building.pipeline import Quantized


@click.command("quantize")
@model_options
@common
def command(terminal: Terminal, **options: Any) -> None:
    """Show int8 accuracy and SQNR layer by layer, without writing anything.

    MODEL is a model file as for build; default: the one in myoedge.toml.
    """
    from myoedge import api

    quantized = api.quantize(**options, say=terminal.stage)
    terminal.times(quantized.times_s)
    warn(quantized.warnings)
    terminal.result(_as_json(quantized), lambda: _show(terminal, quantized))


def _rows(quantized: Quantized) -> list[dict[str, Any]]:
    """Rows of the layers with the keys of report.json."""
    from myoedge.operators.base import OPS
    from myoedge.operators.layer_names import node_rows
    from myoedge.reports.function_names import activation
    from myoedge.reports.report_json import decibels

    nodes = [step.node for step in quantized.network.steps if not OPS[step.node.op].view]
    return [
        {
            **row,
            "activation": activation(node),
            "sqnr_local_db": decibels(quantized.fidelity.local.get(node.name)),
            "sqnr_db": decibels(quantized.fidelity.cumulative.get(node.name)),
        }
        for row, node in zip(node_rows(nodes), nodes, strict=True)
    ]


def _as_json(quantized: Quantized) -> dict[str, Any]:
    from myoedge.reports.report_json import decibels

    return {
        "model": quantized.model.name,
        "sqnr_db": decibels(quantized.fidelity.total_db),
        "sqnr_before": list(quantized.fidelity.final_functions),
        "accuracy_float": quantized.accuracy_float,
        "accuracy_int8": quantized.accuracy_int8,
        "calibration": quantized.network.calibration.source,
        "layers": _rows(quantized),
    }


def _show(terminal: Terminal, quantized: Quantized) -> None:
    from rich.markup import escape
    from rich.table import Table

    from myoedge.operators.layer_names import places
    from myoedge.reports import wording
    from myoedge.reports.report_json import decibels
    from myoedge.reports.text import show

    table = Table("layer", "operator", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for title in ("dB alone", "dB so far"):
        table.add_column(title, justify="right", no_wrap=True)
    rows = _rows(quantized)
    for row, place in zip(rows, places(rows), strict=True):
        values = (wording.decibels(row[key], "") for key in ("sqnr_local_db", "sqnr_db"))
        table.add_row(escape(place), escape(wording.operator(row)), *values)
    show(table, terminal.out)
    source = quantized.network.calibration.source
    total = wording.decibels(decibels(quantized.fidelity.total_db))
    graph, each_db = quantized.network.graph, quantized.fidelity.outputs_db
    pairs = zip(graph.output_names or graph.outputs, graph.outputs, strict=True)
    sqnr_of = {name: decibels(each_db[tensor]) for name, tensor in pairs}
    place = wording.at_outputs(sqnr_of, quantized.fidelity.final_functions)
    samples = wording.several(len(quantized.fidelity.real), "calibration sample")
    lines = [f"\nSQNR      {total} {place}, {samples}; calibrated on {source}"]
    if quantized.accuracy_float is not None and quantized.accuracy_int8 is not None:
        accuracies = (
            wording.percent(quantized.accuracy_float),
            wording.percent(quantized.accuracy_int8),
        )
        lines.append("accuracy  float {}   int8 {}".format(*accuracies))
    terminal.out.print("\n".join(lines), markup=False)
