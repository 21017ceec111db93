# SPDX-License-Identifier: Apache-2.0
"""int16 tensors of a report, and their cost beside int8."""

from __future__ import annotations

from dataclasses import dataclass

from myoedge.numerics import element_type
from myoedge.reports import speed, wording
from myoedge.reports.memory import Row
from myoedge.reports.report_json import Report

INT16 = str(element_type.INT16)


@dataclass(frozen=True, slots=True)
class Int16Layers:
    """All int16 results of a network.

    rows        the layers that write them
    more_bytes  than in int8, all of them together
    weighted    the layers whose weights have 16 bits
    cycles      of the layers that read or write one; None where nothing is known of cycles
    """

    rows: tuple[Row, ...]
    more_bytes: int
    cycles: int | None
    weighted: tuple[Row, ...] = ()


def int16_layers(report: Report) -> Int16Layers | None:
    """The layers with int16 results; None where every result is int8."""
    rows = tuple(row for row in report["layers"] if row.get("dtype") == INT16)
    if not rows:
        return None
    int16_users = [row for row in report["layers"] if INT16 in (row["dtype"], *row["in_dtypes"])]
    has_cycles = speed.cycles(report) is not None
    cycles = sum(speed.layer_cycles(row) or 0 for row in int16_users) if has_cycles else None
    weighted = tuple(row for row in report["layers"] if row.get("weight_dtype") == INT16)
    return Int16Layers(rows, sum(row["out_bytes"] // 2 for row in rows), cycles, weighted)


def costs(report: Report, int16: Int16Layers) -> str:
    """Cost as text: "3 tensors, 12 KiB more than in int8; 2 layers with int16 weights, 90 KiB;
    layers that read or write them take 34 % of the cycles"."""
    count, more_bytes = wording.several(len(int16.rows), "tensor"), wording.size(int16.more_bytes)
    text = f"{count}, {more_bytes} more than in int8"
    if int16.weighted:
        layers = wording.several(len(int16.weighted), "layer")
        size = wording.size(sum(row["weights_bytes"] for row in int16.weighted))
        text += f"; {layers} with int16 weights, {size}"
    if int16.cycles is None:
        return text
    percent = wording.rough_percent(int16.cycles, report["cycles"]["total"])
    return f"{text}; layers that read or write them take {percent} of the cycles"
