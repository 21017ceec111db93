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
    """Show what int8 costs, layer by layer, without writing anything."""
    from myoedge import api

    found = api.quantize(**options, say=voice.stage)
    warn(voice, found.warnings)
    voice.result(_as_json(found), lambda: _show(voice, found))


def _rows(found: Quantized) -> list[dict[str, Any]]:
    from myoedge.op import OPS

    steps = [step for step in found.network.steps if not OPS[step.node.op].view]
    return [
        {
            "name": step.node.label,
            "op": step.node.op,
            "sqnr_local_db": _db(found.fidelity.local.get(step.node.name)),
            "sqnr_db": _db(found.fidelity.cumulative.get(step.node.name)),
        }
        for step in steps
    ]


def _db(value: float | None) -> float | None:
    """Rounded; 999 where there is no error at all, as in report.json."""
    return None if value is None else round(min(value, 999.0), 2)


def _as_json(found: Quantized) -> dict[str, Any]:
    return {
        "model": found.model.name,
        "sqnr_db": _db(found.fidelity.total_db),
        "accuracy_float": found.accuracy_float,
        "accuracy_int8": found.accuracy_int8,
        "calibration": found.network.calibration.source,
        "layers": _rows(found),
    }


def _show(voice: Voice, found: Quantized) -> None:
    from rich.table import Table

    table = Table("layer", "operator", box=None, pad_edge=False)
    for title in ("alone dB", "so far dB"):
        table.add_column(title, justify="right")
    for row in _rows(found):
        values = (row["sqnr_local_db"], row["sqnr_db"])
        table.add_row(row["name"], row["op"], *("-" if v is None else f"{v:.1f}" for v in values))
    voice.out.print(table)
    total = _db(found.fidelity.total_db)
    voice.out.print(
        f"\nSQNR {total} dB, calibrated on {found.network.calibration.source}", markup=False
    )
    if found.accuracy_float is not None and found.accuracy_int8 is not None:
        text = f"accuracy float {found.accuracy_float:.2%}, int8 {found.accuracy_int8:.2%}"
        voice.out.print(text, markup=False)
