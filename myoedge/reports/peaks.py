# SPDX-License-Identifier: Apache-2.0
"""Who makes the peak: what each memory holds when it is fullest, for `inspect --memory`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from myoedge.operators import layer_names as naming
from myoedge.reports import words
from myoedge.reports.memory import Row, alive, alive_bytes, fullest
from myoedge.reports.rows import Report
from myoedge.reports.text import clean, show

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


RUNTIME, GAPS = "stacks and runtime", "gaps"
PORTS = ("input", "output")
ARENA = {"result": "result", "weights": "weights from L3", "window": "window on L3"}


@dataclass(frozen=True, slots=True)
class Held:
    """Bytes that are in use at the peak.

    what     "result", "weights", "weights from L3", "window on L3", "input", "output", "scratch",
             "constant", RUNTIME; GAPS lie unused between buffers; operands of L1 with their names
    layer    whose they are, as people read it; "" where they are no layer's
    source   its line in the user's program, where it is known
    """

    what: str
    layer: str
    source: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Peak:
    """A memory when it is fullest.

    step, layer    where in the network that is; None and "" for what does not change
    held           largest first; they add up to `used_bytes`
    shrink         the largest of them that a network can do something about
    without_bytes  the peak if that were not there: some other time may be nearly as full
    """

    memory: str
    used_bytes: int
    limit_bytes: int | None
    step: int | None
    layer: str
    held: tuple[Held, ...]
    shrink: Held | None
    without_bytes: int


Parts = Sequence[tuple[Held, Row | None]]  # with its buffer, if it does not stay all the time


def peaks(report: Report) -> tuple[Peak, ...]:
    """Of every memory that the build uses: L1, L2, L3."""
    return tuple(peak for peak in (_l1(report), _l2(report), _l3(report)) if peak.used_bytes)


def _l1(report: Report) -> Peak:
    found, layers = report["memory"], report["layers"]
    buffers = found["l1_buffers"]
    at = fullest(buffers)
    parts: list[tuple[Held, Row | None]] = [
        (_of_layer(report, _operand(row), layers[row["step"]], row["size_bytes"]), row)
        for row in alive(buffers, at)
    ]
    parts.append((Held(RUNTIME, "", "", found["l1_reserved_bytes"] or 0), None))
    used, limit = found["l1_planned_bytes"] or 0, report["target"]["l1_bytes"]
    return _peak("L1", used, limit, report, parts, buffers, at)


def _operand(row: Row) -> str:
    kind, name = str(row["kind"]), str(row["operand"])
    return kind if kind == name else f"{kind} {name}"


def _l2(report: Report) -> Peak:
    found = report["memory"]
    at = fullest(found["buffers"])
    parts: list[tuple[Held, Row | None]] = [
        (_of_layer(report, ARENA[row["kind"]], owner(report, row), row["size_bytes"]), row)
        for row in alive(found["buffers"], at)
    ]
    stay = ((row, row["weights_l2_bytes"]) for row in report["layers"])
    read = ((report["layers"][row["step"]], row["size_bytes"]) for row in found["constants"])
    held = (*_of_layers(report, "weights", stay), *_of_layers(report, "constant", read))
    always = (*held, *_ports(report))
    parts += [(held, None) for held in always]
    used, limit = found["l2_peak_bytes"], report["target"]["l2_bytes"]
    return _peak("L2", used, limit, report, parts, found["buffers"], at)


def owner(report: Report, buffer: Row) -> Row:
    """The layer that writes a buffer of the arena, or uses what comes from L3 or goes there."""
    if "step" in buffer:
        return dict(report["layers"][buffer["step"]])
    return next(dict(row) for row in report["layers"] if row["name"] == buffer["name"])


def _l3(report: Report) -> Peak:
    far = ((row, row["weights_l3_bytes"]) for row in report["layers"])
    found = report["memory"]["l3_maps"]
    maps = ((owner(report, row), row["size_bytes"]) for row in found)
    every = (*_of_layers(report, "weights", far), *_of_layers(report, "result", maps))
    parts = [(held, None) for held in every]
    used, limit = report["memory"]["l3_bytes"], report["target"].get("l3_bytes")
    return _peak("L3", used, limit, report, parts, (), 0.0)


def _peak(
    memory: str,
    used: int,
    limit: int | None,
    report: Report,
    parts: Parts,
    buffers: Sequence[Row],
    at: float,
) -> Peak:
    held = [part for part, _ in parts if part.size_bytes]
    gaps = used - sum(part.size_bytes for part in held)
    held += [Held(GAPS, "", "", gaps)] if gaps > 0 else []
    ordered = tuple(sorted(held, key=lambda part: -part.size_bytes))
    step = int(at) if any(row for _, row in parts) else None
    layer = "" if step is None else words.step_name(report, step)
    own = [(part, row) for part, row in parts if part.size_bytes and part.what != RUNTIME]
    shrink, row = max(own, key=lambda pair: pair[0].size_bytes, default=(None, None))
    saved = 0 if shrink is None else _saved(shrink, row, buffers, at)
    return Peak(memory, used, limit, step, layer, ordered, shrink, used - saved)


def _saved(part: Held, row: Row | None, buffers: Sequence[Row], at: float) -> int:
    """By how much the peak falls when a part goes."""
    if row is None:
        return part.size_bytes
    others = [other for other in buffers if other is not row]
    return alive_bytes(buffers, at) - alive_bytes(others, fullest(others))


def _of_layers(report: Report, what: str, sizes: Iterable[tuple[Row, int]]) -> Iterator[Held]:
    names = words.layer_names(report)
    for row, size in sizes:
        yield _held(what, row, names[row["name"]], size)


def _of_layer(report: Report, what: str, row: Mapping[str, Any], size: int) -> Held:
    return _held(what, row, words.layer_names(report)[row["name"]], size)


def _held(what: str, row: Mapping[str, Any], name: str, size: int) -> Held:
    return Held(what, name, naming.source(dict(row)), size)


def _ports(report: Report) -> Iterator[Held]:
    for what in PORTS:
        for port in report[f"{what}s"]:
            if not port.get("far"):  # what a report did not tell before L3 held ports
                yield Held(what, port["name"], "", port["bytes"])


# --- for people -----------------------------------------------------------------------------------

MOST_HELD = 12  # rows of a memory's table


def print_peaks(found: Sequence[Peak], console: Console) -> None:
    """A table for each memory, and what would have to shrink."""
    from rich.text import Text

    for peak in found:
        console.print(Text(clean(_title(peak)), "bold"))
        show(_table(peak), console)
        console.print(Text(f"{clean(_advice(peak))}\n", "dim"))


def _title(peak: Peak) -> str:
    of = f" of {words.size(peak.limit_bytes)}" if peak.limit_bytes else ""
    when = f", in step {peak.step}, {peak.layer}" if peak.layer else ""
    return f"{peak.memory}: {words.size(peak.used_bytes)}{of} at its peak{when}"


def _table(peak: Peak) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    for title in ("bytes", "share"):
        table.add_column(title, justify="right", no_wrap=True)
    for title in ("what", "layer", "source"):
        table.add_column(title, overflow="fold")
    for part in peak.held[:MOST_HELD]:
        share = words.rough_percent(part.size_bytes, peak.used_bytes)
        cells = (f"{part.size_bytes:,}", share, part.what, part.layer, part.source)
        table.add_row(*(Text(clean(cell)) for cell in cells))
    rest = peak.held[MOST_HELD:]
    if rest:
        size = sum(part.size_bytes for part in rest)
        table.add_row(
            f"{size:,}", words.rough_percent(size, peak.used_bytes), f"{len(rest)} smaller"
        )
    return table


def _advice(peak: Peak) -> str:
    """What would have to shrink; no more of it than that helps."""
    if peak.shrink is None:
        return ""
    of = " " if peak.shrink.what in PORTS else " of "
    whose = f"{of}{peak.shrink.layer}" if peak.shrink.layer else ""
    if 100 * peak.without_bytes > 99 * peak.used_bytes:
        return f"it is as full at other times, without the {peak.shrink.what}{whose}"
    without = words.size(peak.without_bytes)
    return f"without the {peak.shrink.what}{whose} the peak would be {without}"
