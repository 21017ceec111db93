# SPDX-License-Identifier: Apache-2.0
"""`myoedge quantize`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from myoedge.cli.shell import Voice, common, model_options, warn

if TYPE_CHECKING:
    from myoedge.building.pipeline import Quantized


@click.command("quantize")
@model_options
@common
def command(voice: Voice, **options: Any) -> None:
    """Show what int8 costs, layer by layer, without writing anything.

    MODEL is what build takes; without it, the one that myoedge.toml names.
    """
    from myoedge import api

    found = api.quantize(**options, say=voice.stage)
    voice.times(found.times_s)
    warn(found.warnings)
    voice.result(_as_json(found), lambda: _show(voice, found))


def _rows(found: Quantized) -> list[dict[str, Any]]:
    """With the keys of report.json's `layers`."""
    from myoedge.operators.base import OPS
    from myoedge.operators.layer_names import node_rows
    from myoedge.reports.function_names import activation
    from myoedge.reports.report_json import decibels

    nodes = [step.node for step in found.network.steps if not OPS[step.node.op].view]
    return [
        {
            **row,
            "activation": activation(node),
            "sqnr_local_db": decibels(found.fidelity.local.get(node.name)),
            "sqnr_db": decibels(found.fidelity.cumulative.get(node.name)),
        }
        for row, node in zip(node_rows(nodes), nodes, strict=True)
    ]


def _as_json(found: Quantized) -> dict[str, Any]:
    from myoedge.reports.report_json import decibels

    return {
        "model": found.model.name,
        "sqnr_db": decibels(found.fidelity.total_db),
        "sqnr_before": list(found.fidelity.passed),
        "accuracy_float": found.accuracy_float,
        "accuracy_int8": found.accuracy_int8,
        "calibration": found.network.calibration.source,
        "layers": _rows(found),
    }


def _show(voice: Voice, found: Quantized) -> None:
    from rich.markup import escape
    from rich.table import Table

    from myoedge.operators.layer_names import places
    from myoedge.reports import wording
    from myoedge.reports.report_json import decibels
    from myoedge.reports.text import show

    table = Table("layer", "operator", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for title in ("dB alone", "dB so far"):
        table.add_column(title, justify="right", no_wrap=True)
    rows = _rows(found)
    for row, place in zip(rows, places(rows), strict=True):
        values = (wording.decibels(row[key], "") for key in ("sqnr_local_db", "sqnr_db"))
        table.add_row(escape(place), escape(wording.operator(row)), *values)
    show(table, voice.out)
    source = found.network.calibration.source
    total = wording.decibels(decibels(found.fidelity.total_db))
    graph, each_db = found.network.graph, found.fidelity.outputs_db
    pairs = zip(graph.output_names or graph.outputs, graph.outputs, strict=True)
    each = {shown: decibels(each_db[name]) for shown, name in pairs}
    place = wording.at_outputs(each, found.fidelity.passed)
    samples = wording.several(len(found.fidelity.real), "calibration sample")
    lines = [f"\nSQNR      {total} {place}, {samples}; calibrated on {source}"]
    if found.accuracy_float is not None and found.accuracy_int8 is not None:
        shares = (wording.percent(found.accuracy_float), wording.percent(found.accuracy_int8))
        lines.append("accuracy  float {}   int8 {}".format(*shares))
    voice.out.print("\n".join(lines), markup=False)
