# SPDX-License-Identifier: Apache-2.0
"""A report with what a run of the firmware has shown in it, and the table of that on a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from myoedge.backends.measurement import LayerCost, Measurement
from myoedge.operators import layer_names as naming
from myoedge.operators.kernel import WORKERS
from myoedge.reports import energy as joules
from myoedge.reports import speed, words
from myoedge.reports.rows import CAUSES
from myoedge.reports.text import LEAST_CHARS, Lines, clean, facts
from myoedge.targets import OperatingPoint

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

Report = dict[str, Any]


def with_cycles(report: Mapping[str, Any], measured: Measurement, point: OperatingPoint) -> Report:
    """The report with cycles, latency and stalls of an inference: the first; of a stream the last
    pass, as most passes find their code in the caches."""
    shown = len(measured.inferences) - 1 if "stream" in report else 0
    found = measured.inferences[shown]
    layers = [
        {**row, **_layer(row, cost)}
        for row, cost in zip(report["layers"], found.layers, strict=True)
    ]
    known = {"operating_points": [asdict(point)], **report["target"]}
    target = {**known, "operating_point": point.name, "clock_hz": point.clock_hz}
    return {
        **report,
        "target": target,
        "cycles": {
            "total": found.cycles,
            "outside_layers": found.cycles - sum(cost.cycles for cost in found.layers),
            "source": measured.source,
            "shown": shown,
            "startup": measured.startup_cycles,
            "inferences": [inference.cycles for inference in measured.inferences],
            "macs_per_cycle": _rate(report["model"]["macs"], found.cycles),
            "stalls": shares(found.layers) or None,
        },
        "latency_s": found.cycles / point.clock_hz,
        "memory": {**report["memory"], **_l1(measured)},
        "layers": layers,
    }


def _l1(measured: Measurement) -> dict[str, int]:
    return {} if measured.l1_bytes is None else {"l1_peak_bytes": measured.l1_bytes}


def _layer(row: Mapping[str, Any], cost: LayerCost) -> dict[str, Any]:
    return {
        "cycles": cost.cycles,
        "cycles_compute": cost.cycles,
        "cycles_dma": cost.dma_busy_cycles if cost.stalls else None,
        "engine": "cluster",
        "macs_per_cycle": _rate(row["macs"], cost.cycles),
        "activity": None if cost.activity is None else asdict(cost.activity),
        "instructions": cost.instructions or None,
        "stalls": shares([cost]) or None,
    }


def _rate(macs: int, cycles: int) -> float | None:
    return round(macs / cycles, 3) if macs and cycles else None


def shares(costs: Iterable[LayerCost]) -> dict[str, float]:
    """Parts of the cores' time by cause, in percent of it; what is not a stall is "busy".

    Sleep is the time that nothing else accounts for: a core that sleeps while a layer ends has it
    counted when it wakes.
    """
    found = dict.fromkeys(CAUSES, 0)
    for cost in costs:
        if not cost.stalls:
            continue
        awake = {"busy": cost.instructions, **cost.stalls, "sleep": 0}
        for cause, cycles in awake.items():
            found[cause] += cycles
        found["sleep"] += max(0, cost.cycles * WORKERS - sum(awake.values()))
    time = sum(found.values())
    return {cause: round(100 * n / time, 1) for cause, n in found.items() if n}


# --- on a terminal --------------------------------------------------------------------------------

LEAST_NAME, MOST_NAME, SHARE_CHARS = 12, 28, 5
OPERATOR_FROM = 100  # columns of a terminal
LEAST_SHARE = 1.0  # percent; causes that are below it everywhere have no column


def cycles_table(report: Report) -> Lines:
    """Layer, MACs, cycles, MAC/cycle, and where the cores' time went; totals and latency below."""
    return Lines(lambda width: _blocks(report, width))


def _blocks(report: Report, width: int) -> Iterator[Table | Text]:
    from rich.text import Text

    fixed = _columns(width)
    rows = _rows(report, "operator" in fixed)
    taken = sum(2 + max(len(name), *(len(row[name]) for row in rows)) for name in fixed)
    free, longest = width - taken, max(len(row["layer"]) for row in rows)
    shown = _fitting(report, free - min(longest, MOST_NAME)) or _fitting(report, free - LEAST_NAME)
    yield _table(rows, fixed, shown, free)
    yield Text("")
    yield facts(_facts(report, bool(shown)))


def _columns(width: int) -> list[str]:
    return [*(["operator"] if width >= OPERATOR_FROM else []), "MACs", "cycles", "MAC/cycle"]


def _facts(report: Report, has_shares: bool) -> list[tuple[str, str]]:
    shares_of = f"; percentages are parts of the {WORKERS} cores' time" if has_shares else ""
    rows = [
        ("latency", speed.latency(report)),
        ("energy", joules.in_short(report)),
        ("start-up", speed.startup(report)),
        ("repeated", speed.repeats(report)),
        ("measured", speed.measured_on(report) + shares_of),
    ]
    return [row for row in rows if row[1]]


def _table(
    rows: list[dict[str, Any]], fixed: list[str], shown: Mapping[str, str], free: int
) -> Table:
    from rich.table import Table

    name = free - sum(max(len(title), SHARE_CHARS) + 2 for title in shown.values())
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    for title in ("layer", *fixed, *shown.values()):
        left = title in ("layer", "operator")
        table.add_column(title, justify="left" if left else "right", no_wrap=True)
    short = words.shortened([clean(row["layer"]) for row in rows[:-1]], max(name, LEAST_CHARS))
    for layer, row in zip((*short, rows[-1]["layer"]), rows, strict=True):
        parts = _parts(row["stalls"], shown)
        table.add_row(*_styled(layer, row, fixed), *parts)
    return table


def _styled(layer: str, row: Mapping[str, Any], fixed: Iterable[str]) -> Iterator[Text]:
    from rich.text import Text

    yield Text(layer, "bold")
    for column in fixed:
        yield Text(clean(row[column]), "bold" if row["total"] else "")


def _rows(report: Report, has_operators: bool) -> list[dict[str, Any]]:
    """Every layer, what is outside of them, and the sum of all last."""
    layers = report["layers"]
    names = _names(layers, has_operators)
    rows = [
        _row(name, words.what(row), row["macs"], row)
        for name, row in zip(names, layers, strict=True)
    ]
    found = report["cycles"]
    if outside := speed.outside_layers(report):
        name, cycles = outside
        rows.append(_row(name, "", 0, {"cycles": cycles, "stalls": None}))
    whole = {"cycles": found["total"], "stalls": found.get("stalls")}
    last = _row("total", "", report["model"]["macs"], whole)
    return [*rows, {**last, "total": True}]


def _names(layers: Sequence[Mapping[str, Any]], has_operators: bool) -> list[str]:
    """Places, with the operator where no column has it and the place could be another layer's."""
    return naming.places(layers) if has_operators else naming.told_apart(layers)


def _row(layer: str, operator: str, macs: int, row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "layer": layer,
        "operator": operator,
        "MACs": words.count(macs) if macs else "",
        "cycles": f"{row['cycles']:,}",
        "MAC/cycle": speed.rate(macs, row["cycles"]),
        "stalls": row["stalls"] or {},
        "total": False,
    }


def _fitting(report: Report, free: int) -> dict[str, str]:
    """The causes that matter most and their titles, as many as fit; "" is all others together."""
    whole = report["cycles"].get("stalls") or {}
    seen = [row["stalls"] or {} for row in report["layers"]]
    matter = [c for c in CAUSES if any(part.get(c, 0) >= LEAST_SHARE for part in seen)]
    matter.sort(key=lambda cause: (cause != "busy", -whole.get(cause, 0)))
    for count in range(len(matter), 0, -1):
        titles = {cause: speed.CAUSE_NAMES[cause] for cause in matter[:count]}
        titles |= {"": "other"} if count < len(matter) else {}
        if sum(max(len(title), SHARE_CHARS) + 2 for title in titles.values()) <= free:
            return titles
    return {}


def _parts(stalls: Mapping[str, float], shown: Mapping[str, str]) -> Iterator[str]:
    for cause in shown:
        others = sum(share for name, share in stalls.items() if name not in shown)
        share = stalls.get(cause, 0.0) if cause else others
        yield words.rough_percent(round(share, 1), 100)
