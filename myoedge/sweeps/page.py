# SPDX-License-Identifier: Apache-2.0
"""sweep.html: the table, and plots with the results that no other beats in both figures."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from myoedge.reports import wording
from myoedge.reports.energy import amount, of_result
from myoedge.reports.html import environment
from myoedge.reports.speed import duration
from myoedge.sweeps.executors import OK, Result
from myoedge.sweeps.results import Regression, name_of
from myoedge.version import __version__

WIDTH, HEIGHT, LEFT, BOTTOM, EDGE = 460.0, 300.0, 74.0, 44.0, 16.0
TICKS = 5
PAD = 0.06  # of the range, on either side


@dataclass(frozen=True, slots=True)
class Axis:
    """A figure, how it is shown, and which end is the good one (-1: less).

    unit   ticks are round numbers of it
    """

    figure: str
    title: str
    show: Callable[[float], str]
    better: int = -1
    unit: float = 1.0


LATENCY = Axis("latency_s", "latency", duration)
ENERGY = Axis("energy_uj", "energy", lambda uj: amount(uj * 1e-6))
MEMORY = Axis("l2_bytes", "L2 memory", lambda b: wording.size(round(b)), unit=1024.0)
SQNR = Axis("sqnr_db", "SQNR", wording.decibels, better=1)
PLOTS = ((LATENCY, ENERGY), (LATENCY, MEMORY), (LATENCY, SQNR), (ENERGY, SQNR), (MEMORY, SQNR))


@dataclass(frozen=True, slots=True)
class Dot:
    """A result in a plot."""

    x: float
    y: float
    title: str
    best: bool


@dataclass(frozen=True, slots=True)
class Plot:
    """Dots, the line through the best of them, ticks as (position, text)."""

    x: Axis
    y: Axis
    dots: tuple[Dot, ...]
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]
    width: float = WIDTH
    height: float = HEIGHT
    left: float = LEFT
    bottom: float = HEIGHT - BOTTOM

    @property
    def front(self) -> str:
        """Points of an SVG polyline."""
        best = sorted((d.x, d.y) for d in self.dots if d.best)
        return " ".join(f"{x:.1f},{y:.1f}" for x, y in best)


def pareto(points: Sequence[tuple[float, float]]) -> list[bool]:
    """Pareto-optimal points: no other is at least as good in both figures and better in one; less
    is better."""
    return [not any(x <= a and y <= b and (x, y) != (a, b) for x, y in points) for a, b in points]


def plot(rows: Sequence[Result], x: Axis, y: Axis) -> Plot | None:
    """Plot of the results that have both figures; None for none."""
    known = [row for row in rows if row["status"] == OK and _has(row, x) and _has(row, y)]
    if not known:
        return None
    costs = [(-x.better * row[x.figure], -y.better * row[y.figure]) for row in known]
    best = pareto(costs)
    x_at = _scale([row[x.figure] for row in known], LEFT, WIDTH - EDGE)
    y_at = _scale([row[y.figure] for row in known], HEIGHT - BOTTOM, EDGE)
    dots = tuple(
        Dot(x_at(row[x.figure]), y_at(row[y.figure]), _title(row, x, y), on)
        for on, row in sorted(zip(best, known, strict=True), key=lambda pair: pair[0])
    )  # the best above the others
    return Plot(x, y, dots, _ticks(known, x, x_at), _ticks(known, y, y_at))


def _has(row: Mapping[str, Any], axis: Axis) -> bool:
    value = row[axis.figure]
    return value is not None and math.isfinite(value)


def _title(row: Result, x: Axis, y: Axis) -> str:
    shown = (f"{axis.title} {_shown(row, axis)}" for axis in (x, y))
    return f"{name_of(row)}: {', '.join(shown)}"


def _shown(row: Result, axis: Axis) -> str:
    """With the interval where there is one."""
    return of_result(row) if axis is ENERGY else axis.show(row[axis.figure])


def _scale(values: Sequence[float], start: float, end: float) -> Callable[[float], float]:
    low, span = _range(values)
    return lambda value: round(start + (value - low) / span * (end - start), 1)


def _range(values: Sequence[float]) -> tuple[float, float]:
    """(least, width) of an axis; a single value is in its middle."""
    low, high = min(values), max(values)
    if low == high:
        span = abs(high) or 1.0
        return low - span / 2, span
    span = high - low
    return low - PAD * span, (1 + 2 * PAD) * span


def _ticks(
    rows: Sequence[Result], axis: Axis, at: Callable[[float], float]
) -> tuple[tuple[float, str], ...]:
    low, span = _range([row[axis.figure] for row in rows])
    step = axis.unit * round_step(span / axis.unit / TICKS)
    first, last = math.ceil(low / step), math.floor((low + span) / step)
    return tuple((at(n * step), axis.show(n * step)) for n in range(first, last + 1))


def round_step(least: float) -> float:
    """1, 2 or 5 times a power of ten, at least so much."""
    power = 10.0 ** math.floor(math.log10(least))
    return power * next((factor for factor in (1, 2, 5) if factor * power >= least), 10)


def sweep_html(rows: Sequence[Result], worse: Sequence[Regression]) -> str:
    """One file that fetches nothing and runs no script."""
    plots = [found for axes in PLOTS if (found := plot(rows, *axes)) is not None]
    template = environment().get_template("report/sweep.html.j2")
    return template.render(
        rows=[_cells(row) for row in rows], plots=plots, worse=worse, version=__version__
    )


def _cells(row: Result) -> dict[str, str]:
    """Every column as people read it."""
    axes = {axis.figure: axis for axis in (LATENCY, ENERGY, MEMORY, SQNR)}
    shown = {key: _shown(row, x) if row[key] is not None else "" for key, x in axes.items()}
    cycles = f"{row['cycles']:,}" if row["cycles"] else ""
    l1 = wording.size(row["l1_bytes"]) if row["l1_bytes"] else ""
    outcome = row["status"] if row["status"] == OK else f"{row['status']} {row['code'] or ''}"
    return {
        "name": name_of(row),
        "outcome": outcome,
        "title": row["title"] or "",
        "cycles": cycles,
        "l1_bytes": l1,
        **shown,
    }
