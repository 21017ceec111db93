# SPDX-License-Identifier: Apache-2.0
"""sweep.html: the table of results, and plots with named results, coloured by model."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from myoedge.extensions.sweeps.executors import OK, Result
from myoedge.extensions.sweeps.results import Regression, fact_of
from myoedge.extensions.sweeps.settings import name_of
from myoedge.extensions.sweeps.table import (
    BEST,
    FIGURES,
    MEANING,
    axes_text,
    best_in_budgets,
    differing,
    figures,
    short_name,
    warned,
    warning_lines,
)
from myoedge.reports.energy import of_result
from myoedge.reports.facts import Fact
from myoedge.reports.html import environment
from myoedge.version import __version__

WIDTH, HEIGHT, LEFT, BOTTOM, EDGE = 460.0, 300.0, 74.0, 44.0, 16.0
TICKS = 5
PAD = 0.06  # fraction of the range on both sides
RADIUS = 5.0  # of a dot
LETTER, ABOVE, BELOW = 5.6, 9.0, 3.0  # letter width, and space above and below a name's line
COLOURS = 8  # as in sweep.html.j2


@dataclass(frozen=True, slots=True)
class PlotAxis:
    """A figure of the results as an axis of a plot.

    figure   name of the figure
    unit     unit of the tick labels, whose round multiples are the ticks
    name     title of the axis; "": as in tables
    """

    figure: str
    unit: float = 1.0
    name: str = ""

    @property
    def fact(self) -> Fact:
        return fact_of(self.figure)

    @property
    def title(self) -> str:
        return self.name or self.fact.short or self.fact.title


LATENCY, ENERGY = PlotAxis("latency_s"), PlotAxis("energy_uj")
MEMORY = PlotAxis("l2_bytes", 1024.0, "data in L2, or in RAM")
SQNR, ACCURACY = PlotAxis("sqnr_db"), PlotAxis("accuracy_int8", 0.01)
RMSE = PlotAxis("rmse_int8")
PLOTS = (
    *((LATENCY, ENERGY), (LATENCY, MEMORY)),
    *((cost, quality) for quality in (ACCURACY, RMSE, SQNR) for cost in (LATENCY, ENERGY, MEMORY)),
)


@dataclass(frozen=True, slots=True)
class DotName:
    """Label of a dot in a plot.

    text     the name
    x, y     position
    anchor   text alignment
    """

    text: str
    x: float
    y: float
    anchor: str

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Return the edges (left, top, right, bottom) of the text, estimated from an average letter
        width."""
        width = LETTER * len(self.text)
        left = self.x - {"start": 0.0, "middle": width / 2, "end": width}[self.anchor]
        return left, self.y - ABOVE, left + width, self.y + BELOW


@dataclass(frozen=True, slots=True)
class Dot:
    """A result in a plot.

    x, y       position
    title      tooltip
    on_front   whether the result is Pareto-optimal
    best       whether the result is the best within its budget
    model      index of its model's colour
    name       its label; None if there is no room next to the dot
    """

    x: float
    y: float
    title: str
    on_front: bool
    best: bool = False
    model: int = 0
    name: DotName | None = None


@dataclass(frozen=True, slots=True)
class Plot:
    """A plot of two figures of the results.

    x, y               the axes
    dots               the results
    x_ticks, y_ticks   (position, text) of the ticks
    width, height      size of the plot
    left, bottom       margins
    """

    x: PlotAxis
    y: PlotAxis
    dots: tuple[Dot, ...]
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]
    width: float = WIDTH
    height: float = HEIGHT
    left: float = LEFT
    bottom: float = HEIGHT - BOTTOM

    @property
    def front(self) -> str:
        """Return the points of the line through the Pareto-optimal dots, for an SVG polyline."""
        best = sorted((d.x, d.y) for d in self.dots if d.on_front)
        return " ".join(f"{x:.1f},{y:.1f}" for x, y in best)


def pareto(points: Sequence[tuple[float, float]]) -> list[bool]:
    """Return whether each point is Pareto-optimal: no other point is at most as large in both
    figures and smaller in one."""
    return [not any(x <= a and y <= b and (x, y) != (a, b) for x, y in points) for a, b in points]


def plot(rows: Sequence[Result], x: PlotAxis, y: PlotAxis) -> Plot | None:
    """Return the plot of the valid results that have both figures; None if there are none."""
    chosen = best_in_budgets(rows)
    known = [i for i, row in enumerate(rows) if row["status"] == OK and _has_figures(row, x, y)]
    if not known:
        return None
    shown = [rows[i] for i in known]
    on_front = pareto(
        [(-x.fact.better * row[x.figure], -y.fact.better * row[y.figure]) for row in shown]
    )
    x_at = _scale_values([row[x.figure] for row in shown], LEFT, WIDTH - EDGE)
    y_at = _scale_values([row[y.figure] for row in shown], HEIGHT - BOTTOM, EDGE)
    colours, labels = models(rows), differing(rows)
    dots = [
        Dot(
            x_at(row[x.figure]),
            y_at(row[y.figure]),
            _point_title(row, x, y),
            front,
            chosen[i],
            model=colours.index(str(row["model"])) % COLOURS,
            name=DotName(short_name(row, labels), 0.0, 0.0, "start"),
        )
        for i, row, front in zip(known, shown, on_front, strict=True)
    ]
    dots.sort(key=lambda dot: (dot.best, dot.on_front))  # the best dots are drawn last
    return Plot(x, y, named(dots), _axis_ticks(shown, x, x_at), _axis_ticks(shown, y, y_at))


def models(rows: Sequence[Result]) -> list[str]:
    """Return the names of the models, in the order of their colours."""
    return list(dict.fromkeys(str(row["model"]) for row in rows))


def named(dots: Sequence[Dot]) -> tuple[Dot, ...]:
    """Return the dots, some of them with labels: the best results first, as long as there is
    space."""
    taken = [(d.x - RADIUS, d.y - RADIUS, d.x + RADIUS, d.y + RADIUS) for d in dots]
    placed: list[Dot] = []
    for dot in reversed(dots):
        name = _place_name(dot, taken)
        taken += [name.box] if name else []
        placed.append(replace(dot, name=name))
    return tuple(reversed(placed))


def _place_name(dot: Dot, taken: Sequence[tuple[float, float, float, float]]) -> DotName | None:
    if dot.name is None:
        return None
    beside, text = RADIUS + 3, dot.name.text
    for name in (
        DotName(text, dot.x + beside, dot.y + 4, "start"),
        DotName(text, dot.x - beside, dot.y + 4, "end"),
        DotName(text, dot.x, dot.y - beside, "middle"),
        DotName(text, dot.x, dot.y + beside + ABOVE, "middle"),
    ):
        left, top, right, bottom = name.box
        is_inside = left >= LEFT and right <= WIDTH and top >= 0 and bottom <= HEIGHT - BOTTOM
        if is_inside and not any(
            max(a, left) < min(c, right) and max(b, top) < min(d, bottom) for a, b, c, d in taken
        ):
            return name
    return None


def _has_figures(row: Mapping[str, Any], *axes: PlotAxis) -> bool:
    values = [row[axis.figure] for axis in axes]
    return all(value is not None and math.isfinite(value) for value in values)


def _point_title(row: Result, x: PlotAxis, y: PlotAxis) -> str:
    x_text, y_text = (
        of_result(row) if axis is ENERGY else axis.fact.unit.show(row[axis.figure])
        for axis in (x, y)
    )
    return f"{name_of(row)}: {x.title} {x_text}, {y.title} {y_text}"


def _scale_values(values: Sequence[float], start: float, end: float) -> Callable[[float], float]:
    low, span = _axis_range(values)
    return lambda value: round(start + (value - low) / span * (end - start), 1)


def _axis_range(values: Sequence[float]) -> tuple[float, float]:
    """Return (minimum, width) of an axis that covers the values; a single value is centred."""
    low, high = min(values), max(values)
    if low == high:
        span = abs(high) or 1.0
        return low - span / 2, span
    span = high - low
    return low - PAD * span, (1 + 2 * PAD) * span


def _axis_ticks(
    rows: Sequence[Result], axis: PlotAxis, at: Callable[[float], float]
) -> tuple[tuple[float, str], ...]:
    low, span = _axis_range([row[axis.figure] for row in rows])
    step = axis.unit * round_step(span / axis.unit / TICKS)
    first, last = math.ceil(low / step), math.floor((low + span) / step)
    return tuple((at(n * step), axis.fact.unit.show(n * step)) for n in range(first, last + 1))


def round_step(least: float) -> float:
    """Return the smallest tick distance of 1, 2 or 5 times a power of ten that is at least
    `least`."""
    power = 10.0 ** math.floor(math.log10(least))
    return power * next((factor for factor in (1, 2, 5) if factor * power >= least), 10)


def sweep_html(rows: Sequence[Result], worse: Sequence[Regression]) -> str:
    """Return the sweep's page as one HTML file without external resources or scripts."""
    plots = [found for axes in PLOTS if (found := plot(rows, *axes)) is not None]
    template = environment(Path(__file__).parent).get_template("sweep.html.j2")
    colours = [(name, i % COLOURS) for i, name in enumerate(models(rows))]
    best = best_in_budgets(rows)
    shown = [_row_cells(row, is_best) for row, is_best in zip(rows, best, strict=True)]
    return template.render(
        rows=shown,
        named=axes_text(rows),
        plots=plots,
        worse=worse,
        models=colours,
        titles=[title for title in FIGURES if any(row["figures"][title] for row in shown)],
        meaning=MEANING if any(best) else "",
        warnings=warning_lines(rows),
        version=__version__,
    )


def _row_cells(row: Result, is_best: bool) -> dict[str, Any]:
    """Return the cells of a result's table row as text."""
    ended = row["status"] if row["status"] == OK else f"{row['status']} {row['code'] or ''}"
    return {
        "name": name_of(row),
        "outcome": BEST if is_best else ended,
        "best": is_best,
        "title": row["title"] or "",
        "warnings": warned(row),
        "figures": figures(row),
    }
