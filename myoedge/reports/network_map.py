# SPDX-License-Identifier: Apache-2.0
"""Picture of the network in report.html: a box per layer, as wide as its cycles, with arcs for
results that are not only read by the next layer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any

from myoedge.reports import speed, wording
from myoedge.reports.charts import LETTER, Box, Tick
from myoedge.reports.report_json import Report, dims
from myoedge.targets import ACCELERATOR

WIDTH, LEFT, BOX_HEIGHT, LINE = 980.0, 10.0, 62.0, 14.0
NARROWEST = 2.5  # width of a box, so that short layers are visible
TICKS = 5
ARC_BASE, ARC_STEP, MOST_ARC = 12.0, 5.0, 64.0
BELOW = 34.0  # for the axis and its text


@dataclass(frozen=True, slots=True)
class Skip:
    """Arc in the network map for a result that a layer after the next one reads.

    path    SVG path
    title   tooltip
    """

    path: str
    title: str


@dataclass(frozen=True, slots=True)
class NetworkMap:
    """Picture of a network: one box per layer in execution order, as wide as its cycles, an arc for
    each result that skips layers, and a cycle axis.

    boxes, skips, ticks   boxes, arcs and axis labels
    top          height of the arcs above the boxes
    width        width of the drawing
    """

    boxes: tuple[Box, ...]
    skips: tuple[Skip, ...]
    ticks: tuple[Tick, ...]
    top: float
    width: float = WIDTH + 2 * LEFT

    @property
    def height(self) -> float:
        return self.top + BOX_HEIGHT + BELOW

    @property
    def looks(self) -> tuple[tuple[str, str], ...]:
        """Return (CSS class, name) of each engine that runs a box's layer, for the legend."""
        used = {box.look for box in self.boxes}
        return tuple((look, text) for look, text in LOOKS.items() if look in used)


LOOKS = {
    "cores": "layers on the cores",
    ACCELERATOR.name: f"on {ACCELERATOR.text}",
    "moves": "without multiplications",
}


def network_map(report: Report, scale_cycles: int = 0) -> NetworkMap | None:
    """Return the picture of the network; None without cycles.

    scale_cycles   cycles that the full width represents, if more than this network's
    """
    rows = report["layers"]
    cycles = speed.cycles_by_layer(report)
    if speed.cycles(report) is None or not sum(cycles):
        return None
    spare = WIDTH - NARROWEST * len(rows)
    least = NARROWEST if spare > WIDTH / 2 else WIDTH / 2 / len(rows)
    per_cycle = (WIDTH - least * len(rows)) / max(sum(cycles), scale_cycles)
    widths = [least + per_cycle * n for n in cycles]
    starts = [LEFT + sum(widths[:i]) for i in range(len(rows))]
    middles = [start + width / 2 for start, width in zip(starts, widths, strict=True)]
    names = wording.layer_names(report)
    labels = [names[row["name"]] for row in rows]
    pairs = [*_skip_connections(report)]
    top = 8.0 + max((_arc_height(j - i) for i, j in pairs), default=0.0)
    boxes = tuple(map(_layer_box, rows, labels, starts, widths, repeat(top), repeat(report)))
    skips = tuple(_skips(pairs, middles, labels, top))
    return NetworkMap(boxes, skips, _cycle_ticks(report, starts, widths), top)


def _layer_box(
    row: dict[str, Any], name: str, x: float, width: float, top: float, report: Report
) -> Box:
    cycles, total = speed.layer_cycles(row) or 0, report["cycles"]["total"]
    percent = wording.rough_percent(cycles, total)
    title = f"{name}: {wording.operator(row)}, {dims(row['out_shape'])}; {cycles:,} cycles"
    title += f", {percent} of the time" if percent else ""
    rate = speed.rate(row["macs"], cycles)
    title += f", {rate} MAC/cycle" if rate else ""
    most = int((width - 8) / LETTER)
    texts = (name, wording.operator(row), percent)
    lines = tuple(text for text in texts if text and len(text) <= most)
    look = "moves" if not row["macs"] else wording.engine(row) or "cores"
    wide = round(max(width - 1.5, 1.0), 2)
    return Box(round(x, 2), top, wide, BOX_HEIGHT, title, lines, look)


def _skip_connections(report: Report) -> Iterator[tuple[int, int]]:
    """Yield (writing, reading layer) for results that a layer after the next one reads."""
    layers = enumerate(report["layers"])
    at = {name: index for index, row in layers for name in wording.results(row)}
    for reader, row in enumerate(report["layers"]):
        for name in dict.fromkeys(row.get("reads") or ()):
            writer = at.get(name)
            if writer is not None and reader - writer > 1:
                yield writer, reader


def _arc_height(layers: int) -> float:
    """Return the height of the arc of a skip connection over this number of layers."""
    return min(ARC_BASE + ARC_STEP * layers, MOST_ARC)


def _skips(
    pairs: Iterable[tuple[int, int]], middles: Sequence[float], labels: Sequence[str], top: float
) -> Iterator[Skip]:
    """Yield the arcs over the boxes between layers that read each other.

    middles   of the boxes
    """
    for i, j in pairs:
        start, end = middles[i], middles[j]
        high = top - _arc_height(j - i) * 4 / 3  # a cubic curve reaches 3/4 of its control points
        ends = f"{start:.1f} {high:.1f} {end:.1f} {high:.1f} {end:.1f} {top:.1f}"
        yield Skip(f"M{start:.1f} {top:.1f} C{ends}", f"{labels[j]} reads {labels[i]}")


def _cycle_ticks(report: Report, starts: list[float], widths: list[float]) -> tuple[Tick, ...]:
    """Return labels of the cycle axis with times: at the starts of some layers, and at the end."""
    clock_hz, elapsed = report["target"]["clock_hz"], 0
    ends = []
    for row, start, width in zip(report["layers"], starts, widths, strict=True):
        elapsed += speed.layer_cycles(row) or 0
        ends.append((start + width, elapsed))
    ticks, last = [Tick(LEFT, "0")], LEFT
    for x, cycles in ends:
        if x - last >= WIDTH / TICKS or cycles == elapsed:
            ticks.append(Tick(round(x, 1), speed.duration(cycles / clock_hz)))
            last = x
        if cycles == elapsed:
            break
    if len(ticks) > 2 and ticks[-1].at - ticks[-2].at < WIDTH / TICKS / 2:
        del ticks[-2]
    return tuple(ticks)
