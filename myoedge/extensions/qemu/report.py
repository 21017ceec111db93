# SPDX-License-Identifier: Apache-2.0
"""`instructions` of report.json, as text and table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from myoedge.reports import wording
from myoedge.reports.report_json import Report
from myoedge.reports.tables import ReportTable
from myoedge.targets.cortex_m.chips import BOARDS


def line(report: Report) -> str:
    """Return the text of the row: "1,234,560, 10.6 per MAC   counted by QEMU, mps2-an386, in
    steps of 40; ..."."""
    found = report["instructions"]
    per_mac = _per_mac(found["total"], report["model"]["macs"])
    rate = f", {per_mac} per MAC" if per_mac else ""
    made = f", made by {found['compiler']}" if "compiler" in found else ""
    where = f"{found['machine']}{made}, in steps of {_step(report):g}"
    counted = f"{found['total']:,}{rate}   counted by QEMU, {where}"
    return "; ".join((counted, _cycles(found), *_on_board(found)))


def card(report: Report) -> tuple[str, str]:
    """Return the figure of the card, and its unit."""
    return f"{report['instructions']['total']:,}", "per inference"


def _on_board(found: Mapping[str, Any]) -> Iterator[str]:
    """Yield "12.3 ms (9.3 to 15.3) and 110 uJ (83 to 137) on nrf52840_dk at 64 MHz", if its file
    has them."""
    if "board" in found:
        latency = _with_interval(found["latency_s"], 1e3)
        energy = _with_interval(found["energy_uj"], 1)
        clock = f"{found['clock_hz'] / 1e6:g} MHz"
        yield f"{latency} ms, {energy} µJ on {found['board']} at {clock}"


def _with_interval(estimate: Mapping[str, float], factor: float) -> str:
    value, low, high = (f"{factor * estimate[name]:.3g}" for name in ("value", "low", "high"))
    return f"{value} ({low} to {high})"


def _cycles(found: Mapping[str, Any]) -> str:
    estimated = found.get("cycles")
    if estimated is None:
        return "cycles are not known"
    ends = [estimated[name] for name in ("value", "low", "high")]
    value, low, high = (f"{float(f'{end:.3g}'):,.0f}" for end in ends)
    mean, least, most = (f"{end / found['total']:.2f}" for end in ends)
    factor = f"{mean} per instruction ({least} to {most})"
    source = f"estimated from {estimated['source']}; other waits of flash change them"
    return f"about {value} cycles (95 %: {low} to {high}): {factor}, {source}"


def _step(report: Report) -> float:
    return float(BOARDS[report["target"]["chip"]].tick_instructions)


def table(report: Report) -> ReportTable:
    """Return the table of layers; one may end in the tick in which it starts."""
    names, rows = wording.layer_names(report), report["layers"]
    counts, least = report["instructions"]["layers"], f"under {_step(report):g}"
    cells = (
        (
            names[row["name"]],
            f"{count:,}" if count else least,
            f"{row['macs']:,}",
            _per_mac(count, row["macs"]),
        )
        for row, count in zip(rows, counts, strict=True)
    )
    return ReportTable(("layer", "instructions", "MACs", "per MAC"), tuple(cells), ("layer",))


def _per_mac(count: int, macs: int) -> str:
    return f"{count / macs:.2f}" if macs else ""
