# SPDX-License-Identifier: Apache-2.0
"""Decisions, passes and lost samples of the application in a simulated run."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from myoedge.backends.packets import Decision, Record, Start, Status
from myoedge.backends.simulator import STARTED, activity_of
from myoedge.numerics.arrays import Array
from myoedge.power.states import PlayedStates
from myoedge.simulator import Fault, Simulation

if TYPE_CHECKING:
    from myoedge.extensions.sensor.program import SensorProgram
    from myoedge.extensions.sensor.report import Latency


Located = tuple[int, Decision]  # index of a packet's last byte on the line; the decision


def decision_cycles(run: Simulation, located: Sequence[Located]) -> tuple[Array, Array]:
    """Return, for each located decision, the cycle of its last sample's data-ready and the cycle of
    its packet's last bit."""
    events = zip(run.ready_frames, run.ready_cycles, strict=True)
    ready = dict(reversed([*events]))  # the first time, if a frame is reported twice
    pairs = [(ready[row.frame], run.line_cycles[end]) for end, row in located if row.frame in ready]
    starts, ends = zip(*pairs, strict=True) if pairs else ((), ())
    return np.array(starts, np.int64), np.array(ends, np.int64)


def pass_cycles(run: Simulation) -> Array:
    """Return the first and the last cycle of every pass of the network, [passes, 2]."""
    starts = [at for at, mark in enumerate(run.marks) if mark.value == STARTED]
    borders = itertools.pairwise([*starts, len(run.marks)])
    spans = [(run.marks[a].cycle, run.marks[b - 1].cycle) for a, b in borders]
    return np.array(spans, np.int64).reshape(-1, 2)


def first_frame(run: Simulation, program: SensorProgram, faults: Sequence[Fault]) -> int:
    """Return the frame of the recording that is the program's sample 0: the first one whose
    data-ready, or on a line whose whole message, comes."""
    on_line = program.sensor.is_on_line
    broken = {fault.frame for fault in faults if on_line and fault.kind == "bit"}
    return next((frame for frame in run.ready_frames if frame not in broken), 0)


def locate_decisions(
    run: Simulation, sent: Sequence[Located], program: SensorProgram, first: int
) -> list[Located]:
    """Return the decisions, each with the number of its last sample in the recording.

    first   frame of the program's sample 0, as of `first_frame`
    After a reset of the front end, sample numbers differ: the program counts periods, the front end
    counts delivered samples. They are matched by the time of data-ready.
    """
    if not sent:
        return []
    _, known = sent[0]
    cycles = np.asarray(run.ready_cycles, np.int64)
    frames, period = [*run.ready_frames], program.clock_hz / float(program.sensor.rate_hz)
    start = cycles[frames.index(first)] + known.frame * period
    halfway = (cycles[1:] + cycles[:-1]) // 2
    at, time_us, located = int(np.searchsorted(halfway, start)), known.time_us, list[Located]()
    for end, row in sent:  # from one to the next, so that the program's clock may drift
        passed = (row.time_us - time_us) / 10**6 * program.clock_hz
        at, time_us = int(np.searchsorted(halfway, cycles[at] + passed)), row.time_us
        located.append((end, replace(row, frame=frames[at])))
    return located


def decisions_before_restart(records: Sequence[tuple[int, Record]]) -> list[Located]:
    """Return the decisions before the program restarted, which resets its sample numbers."""
    starts = [at for at, (_, record) in enumerate(records) if isinstance(record, Start)]
    ended = starts[1] if len(starts) > 1 else len(records)
    return [(end, row) for end, row in records[:ended] if isinstance(row, Decision)]


def count_lost_samples(records: Sequence[Record], frames: int, first: int) -> int:
    """Return the number of lost samples: those before the first one that the program heard of, and
    those of its last status packet; all samples if there was no decision.

    frames   number of samples that the front end delivered
    first    frame of the program's sample 0, as of `first_frame`
    """
    if not any(isinstance(record, Decision) for record in records):
        return frames
    lost = (record.frames_lost for record in records if isinstance(record, Status))
    return first + max(lost, default=0)


def played_states(
    program: SensorProgram, run: Simulation, rows: Sequence[Decision], latency: Latency | None
) -> PlayedStates:
    """Return counters and times of a run; `is_sound` is not known from it."""
    is_resting = any(row.is_resting for row in rows)
    passes = 0 if is_resting else len(pass_cycles(run))  # a gate ends those of resting windows
    clock, waits = program.clock, program.clock.waiting > 1
    return PlayedStates(
        activity_of(run),
        dict(run.state_cycles),
        program.clock_hz,
        run.timeline,
        run.bin_cycles,
        dict(run.slow_cycles) if waits else {},
        clock.waiting_hz if waits else 0,
        passes,
        0.0 if latency is None else latency.max_s,
        len(rows),
    )
