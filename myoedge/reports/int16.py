# SPDX-License-Identifier: Apache-2.0
"""Tensors of 16 bits: which they are, and what they cost beside int8."""

from __future__ import annotations

from dataclasses import dataclass

from myoedge.reports import speed, words
from myoedge.reports.memory import Row
from myoedge.reports.rows import Report

WIDE = "int16"


@dataclass(frozen=True, slots=True)
class Wide:
    """All results of 16 bits of a network.

    rows        the layers that write them
    more_bytes  than in int8, all of them together
    weighted    the layers whose weights have 16 bits
    cycles      of the layers that read or write one; None where nothing is known of cycles
    """

    rows: tuple[Row, ...]
    more_bytes: int
    cycles: int | None
    weighted: tuple[Row, ...] = ()


def wide(report: Report) -> Wide | None:
    """None where every result has 8 bits."""
    rows = tuple(row for row in report["layers"] if row.get("dtype") == WIDE)
    if not rows:
        return None
    touch = [row for row in report["layers"] if WIDE in (row["dtype"], *row["in_dtypes"])]
    known = speed.cycles(report) is not None
    cycles = sum(speed.layer_cycles(row) or 0 for row in touch) if known else None
    weighted = tuple(row for row in report["layers"] if row.get("weight_dtype") == WIDE)
    return Wide(rows, sum(row["out_bytes"] // 2 for row in rows), cycles, weighted)


def costs(report: Report, found: Wide) -> str:
    """ "3 tensors, 12 KiB more than in int8; 2 layers with weights of 16 bits, 90 KiB; layers that
    read or write them take 34 % of the cycles"."""
    count, more = words.several(len(found.rows), "tensor"), words.size(found.more_bytes)
    text = f"{count}, {more} more than in int8"
    if found.weighted:
        layers = words.several(len(found.weighted), "layer")
        size = words.size(sum(row["weights_bytes"] for row in found.weighted))
        text += f"; {layers} with weights of 16 bits, {size}"
    if found.cycles is None:
        return text
    part = words.rough_percent(found.cycles, report["cycles"]["total"])
    return f"{text}; layers that read or write them take {part} of the cycles"
