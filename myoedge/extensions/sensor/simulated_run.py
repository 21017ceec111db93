# SPDX-License-Identifier: Apache-2.0
"""Decisions, passes and lost samples of the application in a simulated run."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from myoedge.backends.packets import Decision, Record, Start, Status
from myoedge.backends.simulator import STARTED
from myoedge.numerics.arrays import Array
from myoedge.simulator import Simulation


def decision_cycles(run: Simulation, found: Sequence[tuple[int, Record]]) -> tuple[Array, Array]:
    """Return, for each decision, the cycle of its last sample's data-ready and the cycle of its
    packet's last bit."""
    events = zip(run.ready_frames, run.ready_cycles, strict=True)
    ready = dict(reversed([*events]))  # the first time, if a frame is reported twice
    pairs = [
        (ready[record.frame], run.line_cycles[end])
        for end, record in found
        if isinstance(record, Decision) and record.frame in ready
    ]
    starts, ends = zip(*pairs, strict=True) if pairs else ((), ())
    return np.array(starts, np.int64), np.array(ends, np.int64)


def pass_cycles(run: Simulation) -> Array:
    """Return the first and the last cycle of every pass of the network, [passes, 2]."""
    starts = [at for at, mark in enumerate(run.marks) if mark.value == STARTED]
    borders = itertools.pairwise([*starts, len(run.marks)])
    spans = [(run.marks[a].cycle, run.marks[b - 1].cycle) for a, b in borders]
    return np.array(spans, np.int64).reshape(-1, 2)


def locate_decisions(
    run: Simulation, decisions: Sequence[Decision], clock_hz: int
) -> list[Decision]:
    """Return the decisions, each with the number of its last sample in the recording.

    After a reset of the front end, sample numbers differ: the program counts periods, the front end
    counts delivered samples. They are matched by the time of data-ready.
    """
    first = next((row for row in decisions if not row.flags), None)
    if first is None:
        return [*decisions]
    cycles = np.asarray(run.ready_cycles, np.int64)
    start = cycles[list(run.ready_frames).index(first.frame)]
    times_s = np.array([row.time_us - first.time_us for row in decisions]) / 10**6
    halfway = (cycles[1:] + cycles[:-1]) // 2
    nearest = np.searchsorted(halfway, start + times_s * clock_hz)
    return [
        replace(row, frame=run.ready_frames[at]) for row, at in zip(decisions, nearest, strict=True)
    ]


def decisions_before_restart(records: Sequence[Record]) -> list[Decision]:
    """Return the decisions before the program restarted, which resets its sample numbers."""
    starts = [at for at, record in enumerate(records) if isinstance(record, Start)]
    ended = starts[1] if len(starts) > 1 else len(records)
    return [record for record in records[:ended] if isinstance(record, Decision)]


def count_lost_samples(records: Sequence[Record], frames: int) -> int:
    """Return the number of lost samples according to the last status packet; all samples if there
    was no decision."""
    if not any(isinstance(record, Decision) for record in records):
        return frames
    return max((record.frames_lost for record in records if isinstance(record, Status)), default=0)
