# SPDX-License-Identifier: Apache-2.0
"""Where things lie in the drawings of report.html: noise and time by layer; maps.py has memory."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from myoedge.operators import layer_names as naming
from myoedge.reports import speed, words
from myoedge.reports.rows import CAUSES, EXACT_DB, WEAK_DB, Report

LEFT, RIGHT, TOP, BOTTOM = 62, 14, 26, 40  # margins in user units, about a pixel each
PLOT_WIDTH = 900
NARROWEST, WIDEST = 24, 104  # of one step
MOST_BARS = 40  # of layers' times
MOST_NAME = 28  # characters beside a bar: what 210 px hold
LETTER = 7.0  # mean width of a letter at 11 units, in the widest fonts that browsers fall back to


@dataclass(frozen=True, slots=True)
class Tick:
    """A line across the plot, or a name below it."""

    at: float
    text: str
    title: str = ""


@dataclass(frozen=True, slots=True)
class Pair:
    """One layer's noise: its own above, everything so far below."""

    x: float
    local: float | None
    total: float | None
    title: str
    weak: bool


@dataclass(frozen=True, slots=True)
class Frame:
    """Size of a drawing, and where its steps are."""

    steps: int
    plot_height: int
    longest: int  # letters of the longest operator's name

    @property
    def slanted(self) -> bool:
        """Whether operators' names do not fit their columns upright."""
        return self.longest * LETTER > self.column - 4

    @property
    def column(self) -> float:
        return min(max(PLOT_WIDTH / max(self.steps, 1), NARROWEST), WIDEST)

    @property
    def width(self) -> float:
        return LEFT + self.column * self.steps + RIGHT

    @property
    def height(self) -> int:
        slant = self.longest * LETTER * 0.64 - 4 if self.slanted else 0
        return round(TOP + self.plot_height + BOTTOM + slant)

    @property
    def right(self) -> float:
        return self.width - RIGHT

    @property
    def bottom(self) -> int:
        return TOP + self.plot_height

    def x(self, step: float) -> float:
        return round(LEFT + self.column * step, 1)

    def y(self, share: float) -> float:
        """0 is the bottom of the plot, 1 its top."""
        return round(self.bottom - self.plot_height * share, 1)


# --- noise ----------------------------------------------------------------------------------------


def noise(report: Report) -> dict[str, Any] | None:
    """SQNR of every layer, alone and so far, on one scale in dB."""
    found = _decibels(report)
    if not found:
        return None
    low, high = 10 * math.floor((min(found) - 2) / 10), 10 * math.ceil((max(found) + 2) / 10)
    frame = Frame(len(report["layers"]), 200, longest(report))
    step = 10 if high - low <= 60 else 20

    names = words.layer_names(report)

    def y(value: float | None) -> float | None:
        return None if value is None else frame.y((min(value, high) - low) / (high - low))

    return {
        "frame": frame,
        "columns": columns(report, frame),
        "ticks": [Tick(y(at) or 0.0, f"{at} dB") for at in range(low, high + 1, step)],
        "weak": y(WEAK_DB) if low < WEAK_DB < high else None,
        "pairs": [
            Pair(
                frame.x(i + 0.5),
                y(row["sqnr_local_db"]),
                y(row["sqnr_db"]),
                _noise_of(row, names[row["name"]]),
                row["name"] == (report["quantization"]["weakest"] or {}).get("name"),
            )
            for i, row in enumerate(report["layers"])
        ],
    }


def _decibels(report: Report) -> list[float]:
    """All of them, of layers alone and so far; what is exact has no place on the scale."""
    rows = report["layers"]
    found = [row[key] for row in rows for key in ("sqnr_local_db", "sqnr_db")]
    return [value for value in found if value is not None and value < EXACT_DB]


def _noise_of(row: Mapping[str, Any], name: str) -> str:
    alone, so_far = (words.decibels(row[key]) for key in ("sqnr_local_db", "sqnr_db"))
    return f"{name}: {alone} alone, {so_far} so far"


def columns(report: Report, frame: Frame) -> list[Tick]:
    """The operator of every step, and its layer."""
    layers = report["layers"]
    rows = enumerate(zip(layers, naming.told_apart(layers), strict=True))
    return [Tick(frame.x(i + 0.5), row["op"], name) for i, (row, name) in rows]


def longest(report: Report) -> int:
    return max((len(row["op"]) for row in report["layers"]), default=0)


# --- time -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Part:
    """A cause's part of a bar, in percent of the bar."""

    cause: str
    percent: float
    title: str


@dataclass(frozen=True, slots=True)
class Bar:
    """Time of a layer: its length in percent of the longest, and its parts by cause."""

    name: str
    note: str
    cycles: int
    rate: str
    length: float
    parts: tuple[Part, ...]
    short: str = ""  # of its name, what there is room for


def time(report: Report) -> dict[str, Any] | None:
    """Bars of the layers that take longest, in network order; None where nothing is known."""
    found = speed.cycles(report)
    if found is None:
        return None
    layers = report["layers"]
    slowest = sorted(layers, key=lambda row: -(speed.layer_cycles(row) or 0))[:MOST_BARS]
    longest = max((speed.layer_cycles(row) or 0 for row in slowest), default=0)
    kept = {row["name"] for row in slowest}
    names = words.layer_names(report)
    bars = [_bar(row, names[row["name"]], longest) for row in layers if row["name"] in kept]
    short = words.shortened([bar.name for bar in bars], MOST_NAME)
    bars = [replace(bar, short=name) for bar, name in zip(bars, short, strict=True)]
    rest = [speed.layer_cycles(row) or 0 for row in layers if row["name"] not in kept]
    return {
        "bars": bars,
        "longest_name": max((len(bar.short) for bar in bars), default=0),
        "parts": _parts(found.get("stalls")),
        "hidden": len(rest),
        "hidden_cycles": sum(rest),
        "outside": speed.outside_layers(report),
    }


def _bar(row: Mapping[str, Any], name: str, longest: int) -> Bar:
    cycles = speed.layer_cycles(row) or 0
    return Bar(
        name=name,
        note=words.what(dict(row)),
        cycles=cycles,
        rate=speed.rate(row["macs"], cycles),
        length=round(100 * words.share(cycles, longest), 2),
        parts=_parts(row["stalls"]) or (Part("all", 100.0, f"{cycles:,} cycles"),),
    )


def _parts(stalls: Mapping[str, float] | None) -> tuple[Part, ...]:
    """Parts that fill a bar, in the same order in each; rounding may not have left 100 %."""
    whole = sum((stalls or {}).values())
    return tuple(
        Part(cause, round(100 * stalls[cause] / whole, 2), f"{stalls[cause]:.1f} %")
        for cause in CAUSES
        if stalls and stalls.get(cause)
    )
