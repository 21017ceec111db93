# SPDX-License-Identifier: Apache-2.0
"""trace.json: a run as ui.perfetto.dev and chrome://tracing read it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from myoedge.simulator import Simulation

MOST_BYTES = 50 << 20
_SPAN_BYTES = 140  # of an event, about
_LAYERS, _DMA, _L3 = 20, 21, 22  # tracks beside the cores' 0..9
_TRACK = {"dma in": _DMA, "dma out": _DMA, "l3 read": _L3, "l3 write": _L3}

Event = dict[str, Any]


def perfetto(run: Simulation, layers: Sequence[Mapping[str, Any]], clock_hz: int) -> bytes:
    """Layers, transfers and sleeping cores on a track each; times in microseconds.

    At most MOST_BYTES: where there is more, the shortest spans are left out, and it is said so.
    """
    events = [*_names(), *_layers(run, layers, clock_hz)]
    spans = sorted(run.spans, key=lambda s: s.start - s.end)[: MOST_BYTES // _SPAN_BYTES]
    left_out = len(run.spans) - len(spans) + run.spans_lost
    for span in sorted(spans, key=lambda s: s.start):
        track = _TRACK.get(span.what, span.core)
        facts = {"bytes": span.size_bytes, "address": f"0x{span.address:08x}"}
        facts = facts if span.what in _TRACK else {}
        events.append(_event(span.what, track, span.start, span.end, clock_hz, facts))
    document = {
        "displayTimeUnit": "ns",
        "otherData": {"clock_hz": clock_hz, "spans_left_out": left_out},
        "traceEvents": events,
    }
    return json.dumps(document, separators=(",", ":")).encode()


def _names() -> Iterator[Event]:
    tracks = {i: f"core {i}" for i in range(9)} | {9: "fabric controller"}
    tracks |= {_LAYERS: "layers", _DMA: "DMA", _L3: "L3"}
    for number, name in tracks.items():
        yield {
            "ph": "M",
            "pid": 1,
            "tid": number,
            "name": "thread_name",
            "args": {"name": name},
        }


def _layers(run: Simulation, layers: Sequence[Mapping[str, Any]], clock_hz: int) -> Iterator[Event]:
    for before, after in pairwise(run.marks):
        if 0 <= after.value < len(layers):
            row = layers[after.value]
            facts = {"op": row["op"], "macs": row["macs"], "cycles": after.cycle - before.cycle}
            yield _event(row["label"], _LAYERS, before.cycle, after.cycle, clock_hz, facts)


def _event(
    name: str, track: int, start: int, end: int, clock_hz: int, facts: Mapping[str, Any]
) -> Event:
    scale = 1e6 / clock_hz
    event: Event = {
        "ph": "X",
        "pid": 1,
        "tid": track,
        "name": name,
        "ts": round(start * scale, 4),
        "dur": round((end - start) * scale, 4),
    }
    return event | ({"args": dict(facts)} if facts else {})
