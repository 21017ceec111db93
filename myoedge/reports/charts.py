# SPDX-License-Identifier: Apache-2.0
"""Geometry of the charts in report.html: SQNR and time by layer. memory_maps.py has the memory
maps."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from myoedge.operators import layer_names as naming
from myoedge.reports import fidelity, speed, wording
from myoedge.reports.evaluations import EXACT_DB
from myoedge.reports.report_json import CAUSES, WEAK_DB, Report
from myoedge.reports.tables import on_one_line

LEFT, RIGHT, TOP, BOTTOM = 62, 14, 26, 40  # margins in user units, about one pixel each
PLOT_WIDTH = 900
NARROWEST, WIDEST = 24, 104  # width of a step
MAX_BARS = 40  # layers in the chart
MAX_NAME_CHARS = 28  # characters next to a bar: 210 px
LETTER = 7.0  # mean width of a letter at size 11, in the widest fallback fonts of browsers


@dataclass(frozen=True, slots=True)
class Tick:
    """A grid line, or a label of an axis.

    at      position in the picture
    text    the label
    title   tooltip
    """

    at: float
    text: str
    title: str = ""


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in a picture: a buffer in a memory map, or a layer in the network map.

    x, y, width, height   position and size
    title   tooltip
    lines   text in the rectangle
    look    CSS class, of a layer its engine
    """

    x: float
    y: float
    width: float
    height: float
    title: str
    lines: tuple[str, ...]
    look: str


@dataclass(frozen=True, slots=True)
class Pair:
    """The two bars of a layer in the SQNR chart.

    x       position
    local   height of the bar with only this layer quantised; None without noise
    total   height of the bar with all layers up to this one quantised
    title   tooltip
    weak    whether the layer's own SQNR is low
    """

    x: float
    local: float | None
    total: float | None
    title: str
    weak: bool


@dataclass(frozen=True, slots=True)
class Frame:
    """Size of a chart, and the positions of its columns.

    steps           number of columns
    column          width of a column
    plot_height     height of the plot without labels
    width, height   size of the chart
    right, bottom   edges of the plot
    slanted         whether operator names are too long for horizontal labels
    """

    steps: int
    column: float
    plot_height: int
    width: float
    height: int
    right: float
    bottom: int
    slanted: bool

    def x(self, step: float) -> float:
        return round(LEFT + self.column * step, 1)

    def y(self, share: float) -> float:
        """Return the vertical position of a value from 0 (bottom of the plot) to 1 (top)."""
        return round(self.bottom - self.plot_height * share, 1)


def frame_of(report: Report, plot_height: int, steps: int = 0) -> Frame:
    """Return the frame of a chart with one column per layer, or with `steps` columns."""
    steps = max(steps, len(report["layers"]))
    name_width = LETTER * max((len(row["op"]) for row in report["layers"]), default=0)
    column = min(max(PLOT_WIDTH / max(steps, 1), NARROWEST), WIDEST)
    width, bottom = LEFT + column * steps + RIGHT, TOP + plot_height
    slanted = name_width > column - 4
    height = round(bottom + BOTTOM + (name_width * 0.64 - 4 if slanted else 0))
    return Frame(steps, column, plot_height, width, height, width - RIGHT, bottom, slanted)


# --- noise ----------------------------------------------------------------------------------------


def is_on_scale(db: float | None) -> bool:
    """Return whether a layer's SQNR can be drawn; that of an exact layer is infinite."""
    return db is not None and db < EXACT_DB


def noise(report: Report) -> dict[str, Any] | None:
    """Return the data of the SQNR chart: for every layer its own and the accumulated SQNR in dB;
    None without SQNR."""
    layers, keys = report["layers"], ("sqnr_local_db", "sqnr_db")
    levels = [row[key] for row in layers for key in keys if is_on_scale(row[key])]
    if not levels:
        return None
    low, high = 10 * math.floor((min(levels) - 2) / 10), 10 * math.ceil((max(levels) + 2) / 10)
    frame = frame_of(report, 200)
    step = 10 if high - low <= 60 else 20
    names = wording.layer_names(report)
    weakest = fidelity.noisiest(report)

    def y(value: float | None) -> float | None:
        return None if value is None else frame.y((min(value, high) - low) / (high - low))

    def pair(number: int, row: Mapping[str, Any]) -> Pair:
        own, accumulated = (wording.decibels(row[key]) for key in keys)
        title = f"{names[row['name']]}: {own} alone, {accumulated} so far"
        local, total = (y(row[key]) for key in keys)
        return Pair(frame.x(number + 0.5), local, total, title, row["name"] == weakest)

    return {
        "frame": frame,
        "columns": columns(report, frame),
        "ticks": [Tick(y(at) or 0.0, f"{at} dB") for at in range(low, high + 1, step)],
        "weak": y(WEAK_DB) if low < WEAK_DB < high else None,
        "pairs": [pair(number, row) for number, row in enumerate(layers)],
    }


def columns(report: Report, frame: Frame) -> list[Tick]:
    """Return the label of every column: the layer's operator, with the layer's name as tooltip."""
    layers = report["layers"]
    rows = enumerate(zip(layers, naming.unique_names(layers), strict=True))
    return [Tick(frame.x(i + 0.5), row["op"], name) for i, (row, name) in rows]


# --- time -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class BarPart:
    """Part of a layer's bar that shows the cycles of one stall cause.

    percent   length in percent of the bar
    title     tooltip
    """

    cause: str
    percent: float
    title: str


@dataclass(frozen=True, slots=True)
class Bar:
    """Bar that shows the time of a layer, divided by stall cause.

    name     the layer
    note     its operator and place
    cycles   its cycles
    rate     MAC/cycle as text
    length   length in percent of the longest bar
    parts    parts by stall cause
    short    shortened name
    """

    name: str
    note: str
    cycles: int
    rate: str
    length: float
    parts: tuple[BarPart, ...]
    short: str = ""  # the part of the name that fits


def time(report: Report) -> dict[str, Any] | None:
    """Return the data of the time chart: bars of the slowest layers, in network order; None without
    cycles."""
    cycles = speed.cycles(report)
    if cycles is None:
        return None
    layers = [*zip(report["layers"], speed.cycles_by_layer(report), strict=True)]
    ranked = sorted(layers, key=lambda pair: -pair[1])
    slowest, omitted = ranked[:MAX_BARS], [n for _, n in ranked[MAX_BARS:]]
    longest = max((layer_cycles for _, layer_cycles in slowest), default=0)
    slowest_names = {row["name"] for row, _ in slowest}
    names, bars = wording.layer_names(report), []
    for row, layer_cycles in layers:
        if row["name"] in slowest_names:
            uncounted = BarPart("all", 100.0, f"{layer_cycles:,} cycles")
            bar = Bar(
                name=names[row["name"]],
                note=wording.operator(row),
                cycles=layer_cycles,
                rate=speed.rate(row["macs"], layer_cycles),
                length=round(100 * wording.fraction(layer_cycles, longest), 2),
                parts=_bar_parts(row["stalls"]) or (uncounted,),
            )
            bars.append(bar)
    short = on_one_line([bar.name for bar in bars], MAX_NAME_CHARS)
    return {
        "bars": [replace(bar, short=name) for bar, name in zip(bars, short, strict=True)],
        "longest_name": max(map(len, short), default=0),
        "parts": _bar_parts(cycles.get("stalls")),
        "hidden": len(omitted),
        "hidden_cycles": sum(omitted),
        "outside": speed.outside_layers(report),
    }


def _bar_parts(stalls: Mapping[str, float] | None) -> tuple[BarPart, ...]:
    """Return the parts of a bar by cause, in a fixed order, scaled to 100 %."""
    total = sum((stalls or {}).values())
    return tuple(
        BarPart(cause, round(100 * stalls[cause] / total, 2), f"{stalls[cause]:.1f} %")
        for cause in CAUSES
        if stalls and stalls.get(cause)
    )
