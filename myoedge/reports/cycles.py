# SPDX-License-Identifier: Apache-2.0
"""Cycles of a firmware run: added to a report, and printed as a table."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from myoedge.backends.measurement import LayerCost, Measurement
from myoedge.reports import energy as joules
from myoedge.reports import speed, wording
from myoedge.reports.period import clocked_by, inference_s
from myoedge.reports.report_json import BUSY, CAUSES
from myoedge.reports.tables import GAP_CHARS, Lines, column_chars, columns, facts, shortened, styled
from myoedge.reports.text import MIN_NAME_CHARS, layer_cells
from myoedge.targets import ACCELERATOR, OperatingPoint, find_chip

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

Report = dict[str, Any]


def with_cycles(
    report: Mapping[str, Any],
    measured: Measurement,
    point: OperatingPoint,
    counted_hz: int | None = None,
) -> Report:
    """Add cycles, latency and stalls of a run to a report: those of the first inference; for a
    stream those of the last pass, because most passes run with warm caches, unless an application
    switches the cluster off between them.

    counted_hz   clock that the program set in the run; None: that of `point`
    """
    is_warm = "stream" in report and not clocked_by(report)
    index = len(measured.inferences) - 1 if is_warm else 0
    inference = measured.inferences[index]
    workers = find_chip(report["target"]["chip"]).workers
    layers = [
        {
            **row,
            **_layer_counts(row, cost, workers),
        }
        for row, cost in zip(report["layers"], inference.layers, strict=True)
    ]
    points = {"operating_points": [asdict(point)], **report["target"]}
    target = {**points, "operating_point": point.name, "clock_hz": point.clock_hz}
    l1 = {} if measured.l1_bytes is None else {"l1_peak_bytes": measured.l1_bytes}
    counted = {
        **report,
        "target": target,
        "cycles": _counts(report, measured, index, counted_hz or point.clock_hz),
        "memory": {**report["memory"], **l1},
        "layers": layers,
    }
    return {**counted, "latency_s": inference_s(counted, point.clock_hz)}


def _counts(
    report: Mapping[str, Any], measured: Measurement, index: int, clock_hz: int
) -> dict[str, Any]:
    """Return the report's entry `cycles` of an inference of a run, with the estimated waits of the
    entry before it."""
    inference, waits = measured.inferences[index], (report["cycles"] or {}).get("waits")
    workers = find_chip(report["target"]["chip"]).workers
    busy_cycles = sum(cost.ne16_busy_cycles for cost in inference.layers)
    engine = {"busy": busy_cycles, "idle": max(0, inference.cycles - busy_cycles)}
    return {
        "total": inference.cycles,
        "clock_hz": clock_hz,
        **({"waits": waits} if waits else {}),
        "outside_layers": inference.cycles - sum(cost.cycles for cost in inference.layers),
        "source": measured.source,
        "shown": index,
        "startup": measured.startup_cycles,
        "inferences": [run.cycles for run in measured.inferences],
        "macs_per_cycle": _macs_per_cycle(report["model"]["macs"], inference.cycles),
        "stalls": stall_percents(inference.layers, workers) or None,
        **({ACCELERATOR.name: engine} if busy_cycles else {}),
    }


def _layer_counts(row: Mapping[str, Any], cost: LayerCost, workers: int) -> dict[str, Any]:
    """Return the counters of a layer in a run; its activity may be of an earlier simulation with
    equal cycles."""
    simulated = row.get("activity")
    earlier = {**simulated, "cycles": cost.cycles} if simulated else None
    return {
        "cycles": cost.cycles,
        "cycles_compute": cost.cycles,
        "cycles_dma": cost.dma_busy_cycles if cost.stalls else None,
        BUSY: cost.ne16_busy_cycles if cost.stalls else None,
        "macs_per_cycle": _macs_per_cycle(row["macs"], cost.cycles),
        "instructions": cost.instructions or None,
        "stalls": stall_percents([cost], workers) or None,
        "activity": earlier if cost.activity is None else asdict(cost.activity),
    }


def _macs_per_cycle(macs: int, cycles: int) -> float | None:
    return round(macs / cycles, 3) if macs and cycles else None


def stall_percents(costs: Iterable[LayerCost], workers: int) -> dict[str, float]:
    """Return the percentage of the cores' time lost to each stall cause; the rest is "busy".

    "sleep" is computed as the remaining time, because a core that sleeps across a layer's end
    counts it only when it wakes. Sleep while the accelerator computes is "engine".

    workers   cores that compute
    """
    cycles_of = dict.fromkeys(CAUSES, 0)
    for cost in costs:
        if not cost.stalls:
            continue
        awake = {"busy": cost.instructions, **cost.stalls, "sleep": 0}
        for cause, cycles in awake.items():
            cycles_of[cause] += cycles
        asleep = max(0, cost.cycles * workers - sum(awake.values()))
        for_engine = min(asleep, cost.ne16_busy_cycles * workers)
        cycles_of["engine"] += for_engine
        cycles_of["sleep"] += asleep - for_engine
    total = sum(cycles_of.values())
    return {cause: round(100 * n / total, 1) for cause, n in cycles_of.items() if n}


# --- on a terminal --------------------------------------------------------------------------------

MIN_LAYER_CHARS, MAX_NAME_CHARS, PERCENT_CHARS = 12, 28, 5
OPERATOR_MIN_WIDTH = 100  # columns of a terminal from which on operators are shown
TOTAL = "total"
MIN_PERCENT = 1.0  # a cause below it in all layers has no column


def cycles_table(report: Report) -> Lines:
    """Return the table of layers with MACs, cycles, MAC/cycle and stalls, followed by totals and
    latency."""
    from rich.text import Text

    def blocks(width: int) -> Iterator[Table | Text]:
        fixed = ["operator"] if width >= OPERATOR_MIN_WIDTH else []
        fixed += ["MACs", "cycles", "MAC/cycle"]
        fixed += [ACCELERATOR.text] if speed.accelerator_cycles(report) else []
        rows = _cycles_rows(report)
        chars = column_chars({name: name for name in ("layer", *fixed)}, [row for row, _ in rows])
        free = width - sum(chars[name] for name in fixed)
        causes = _columns_that_fit(report, free - min(chars["layer"] - GAP_CHARS, MAX_NAME_CHARS))
        causes = causes or _columns_that_fit(report, free - MIN_LAYER_CHARS)
        yield _cycles_table(rows, fixed, causes, free)
        if not causes and _columns_that_fit(report, sys.maxsize):
            yield Text("no space for the causes of stalls: see report.html", "dim")
        yield Text("")
        yield facts(_footnotes(report, has_causes=bool(causes)))

    return Lines(blocks)


def _footnotes(report: Report, *, has_causes: bool) -> Iterator[tuple[str, str]]:
    name, workers = ACCELERATOR.text, find_chip(report["target"]["chip"]).workers
    others = f" but {name}'s" if speed.accelerator_cycles(report) else ""
    percent_note = f"; percentages{others} are parts of the {workers} cores' time"
    lines = {
        "latency": speed.latency(report),
        "energy": joules.one_line(report),
        "start-up": speed.startup(report),
        "repeated": speed.repeats(report),
        name: speed.accelerator(report),
        "measured": speed.measured_on(report) + percent_note * has_causes,
    }
    return ((name, line) for name, line in lines.items() if line)


Rows = list[tuple[dict[str, str], Mapping[str, float]]]  # texts by column, stalls in percent


def _cycles_table(rows: Rows, fixed: list[str], causes: Mapping[str, str], free: int) -> Table:
    table = columns(("layer", *fixed, *causes.values()), no_wrap=True)
    name_chars = max(free - _column_chars(causes), MIN_NAME_CHARS)
    short = shortened([row["layer"] for row, _ in rows[:-1]], name_chars)
    for layer, (row, stalls) in zip((*short, TOTAL), rows, strict=True):
        style = "bold" if layer is TOTAL else ""
        cells = (styled(row.get(column, ""), style) for column in fixed)
        others = sum(percent for name, percent in stalls.items() if name not in causes)
        percents = (stalls.get(cause, 0.0) if cause else others for cause in causes)
        shares = (wording.rough_percent(round(percent, 1), 100) for percent in percents)
        table.add_row(styled(layer, "bold"), *cells, *shares)
    return table


def _cycles_rows(report: Report) -> Rows:
    """Return a row for every layer, one for cycles outside the layers, and last the total."""
    counts, macs = report["cycles"], report["model"]["macs"]
    names = wording.layer_names(report).values()
    pairs = zip(report["layers"], names, strict=True)
    rows: Rows = [(layer_cells(report, row, name), row["stalls"] or {}) for row, name in pairs]
    if outside := speed.outside_layers(report):
        rows.append(({"layer": outside[0], "cycles": f"{outside[1]:,}"}, {}))
    busy_cycles = speed.accelerator_cycles(report).get("busy", 0)
    total = {
        "layer": TOTAL,
        "MACs": wording.count(macs) if macs else "",
        "cycles": f"{counts['total']:,}",
        "MAC/cycle": speed.rate(macs, counts["total"]),
        ACCELERATOR.text: wording.rough_percent(busy_cycles, counts["total"]),
    }
    return [*rows, (total, counts.get("stalls") or {})]


def _columns_that_fit(report: Report, free: int) -> dict[str, str]:
    """Return column titles of the largest stall causes that fit, in the same order for every
    network; "" is the sum of the others."""
    relevant = _relevant_causes(report)
    for count in range(len(relevant), 0, -1):
        shown = [cause for cause in CAUSES if cause in relevant[:count]]
        titles = {cause: speed.CAUSE_NAMES[cause] for cause in shown}
        titles |= {"": "other"} if count < len(relevant) else {}
        if _column_chars(titles) <= free:
            return titles
    return {}


def _relevant_causes(report: Report) -> list[str]:
    """Return the stall causes that any layer shows, the most important first."""
    total = report["cycles"].get("stalls") or {}
    stalls_of = [row["stalls"] for row in report["layers"] if row["stalls"]]
    relevant = [c for c in CAUSES if any(part.get(c, 0) >= MIN_PERCENT for part in stalls_of)]
    return sorted(relevant, key=lambda c: (c not in speed.NO_STALLS, -total.get(c, 0)))


def _column_chars(causes: Mapping[str, str]) -> int:
    """Return the total width in characters of the columns of stall causes."""
    return sum(max(len(title), PERCENT_CHARS) + 2 for title in causes.values())
