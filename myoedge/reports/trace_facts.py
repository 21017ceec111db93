# SPDX-License-Identifier: Apache-2.0
"""Counters of a trace by layer, and names of the operands that its transfers move."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from myoedge.operators import layer_names as naming
from myoedge.simulator import Mark, Simulation, Span
from myoedge.targets import ACCELERATOR

Rows = Sequence[Mapping[str, Any]]
COUNTERS = {  # counter -> unit
    "L1": "KiB",
    "power": "mW",
    "MAC/cycle": "MAC/cycle",
}


@dataclass(frozen=True, slots=True)
class Sample:
    """Value of a trace's counter from a cycle on."""

    cycle: int
    counter: str
    value: float


def steps(run: Simulation, layers: Rows) -> Iterator[tuple[int, Mark, Mark]]:
    """Yield (index of a layer, mark at its start, mark at its end) for every layer of a run, in
    execution order."""
    for start, end in pairwise(run.marks):
        if 0 <= end.value < len(layers):
            yield end.value, start, end


def counters(run: Simulation, layers: Rows, clock_hz: int) -> Iterator[Sample]:
    """Yield the trace's counters: each layer's L1 for tiles, mean power and MAC/cycle; 0 between
    inferences.

    Power is a layer's energy over its time, because energy is only known per layer.
    """
    last = 0
    for index, start, end in steps(run, layers):
        if start.cycle > last:
            yield from (Sample(last, name, 0.0) for name in COUNTERS)
        for name, value in _layer_facts(layers[index], end.cycle - start.cycle, clock_hz).items():
            yield Sample(start.cycle, name, value)
        last = end.cycle
    yield from (Sample(last, name, 0.0) for name in COUNTERS)


def _layer_facts(row: Mapping[str, Any], cycles: int, clock_hz: int) -> dict[str, float]:
    counted, energy_uj = row.get("cycles") or 0, row.get("energy_uj") or 0.0
    power_mw = 1e-3 * energy_uj * clock_hz / counted if counted else 0.0
    rate = row["macs"] / cycles if cycles else 0.0
    values = ((row.get("l1_bytes") or 0) / 1024, power_mw, rate)
    return {name: round(value, 4) for name, value in zip(COUNTERS, values, strict=True)}


@dataclass(frozen=True)
class L1Operands:
    """The operands that L1 buffers hold, by address and time.

    base      address of the network's L1
    buffers   memory.l1_buffers of the report; times are counted in layers
    """

    base: int
    buffers: Rows

    def name(self, span: Span, at: float, layers: Sequence[str]) -> str:
        """Return the operand that a transfer moves, "weights of conv2"; "" if none fits.

        Other places in L1 only get jobs of the accelerator.

        span     the transfer
        at       its time, counted in layers
        layers   names of the layers
        """
        begin = span.address - self.base
        rows = [
            row
            for row in self.buffers
            if row["offset"] <= begin
            and begin + span.size_bytes <= row["offset"] + row["size_bytes"]
            and (row["kind"] == "result") == (span.what == "dma out")
        ]
        if not rows:
            end = max((row["offset"] + row["size_bytes"] for row in self.buffers), default=0)
            return "" if 0 <= begin < end else f"jobs of {ACCELERATOR.text}"
        nearest = min(_distance_in_layers(row, at) for row in rows)
        found = (row for row in rows if _distance_in_layers(row, at) == nearest)
        shown = (f"{row['operand']} of {layers[row['step']]}" for row in found)
        return " or ".join(dict.fromkeys(shown))


def _distance_in_layers(row: Mapping[str, Any], at: float) -> float:
    """Return the number of layers between a time and a buffer's lifetime; 0 within it."""
    return float(max(row["from"] - at, at - row["to"], 0.0))


def operand_names(run: Simulation, layers: Rows, operands: L1Operands | None) -> Mapping[int, str]:
    """Return index of a DMA transfer among the run's spans -> name of the operand that it moves."""
    if operands is None:
        return {}
    known, layer_names = list(steps(run, layers)), naming.unique_names(layers)
    starts = [start.cycle for _, start, _ in known]
    names = dict[int, str]()
    for number, span in enumerate(run.spans):
        place = bisect_right(starts, span.start) - 1
        if span.what in ("dma in", "dma out") and place >= 0:
            index, start, end = known[place]
            length = max(end.cycle - start.cycle, 1)
            at = index + min((span.start - start.cycle) / length, 1.0)  # in layers
            names[number] = operands.name(span, at, layer_names)
    return names
