# SPDX-License-Identifier: Apache-2.0
"""Memory maps in report.html: every buffer of L1 and L2, with time to the right and offsets
upwards."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from myoedge.reports import near_memory, wording
from myoedge.reports.charts import LETTER, Box, Frame, Tick, columns, frame_of
from myoedge.reports.memory import Row, fullest
from myoedge.reports.peaks import owner
from myoedge.reports.report_json import Report, dims

HEADROOM = 1.06  # ratio of the drawing's top to the highest buffer
LINE = 14  # units between lines of text

# Use of L2 or RAM -> style of its segment, and its name there
SEGMENTS = {
    "weights": ("weights", "weights and tables"),
    "activations": ("arena", "activations"),
    "scratch": ("weights", "scratch"),
    "in and out": ("ports", "inputs and outputs"),
    "variables": ("code", "variables"),
    "code": ("code", "code"),
}

Names = tuple[tuple[str, ...], ...]  # lines of text, each in forms from long to short


def l2(report: Report) -> dict[str, Any] | None:
    """Return the data of the map of the L2 arena, time by address; None if the arena is empty."""
    memory = report["memory"]
    if not memory["buffers"]:
        return None
    last = max(buffer["last_step"] for buffer in memory["buffers"])
    frame = frame_of(report, 280, last + 1)
    top = max(memory["arena_bytes"], memory["lower_bound_bytes"]) * HEADROOM
    names = wording.layer_names(report)
    return {
        **_draw_axes(report, frame, top, memory["peak_step"]),
        "boxes": [_draw_result(report, names, buffer, frame, top) for buffer in memory["buffers"]],
        "bound": frame.y(memory["lower_bound_bytes"] / top),
    }


def l1(report: Report) -> dict[str, Any] | None:
    """Return the data of the map of the L1 tile buffers, time by address; None if no layer runs in
    tiles."""
    buffers = report["memory"].get("l1_buffers")
    if not buffers:
        return None
    frame = frame_of(report, 280)
    top = max(b["offset"] + b["size_bytes"] for b in buffers) * HEADROOM
    names = wording.layer_names(report)
    return {
        **_draw_axes(report, frame, top, int(fullest(buffers))),
        "boxes": [_draw_operand(report, names, buffer, frame, top) for buffer in buffers],
        "bound": None,
    }


def _draw_axes(report: Report, frame: Frame, top: float, peak: int) -> dict[str, Any]:
    tick_bytes = 1 << max((int(top) // 6).bit_length(), 2)  # three to six ticks
    # A label above the peak's column, inside the drawing.
    label = (frame.x(peak + 0.5), "middle")
    if peak >= frame.steps - 1:
        label = (frame.x(peak + 1), "end")
    if peak < 1:
        label = (frame.x(peak), "start")
    return {
        "frame": frame,
        "columns": columns(report, frame),
        "ticks": [
            Tick(frame.y(at / top), wording.size(at)) for at in range(0, int(top) + 1, tick_bytes)
        ],
        "peak": (frame.x(peak), frame.column),
        "peak_text": label,
    }


def _draw_box(row: Row, frame: Frame, top: float, title: str, names: Names, look: str) -> Box:
    low, high = row["offset"] / top, (row["offset"] + row["size_bytes"]) / top
    # A gap separates the boxes of consecutive buffers.
    gap = min(2.0, frame.column * (row["to"] - row["from"]) / 4)
    width = frame.column * (row["to"] - row["from"]) - gap
    height = max(frame.y(low) - frame.y(high) - 2, 1.5)
    # The longest form of every line that fits the width, for as many lines as fit the height.
    max_chars, forms_of_lines = (
        int((width - 8) / LETTER),
        (*names, (wording.size(row["size_bytes"]),)),
    )
    lines = (next((f for f in forms if len(f) <= max_chars), "") for forms in forms_of_lines)
    return Box(
        x=round(frame.x(row["from"]) + gap / 2, 2),
        y=round(frame.y(low) - height - 1, 1),
        width=round(width, 2),
        height=round(height, 1),
        title=title,
        lines=tuple(filter(None, lines))[: max(int((height - 2) / LINE), 0)],
        look=look,
    )


# --- L2 -------------------------------------------------------------------------------------------


def _draw_result(
    report: Report, layer_names: Mapping[str, str], buffer: Row, frame: Frame, top: float
) -> Box:
    row = owner(report, buffer)
    name = layer_names[row["name"]]
    path = next((o["path"] for o in row["origin"] if o["path"]), "")
    tail = [f"…{path.rpartition('.')[2]}"] if "." in path else []
    names = ((name, *tail, row["op"]),)
    if buffer["kind"] != "result":
        title = f"{name}: {near_memory.buffer_name(buffer)}, {_format_location(buffer)}"
        return _draw_box(buffer, frame, top, title, names, "l3")
    look = "peak" if buffer["name"] in report["memory"]["peak_buffers"] else "calm"
    layers, last = report["layers"], buffer["last_step"]
    reader = layers[last]["function"] if last < len(layers) else "the copy to an output"
    writer = layers[buffer["first_step"]]["function"]
    title = f"{name}: {_format_location(buffer)}, written by {writer}, last read by {reader}"
    return _draw_box(buffer, frame, top, title, names, look)


def _format_location(buffer: Row) -> str:
    return f"{buffer['size_bytes']:,} B at offset {buffer['offset']:,}"


def budget(report: Report) -> list[dict[str, Any]]:
    """Return the segments of the bar that shows the use of L2, as fractions of the size of L2, or
    of the used bytes if L2 has no limit."""
    limit = report["target"]["l2_bytes"]
    sizes = near_memory.sizes(report)
    parts = [(*SEGMENTS[use], size) for use, size in sizes.items() if size is not None]
    levels = [name.upper() for name in near_memory.levels(report)]
    if levels:
        renamed = {"activations": f"activations, data from {' and '.join(levels)}"}
        parts = [(kind, renamed.get(name, name), size) for kind, name, size in parts]
    if limit is not None:
        name = "free, code included" if None in sizes.values() else "free"
        parts.append(("free", name, limit - near_memory.bytes_in_use(report)))
    total = sum(size for _, _, size in parts)
    return [
        {"kind": kind, "name": name, "bytes": size, "share": wording.fraction(size, total)}
        for kind, name, size in parts
    ]


# --- L1 -------------------------------------------------------------------------------------------


def _draw_operand(
    report: Report, layer_names: Mapping[str, str], buffer: Row, frame: Frame, top: float
) -> Box:
    row = report["layers"][buffer["step"]]
    operand, kind = str(buffer["operand"]), buffer["kind"]
    shape = (dims(buffer["shape"]),) if buffer["shape"] else ()
    name = "" if kind == operand else f"{' '.join((operand, *shape))}, "
    tiles = f"{wording.several(row['tiles'], 'tile')}, of results {row['tile']}"
    title = f"{layer_names[row['name']]}: {name}{kind}, {_format_location(buffer)}; {tiles}"
    return _draw_box(buffer, frame, top, title, ((operand,), shape), kind)
