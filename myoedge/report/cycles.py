# SPDX-License-Identifier: Apache-2.0
"""A report with what a run of the firmware has shown in it; the rest of it stays as it was."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from myoedge.measurement import WORKERS, LayerCost, Measurement
from myoedge.target import OperatingPoint

if TYPE_CHECKING:
    from rich.table import Table

Report = dict[str, Any]


def with_cycles(report: Mapping[str, Any], measured: Measurement, point: OperatingPoint) -> Report:
    """The report with cycles, latency and stalls of the first inference of a measurement."""
    first = measured.inferences[0]
    layers = [
        {**row, **_layer(row, cost)}
        for row, cost in zip(report["layers"], first.layers, strict=True)
    ]
    target = {**report["target"], "operating_point": point.name, "clock_hz": point.clock_hz}
    return {
        **report,
        "target": target,
        "cycles": {
            "total": first.cycles,
            "source": measured.source,
            "startup": measured.startup_cycles,
            "inferences": [inference.cycles for inference in measured.inferences],
        },
        "latency_s": first.cycles / point.clock_hz,
        "memory": {**report["memory"], **_l1(measured)},
        "layers": layers,
    }


def _l1(measured: Measurement) -> dict[str, int]:
    return {} if measured.l1_bytes is None else {"l1_peak_bytes": measured.l1_bytes}


def _layer(row: Mapping[str, Any], cost: LayerCost) -> dict[str, Any]:
    return {
        "cycles": cost.cycles,
        "cycles_compute": cost.cycles,
        "cycles_dma": cost.dma_busy_cycles,
        "engine": "cluster",
        "macs_per_cycle": round(row["macs"] / cost.cycles, 3) if cost.cycles else None,
        "instructions": cost.instructions or None,
        "stalls": shares(cost) or None,
    }


def shares(cost: LayerCost) -> dict[str, float]:
    """Parts of the cores' time by cause, in percent; what is not a stall is "busy"."""
    time = cost.cycles * WORKERS
    if not time or not cost.stalls:
        return {}
    found = {"busy": cost.instructions, **cost.stalls}
    return {cause: round(100 * n / time, 1) for cause, n in found.items() if n}


STALL_WORDS = {
    "busy": "busy",
    "load_use": "load-use",
    "arithmetic": "mul/div",
    "jump": "jumps",
    "fetch": "instr. cache",
    "bank": "L1 banks",
    "misaligned": "misaligned",
    "outside": "L2",
    "sleep": "waiting",
}
MOST_CAUSES = 3


def cycles_table(report: Mapping[str, Any]) -> Table:
    """Layer, MACs, cycles, MAC/cycle, and where the cores' time went."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("layer", "operator", "MACs", "cycles", "MAC/cycle", "cores' time"):
        table.add_column(title, justify="left" if title in _LEFT else "right", overflow="fold")
    for row in report["layers"]:
        table.add_row(*_row(row["label"], row["op"], row["macs"], row))
    totals = {"cycles": report["cycles"]["total"], "stalls": None}
    table.add_section()
    table.add_row(*_row("total", "", report["model"]["macs"], totals))
    return table


_LEFT = ("layer", "operator", "cores' time")


def _row(label: str, op: str, macs: int, row: Mapping[str, Any]) -> tuple[str, ...]:
    cycles = row["cycles"]
    rate = f"{macs / cycles:.2f}" if cycles and macs else ""
    return label, op, f"{macs:,}" if macs else "", f"{cycles:,}", rate, causes(row.get("stalls"))


def causes(stalls: Mapping[str, float] | None) -> str:
    """ "busy 61 %, L2 30 %, waiting 6 %": the largest parts."""
    found = sorted((stalls or {}).items(), key=lambda pair: (pair[0] != "busy", -pair[1]))
    shown = [f"{STALL_WORDS[cause]} {share:.0f} %" for cause, share in found if share >= 0.5]
    return ", ".join(shown[: MOST_CAUSES + 1])
