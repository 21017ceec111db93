# SPDX-License-Identifier: Apache-2.0
"""Backend "simulator": firmware.elf of a build on the simulated chip."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import chain, pairwise, repeat
from operator import attrgetter

from myoedge.backends.measurement import (
    Activity,
    Counted,
    FirmwareFiles,
    Inference,
    LayerCost,
    Measurement,
    sum_of,
)
from myoedge.simulator import CoreCounts, Mark, Program, RunOptions, Simulation, simulate
from myoedge.system import tools
from myoedge.targets import DEFAULT

STARTED = -1  # mark before the first layer

WRAP = 1 << 32  # modulus of the cluster's cycle counter

Region = tuple[str, int, int]  # symbol, offset, size in bytes
Progress = Callable[[int, str], None]


def run_firmware(
    program: Program,
    files: FirmwareFiles,
    *,
    regions: Mapping[int, Mapping[str, Region]] | None = None,
    options: RunOptions | None = None,
    cycles: Mapping[str, int] = DEFAULT.simulator_cycles,
    max_cycles: int = 1 << 40,
    progress: Progress | None = None,
) -> tuple[Measurement, Simulation]:
    """Run consecutive inferences of a firmware on the simulated chip; return measurement and
    simulation.

    regions      layer -> locations of its results in memory, by tensor, to record in
                 Inference.written
    cycles       cost table of the chip
    max_cycles   limit for the whole run
    Errors: E701..E709 the program faulted; E711 it ended with an error of its own.
    """
    snapshots = {
        layer: [(program.symbols[symbol] + at, size) for symbol, at, size in results.values()]
        for layer, results in (regions or {}).items()
    }
    options = replace(options or RunOptions(), snapshots=snapshots)
    with tools.scratch() as folder:
        files.write(folder)
        run = simulate(
            program,
            cycles=cycles,
            folder=folder,
            max_cycles=max_cycles,
            options=options,
            progress=progress,
        )
        counted = files.read(folder, run.exit_code, run.output)
    return _make_measurement(run, counted, regions or {}), run


def _make_measurement(
    run: Simulation, counted: Sequence[Counted], regions: Mapping[int, Iterable[str]]
) -> Measurement:
    starts = [i for i, mark in enumerate(run.marks) if mark.value == STARTED]
    groups = [run.marks[a:b] for a, b in pairwise([*starts, len(run.marks)])]
    pairs = zip(counted, chain(groups, repeat(())), strict=False)
    rows = tuple(_make_inference(one, marks, regions) for one, marks in pairs)
    startup = run.marks[0].cycle if run.marks else None
    return Measurement("simulated", rows, startup, run.l1_bytes, run.output)


def _make_inference(
    counted: Counted, marks: Sequence[Mark], regions: Mapping[int, Iterable[str]]
) -> Inference:
    """Return one inference with the firmware's cycle counts, corrected by the simulator's marks:
    one before the first layer and one after each layer; without marks, as counted."""
    outputs, cycles, total = counted
    # Layer -> (mark before, mark after) of its runs; a loop runs it several times
    turns: dict[int, list[tuple[Mark, Mark]]] = {}
    for before, after in pairwise(marks):
        turns.setdefault(after.value, []).append((before, after))
    costs = [_layer_cost(turns[layer], n) for layer, n in enumerate(cycles) if layer in turns]
    total = _unwrap_cycles(marks[-1].cycle - marks[0].cycle, total) if marks else total
    written: dict[str, bytes] = {}
    for mark in filter(attrgetter("snapshots"), marks):
        written |= zip(regions.get(mark.value, ()), mark.snapshots, strict=False)
    return Inference(outputs, total, tuple(costs), written)


def _layer_cost(turns: Sequence[tuple[Mark, Mark]], cycles: int) -> LayerCost:
    """Return the cost of a layer, summed over all its runs in a loop."""
    passed = [after.cycle - before.cycle for before, after in turns]
    counted = _unwrap_cycles(sum(passed), cycles)
    if len(turns) == 1:
        return _cost_between_marks(*turns[0], counted)
    runs = zip(turns, passed, strict=True)
    return replace(
        sum_of([_cost_between_marks(*turn, between) for turn, between in runs]), cycles=counted
    )


def _unwrap_cycles(between_marks: int, counted: int) -> int:
    """Return a cycle count known modulo 2**32 in full, from the cycles between its marks."""
    return counted + ((between_marks - counted + WRAP // 2) // WRAP) * WRAP


def _cost_between_marks(start: Mark, end: Mark, cycles: int) -> LayerCost:
    counts = [b.since(a) for a, b in zip(start.counts, end.counts, strict=True)]
    cores = counts[:-2]  # that compute: neither the one that moves data nor the fabric controller
    causes = cores[0].stalls
    dma_bytes = end.dma_bytes - start.dma_bytes
    l3_bytes = end.l3_bytes - start.l3_bytes
    mram_bytes = end.mram_bytes - start.mram_bytes
    ne16_cycles = end.ne16_busy_cycles - start.ne16_busy_cycles
    return LayerCost(
        cycles=cycles,
        instructions=sum(c.instructions for c in cores),
        stalls={cause: sum(c.stalls[cause] for c in cores) for cause in causes},
        dma_bytes=dma_bytes,
        dma_busy_cycles=end.dma_busy_cycles - start.dma_busy_cycles,
        ne16_busy_cycles=ne16_cycles,
        l3_bytes=l3_bytes,
        mram_bytes=mram_bytes,
        activity=replace(
            _core_activity(counts, cycles),
            dma_bytes=dma_bytes,
            l3_bytes=l3_bytes,
            ne16_cycles=ne16_cycles,
            mram_bytes=mram_bytes,
        ),
    )


def activity_of(run: Simulation) -> Activity:
    """Return the counters of a whole run that determine its energy."""
    devices = run.devices
    return replace(
        _core_activity(run.counts, run.cycles),
        dma_bytes=devices["dma_in_bytes"] + devices["dma_out_bytes"],
        l3_bytes=devices["l3_read_bytes"] + devices["l3_written_bytes"],
        ne16_cycles=devices["ne16_busy_cycles"],
        mram_bytes=devices["mram_read_bytes"],
    )


def _core_activity(counts: Sequence[CoreCounts], cycles: int) -> Activity:
    *cluster, controller = counts
    l1_accesses = (c.loads + c.stores - c.outside_loads - c.outside_stores for c in cluster)
    return Activity(
        cycles,
        instructions=sum(c.instructions for c in cluster),
        fc_instructions=controller.instructions,
        accesses=sum(l1_accesses),
    )
