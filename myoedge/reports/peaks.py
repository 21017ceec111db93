# SPDX-License-Identifier: Apache-2.0
"""Peak use of each memory and the buffers in use then, for `inspect --memory`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import TYPE_CHECKING

from myoedge.errors import printable
from myoedge.operators import layer_names as naming
from myoedge.reports import near_memory, wording
from myoedge.reports.memory import Row, alive, alive_bytes, fullest, own_bytes
from myoedge.reports.report_json import Report
from myoedge.reports.tables import columns, show, styled
from myoedge.system.notebook import Card, Rows

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


RUNTIME, CODE, GAPS, VARIABLES = "stacks and runtime", "code", "gaps", "variables"
PROGRAM = (RUNTIME, CODE, VARIABLES)  # needed by every network
PORTS = ("input", "output")


@dataclass(frozen=True, slots=True)
class Held:
    """A buffer in use at the peak of a memory.

    what         "result", "weights", "weights from L3", "window on L3", "input", "output",
                 "scratch", "constant", or a part of PROGRAM; GAPS are unused bytes between buffers;
                 L1 operands have their names
    layer        display name of its layer; "" for none
    source       source line of the layer in the user's program; "" if unknown
    size_bytes   its size
    """

    what: str
    layer: str
    source: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Peak:
    """Peak use of a memory.

    memory          "L1", "L2" or "L3"
    used_bytes      bytes in use at the peak
    limit_bytes     size of the memory; None: unlimited
    step, layer     layer index and name at the peak; None and "" for a memory whose use is constant
    held            buffers in use, largest first; they add up to `used_bytes`
    shrink          the largest buffer that a change of the network can reduce
    without_bytes   the peak without that buffer, which another time may nearly reach
    """

    memory: str
    used_bytes: int
    limit_bytes: int | None
    step: int | None
    layer: str
    held: tuple[Held, ...]
    shrink: Held | None
    without_bytes: int


class Peaks(Rows[Peak]):
    """Peak use of each memory of a build, as a tuple of Peak."""

    __slots__ = ()
    noun = "memory"

    def _card(self) -> Card:
        rows = [
            {
                "memory": peak.memory,
                "used": wording.size(peak.used_bytes),
                "of": wording.size(peak.limit_bytes),
                "in": peak.layer,
                "buffers": len(peak.held),
                "largest": peak.held[0].what if peak.held else "",
                "advice": _peak_advice(peak),
            }
            for peak in self
        ]
        return Card("memories at their peak", rows=rows)


Parts = Sequence[tuple[Held, Row | None]]  # with its buffer, unless it is permanent


def peaks(report: Report) -> tuple[Peak, ...]:
    """Return the peaks of the memories that the build uses: L1, L2, the levels behind it."""
    levels = (_level_peak(report, name) for name in near_memory.levels(report))
    found = (_l1_peak(report), _l2_peak(report), *levels)
    return tuple(peak for peak in found if peak.used_bytes)


def _l1_peak(report: Report) -> Peak:
    memory, layers = report["memory"], report["layers"]
    buffers = memory["l1_buffers"]
    at = fullest(buffers)
    rows = alive(buffers, at)
    operands = (" ".join(dict.fromkeys((row["kind"], row["operand"]))) for row in rows)
    owners = ((layers[row["step"]], row["size_bytes"]) for row in rows)
    held = _buffers_of_layers(report, operands, owners)
    parts: list[tuple[Held, Row | None]] = list(zip(held, rows, strict=True))
    parts.append((Held(RUNTIME, "", "", memory["l1_reserved_bytes"] or 0), None))
    used, limit = memory["l1_planned_bytes"] or 0, report["target"]["l1_bytes"]
    return _describe_peak("L1", used, limit, report, parts, buffers, at)


def _l2_peak(report: Report) -> Peak:
    memory = report["memory"]
    at = fullest(memory["buffers"])
    rows = alive(memory["buffers"], at)
    owners = ((owner(report, row), own) for row, own in zip(rows, own_bytes(rows), strict=True))
    buffers = _buffers_of_layers(report, map(near_memory.buffer_name, rows), owners)
    parts: list[tuple[Held, Row | None]] = list(zip(buffers, rows, strict=True))
    resident = [
        *_constants(report),
        *(
            Held(kind, port["name"], "", port["bytes"])
            for kind in PORTS
            for port in report[f"{kind}s"]
            if port["level"] == "L2"
        ),
    ]
    parts += [(entry, None) for entry in resident]
    sizes = near_memory.sizes(report)
    others = {"variables": VARIABLES, "code": CODE}
    parts += [(Held(what, "", "", sizes[x] or 0), None) for x, what in others.items() if x in sizes]
    used, limit = near_memory.bytes_in_use(report), report["target"]["l2_bytes"]
    name = near_memory.name(report)
    return _describe_peak(name, used, limit, report, parts, memory["buffers"], at)


def _constants(report: Report) -> Iterator[Held]:
    """Yield the weights and constants that are in L2; none if they are read in place from flash."""
    if near_memory.has_flash(report):
        return
    layers, memory = report["layers"], report["memory"]
    weights = ((row, row["weights_l2_bytes"]) for row in layers)
    constants = ((layers[row["step"]], row["size_bytes"]) for row in memory["constants"])
    yield from _buffers_of_layers(report, repeat("weights"), weights)
    yield from _buffers_of_layers(report, repeat("constant"), constants)


def owner(report: Report, buffer: Row) -> Row:
    """Return the row of the layer that writes an arena buffer, or reads its weights from a
    memory level."""
    if "step" in buffer:
        return dict(report["layers"][buffer["step"]])
    name = buffer["name"]
    return next(dict(row) for row in report["layers"] if name in wording.results(row))


def _level_peak(report: Report, name: str) -> Peak:
    memory = report["memory"]
    weights = ((row, row[f"weights_{name}_bytes"]) for row in report["layers"])
    in_level = memory["l3_maps"] if name == "l3" else ()
    maps = ((owner(report, row), row["size_bytes"]) for row in in_level)
    held = _buffers_of_layers(report, repeat("weights"), weights)
    parts = [
        (entry, None) for entry in (*held, *_buffers_of_layers(report, repeat("result"), maps))
    ]
    used, limit = near_memory.levels(report)[name], report["target"].get(f"{name}_bytes")
    return _describe_peak(name.upper(), used, limit, report, parts, (), 0.0)


def _describe_peak(
    memory: str,
    used: int,
    limit: int | None,
    report: Report,
    parts: Parts,
    buffers: Sequence[Row],
    at: float,
) -> Peak:
    entries = [entry for entry, _ in parts if entry.size_bytes]
    gaps = used - sum(entry.size_bytes for entry in entries)
    entries += [Held(GAPS, "", "", gaps)] if gaps > 0 else []
    ordered = tuple(sorted(entries, key=lambda entry: -entry.size_bytes))
    step = int(at) if any(row for _, row in parts) else None
    layer = "" if step is None else wording.step_name(report, step)
    shrink, saved = _largest_shrinkable(parts, buffers, at)
    return Peak(memory, used, limit, step, layer, ordered, shrink, used - saved)


def _largest_shrinkable(parts: Parts, buffers: Sequence[Row], at: float) -> tuple[Held | None, int]:
    """Return the largest buffer that can shrink, and the peak's reduction in bytes without it."""
    parts = [pair for pair in parts if pair[0].size_bytes and pair[0].what not in PROGRAM]
    largest, row = max(parts, key=lambda pair: pair[0].size_bytes, default=(None, None))
    if row is None:
        return largest, 0 if largest is None else largest.size_bytes
    others = [other for other in buffers if other is not row]
    return largest, alive_bytes(buffers, at) - alive_bytes(others, fullest(others))


def _buffers_of_layers(
    report: Report, kinds: Iterable[str], sizes: Iterable[tuple[Row, int]]
) -> Iterator[Held]:
    names = wording.layer_names(report)
    for kind, (row, size) in zip(kinds, sizes, strict=False):
        yield Held(kind, names[row["name"]], naming.source(row), size)


# --- for people -----------------------------------------------------------------------------------

MAX_HELD_ROWS = 12  # rows per memory


def print_peaks(peaks_of_memories: Sequence[Peak], console: Console) -> None:
    """Print a table per memory, and the buffer whose reduction would lower the peak."""
    from rich.text import Text

    for peak in peaks_of_memories:
        limit = f" of {wording.size(peak.limit_bytes)}" if peak.limit_bytes else ""
        place = f", in step {peak.step}, {peak.layer}" if peak.layer else ""
        title = f"{peak.memory}: {wording.size(peak.used_bytes)}{limit} at its peak{place}"
        console.print(Text(printable(title), "bold"))
        show(_peak_table(peak), console)
        console.print(Text(f"{printable(_peak_advice(peak))}\n", "dim"))


def _peak_table(peak: Peak) -> Table:
    table = columns(("bytes", "share"), no_wrap=True)
    for title in ("what", "layer", "source"):
        table.add_column(title, overflow="fold")
    rows = [(held.size_bytes, held.what, held.layer, held.source) for held in peak.held]
    if rest := rows[MAX_HELD_ROWS:]:
        smaller = sum(size for size, *_ in rest), f"{len(rest)} smaller", "", ""
        rows = [*rows[:MAX_HELD_ROWS], smaller]
    for size, *texts in rows:
        percent = wording.rough_percent(size, peak.used_bytes)
        table.add_row(*map(styled, (f"{size:,}", percent, *texts)))
    return table


def _peak_advice(peak: Peak) -> str:
    """Return text that names the buffer to shrink, and the peak without it; "" for none."""
    if peak.shrink is None:
        return ""
    joint = " " if peak.shrink.what in PORTS else " of "
    layer = f"{joint}{peak.shrink.layer}" if peak.shrink.layer else ""
    if 100 * peak.without_bytes > 99 * peak.used_bytes:
        text = f"without the {peak.shrink.what}{layer} the peak would be about the same"
        return f"{text}, in another step"
    without = wording.size(peak.without_bytes)
    return f"without the {peak.shrink.what}{layer} the peak would be {without}"
