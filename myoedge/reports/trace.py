# SPDX-License-Identifier: Apache-2.0
"""trace.json: a run in the Trace Event Format, for ui.perfetto.dev and chrome://tracing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, pairwise
from typing import Any

from myoedge.operators import layer_names as naming
from myoedge.reports.report_json import dims
from myoedge.reports.trace_facts import COUNTERS, L1Operands, Sample, counters, operand_names, steps
from myoedge.simulator import Mark, Simulation
from myoedge.targets import ACCELERATOR

MAX_BYTES = 50 << 20
STARTED = -1  # mark before the first layer
CORES, CONTROLLER = 9, 9  # tracks 0 .. 8, and the fabric controller's track
PROCESS, _NETWORK, _ENGINE = 1, 20, 21
_DMA, _L3 = 100, 200  # first tracks, with a lane for every overlap
_LANES = {"dma in": (_DMA, "DMA"), "dma out": (_DMA, "DMA")}
_LANES |= {"l3 read": (_L3, "L3"), "l3 write": (_L3, "L3")}
# From the finest on; each omits the first kind of the one before. Tiles are shown by their
# transfers, with the accelerator's jobs next to them.
DETAILS = (
    "sleeping cores, transfers, layers by core",
    "transfers, layers by core",
    "layers by core",
    "layers",
    "inferences",
)
_INFERENCE_BYTES = 180  # maximum in JSON; inferences for which there is no space are left out

Event = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Slice:
    """An interval of cycles on a track of the trace.

    track        number of the track
    name         label
    start, end   cycles
    facts        further (name, value) entries that the viewer shows
    """

    track: int
    name: str
    start: int
    end: int
    facts: Mapping[str, Any] = field(default_factory=dict)


def perfetto(
    run: Simulation,
    layers: Sequence[Mapping[str, Any]],
    clock_hz: int,
    operands: L1Operands | None = None,
) -> bytes:
    """Return a run as a trace file for ui.perfetto.dev: tracks for the network, every core, DMA and
    L3, and counters; times in microseconds.

    layers     rows of the report
    operands   names of the operands that the DMA moves
    The finest of DETAILS that stays within MAX_BYTES is used. Overlapping slices are on separate
    tracks, because the format only supports slices that are nested or disjoint.
    """
    sources: tuple[Callable[[], Iterator[Slice]], ...] = (  # outer slices before inner ones
        lambda: _trace_inferences(run),
        lambda: _layer_slices(run, layers),
        lambda: _core_slices(run, layers),
        lambda: chain(
            _transfer_slices(run, operand_names(run, layers, operands)), _engine_slices(run)
        ),
        lambda: _sleep_slices(run),
    )
    counted = [_counter_event(sample, clock_hz) for sample in counters(run, layers, clock_hz)]
    for detail in range(len(DETAILS)):
        slices = [s for source in sources[: len(sources) - detail] for s in source()]
        text = _trace_document(run, slices, clock_hz, detail, counted)
        if len(text) <= MAX_BYTES:
            return text
    fitting = list(_trace_inferences(run))[: MAX_BYTES // _INFERENCE_BYTES]
    return _trace_document(run, fitting, clock_hz, len(DETAILS) - 1, [])


def _trace_document(
    run: Simulation, slices: list[Slice], clock_hz: int, detail: int, counted: list[Event]
) -> bytes:
    ordered = sorted(slices, key=lambda s: (s.start, -s.end))  # stable: outer slices first
    events = [
        *_used_tracks(ordered),
        *(_slice_event(s, clock_hz) for s in ordered if s.end > s.start),
    ]
    events += counted
    if run.spans_lost and detail < DETAILS.index("layers by core"):
        text = f"{run.spans_lost:,} spans after this were too many to record"
        start = _cycle_to_nanoseconds(max(span.end for span in run.spans), clock_hz) / 1000
        network = {"pid": PROCESS, "tid": _NETWORK}
        events.append({"ph": "i", "s": "g", **network, "name": text, "ts": start})
    document = {
        "displayTimeUnit": "ns",
        "otherData": {
            "clock_hz": clock_hz,
            "detail": DETAILS[detail],
            "spans_not_recorded": run.spans_lost,
        },
        "traceEvents": events,
    }
    return json.dumps(document, separators=(",", ":")).encode()


# --- the network ----------------------------------------------------------------------------------


def _trace_inferences(run: Simulation) -> Iterator[Slice]:
    starts = [i for i, mark in enumerate(run.marks) if mark.value == STARTED]
    if starts:
        yield Slice(_NETWORK, "start-up", 0, run.marks[starts[0]].cycle)
    for number, (first, following) in enumerate(pairwise([*starts, len(run.marks)]), 1):
        cycles = run.marks[first].cycle, run.marks[following - 1].cycle
        facts = {"cycles": cycles[1] - cycles[0]}
        yield Slice(_NETWORK, f"inference {number}", *cycles, facts)


def _layer_marks(
    run: Simulation, layers: Sequence[Mapping[str, Any]]
) -> Iterator[tuple[Any, Mark, Mark]]:
    """Yield (row of the report, mark before, mark after) for each layer of a run."""
    names = naming.unique_names(layers)
    for index, start, end in steps(run, layers):
        yield {**layers[index], "shown": names[index]}, start, end


def _layer_slices(run: Simulation, layers: Sequence[Mapping[str, Any]]) -> Iterator[Slice]:
    for row, start, end in _layer_marks(run, layers):
        facts = {
            "op": row["op"],
            "macs": row["macs"],
            "cycles": end.cycle - start.cycle,
            "dma_bytes": end.dma_bytes - start.dma_bytes,
            "l3_bytes": end.l3_bytes - start.l3_bytes,
            **({"tensor": row["name"], "shape": dims(row["out_shape"])} if "name" in row else {}),
        }
        if run.devices.get(f"{ACCELERATOR.name}_jobs"):
            busy_cycles = end.ne16_busy_cycles - start.ne16_busy_cycles
            facts |= {
                f"{ACCELERATOR.name}_busy": busy_cycles,
                f"{ACCELERATOR.name}_idle": facts["cycles"] - busy_cycles,
            }
        yield Slice(_NETWORK, row["shown"], start.cycle, end.cycle, facts)


def _core_slices(run: Simulation, layers: Sequence[Mapping[str, Any]]) -> Iterator[Slice]:
    for row, start, end in _layer_marks(run, layers):
        for core in range(CORES):
            counts = end.counts[core].since(start.counts[core])
            facts = {"instructions": counts.instructions, "macs": counts.macs, **counts.stalls}
            nonzero = {name: n for name, n in facts.items() if n}
            yield Slice(core, row["shown"], start.cycle, end.cycle, nonzero)


# --- spans ----------------------------------------------------------------------------------------


def _transfer_slices(run: Simulation, operands: Mapping[int, str]) -> Iterator[Slice]:
    """Yield DMA and L3 transfers, each on the first free lane.

    operands   index of a span -> operand
    """
    free: dict[int, list[int]] = {_DMA: [], _L3: []}
    spans = ((number, span) for number, span in enumerate(run.spans) if span.what in _LANES)
    for number, span in sorted(spans, key=lambda pair: pair[1].start):
        base, _ = _LANES[span.what]
        ends = free[base]
        lane = next((i for i, end in enumerate(ends) if end <= span.start), len(ends))
        ends[lane : lane + 1] = [span.end]
        operand = operands.get(number, "")
        facts = {"bytes": span.size_bytes, "address": f"0x{span.address:08x}"}
        name = f"{span.what}: {operand}" if operand else span.what
        yield Slice(base + lane, name, span.start, span.end, facts)


def _engine_slices(run: Simulation) -> Iterator[Slice]:
    """Yield the jobs of the accelerator, each with the cycles that it was idle before."""
    end = 0
    for span in run.spans:
        if span.what != ACCELERATOR.name:
            continue
        facts = {"cycles": span.end - span.start, "output": f"0x{span.address:08x}"}
        yield Slice(
            _ENGINE, "job", span.start, span.end, {**facts, "idle_before": span.start - end}
        )
        end = span.end


def _sleep_slices(run: Simulation) -> Iterator[Slice]:
    """Yield the sleeps of cores, split at the ends of layers, because a core may sleep across
    them."""
    layer_ends = [mark.cycle for mark in run.marks]
    next_ends: dict[int, int] = {}
    spans = (span for span in run.spans if span.what == "asleep")
    for span in sorted(spans, key=lambda s: s.start):
        next_end = next_ends.get(span.core, 0)
        while next_end < len(layer_ends) and layer_ends[next_end] <= span.start:
            next_end += 1
        next_ends[span.core] = next_end
        start = span.start
        while next_end < len(layer_ends) and layer_ends[next_end] < span.end:
            yield Slice(span.core, span.what, start, layer_ends[next_end])
            start, next_end = layer_ends[next_end], next_end + 1
        yield Slice(span.core, span.what, start, span.end)


# --- events ---------------------------------------------------------------------------------------


def _used_tracks(slices: Iterable[Slice]) -> Iterator[Event]:
    """Yield the names of the tracks in use, in display order."""
    yield _track_metadata("process_name", 0, {"name": "myoedge simulate"})
    used = {item.track for item in slices}
    names = {_NETWORK: "network", CONTROLLER: "fabric controller", _DMA: "DMA", _L3: "L3"}
    names[_ENGINE] = ACCELERATOR.text
    for place, track in enumerate([_NETWORK, *sorted(used - {_NETWORK})]):
        base = _L3 if track > _L3 else _DMA
        numbered = f"core {track}" if track < CORES else f"{names[base]} {track - base + 1}"
        yield _track_metadata("thread_name", track, {"name": names.get(track, numbered)})
        yield _track_metadata("thread_sort_index", track, {"sort_index": place})


def _track_metadata(name: str, track: int, facts: Mapping[str, Any]) -> Event:
    return {"ph": "M", "pid": PROCESS, "tid": track, "name": name, "args": dict(facts)}


def _slice_event(item: Slice, clock_hz: int) -> Event:
    start = _cycle_to_nanoseconds(item.start, clock_hz)
    event: Event = {
        "ph": "X",
        "pid": PROCESS,
        "tid": item.track,
        "name": item.name,
        "ts": start / 1000,
        "dur": (_cycle_to_nanoseconds(item.end, clock_hz) - start) / 1000,
    }
    return event | ({"args": dict(item.facts)} if item.facts else {})


def _counter_event(sample: Sample, clock_hz: int) -> Event:
    return {
        "ph": "C",
        "pid": PROCESS,
        "tid": 0,
        "name": sample.counter,
        "ts": _cycle_to_nanoseconds(sample.cycle, clock_hz) / 1000,
        "args": {COUNTERS[sample.counter]: sample.value},
    }


def _cycle_to_nanoseconds(cycle: int, clock_hz: int) -> int:
    """Round a time to nanoseconds, so that a nested slice stays inside the outer one."""
    return (cycle * 10**9 + clock_hz // 2) // clock_hz
