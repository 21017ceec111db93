# SPDX-License-Identifier: Apache-2.0
"""`myoedge quantize`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from myoedge.cli.shell import Voice, common, model_options, warn

if TYPE_CHECKING:
    from myoedge.pipeline import Quantized


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
    from myoedge.op import OPS
    from myoedge.report import words
    from myoedge.report.functions import activation

    steps = [step for step in found.network.steps if not OPS[step.node.op].view]
    return [
        {
            "name": name,
            "op": step.node.op,
            "activation": activation(step.node),
            "sqnr_local_db": _db(found.fidelity.local.get(step.node.name)),
            "sqnr_db": _db(found.fidelity.cumulative.get(step.node.name)),
        }
        for step, name in zip(steps, words.node_places(s.node for s in steps), strict=True)
    ]


def _db(value: float | None) -> float | None:
    """Rounded; 999 where there is no error at all, as in report.json."""
    return None if value is None else round(min(value, 999.0), 2)


def _as_json(found: Quantized) -> dict[str, Any]:
    return {
        "model": found.model.name,
        "sqnr_db": _db(found.fidelity.total_db),
        "sqnr_before": list(found.fidelity.passed),
        "accuracy_float": found.accuracy_float,
        "accuracy_int8": found.accuracy_int8,
        "calibration": found.network.calibration.source,
        "layers": _rows(found),
    }


def _show(voice: Voice, found: Quantized) -> None:
    from rich.markup import escape
    from rich.table import Table

    from myoedge.report import words
    from myoedge.report.text import show

    table = Table("layer", "operator", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for title in ("dB alone", "dB so far"):
        table.add_column(title, justify="right", no_wrap=True)
    for row in _rows(found):
        values = (words.decibels(row[key], "") for key in ("sqnr_local_db", "sqnr_db"))
        table.add_row(escape(row["name"]), escape(words.what(row)), *values)
    show(table, voice.out)
    source = found.network.calibration.source
    total = words.decibels(_db(found.fidelity.total_db))
    place = f"at the output{words.before(found.fidelity.passed)}"
    lines = [f"\nSQNR      {total} {place}, calibrated on {source}"]
    if found.accuracy_float is not None and found.accuracy_int8 is not None:
        shares = (words.percent(found.accuracy_float), words.percent(found.accuracy_int8))
        lines.append("accuracy  float {}   int8 {}".format(*shares))
    voice.out.print("\n".join(lines), markup=False)
