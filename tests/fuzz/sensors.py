# SPDX-License-Identifier: Apache-2.0
"""Drawn faults of front end, line and network: the sensor application in C on this machine."""

from __future__ import annotations

import functools
import resource
import struct
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from myoedge.backends.packets import BrokenFrame, Decision, Flags, Record, Status, decoded
from myoedge.extensions.sensor.program import SampleLayout, SensorProgram
from myoedge.numerics.arrays import Array
from tests.extensions.sensor import sensor_player as player

STATUS_BYTES, COUNT_BYTES, CHIP_BYTES = 3, 3, 27  # of a chip's sample
Result = tuple[int, int]  # class and score
SECONDS, SHORTEST_S = 3.0, 2.0  # of signal: all, and after the last fault
MOST_FAULTS = 8
RESTARTS = Flags.SAMPLES_LOST | Flags.PASSES_SKIPPED  # a stream starts again
LOSSES = RESTARTS | Flags.FRONT_END_RESET | Flags.SPI_ERROR
DURATIONS = ("stall", "slow")  # kinds whose value is a duration in us

PROGRAMS: Mapping[str, Callable[[], SensorProgram]] = {
    "windows": lambda: player.program(SampleLayout(8, 20, 1), 6),
    "stream": lambda: player.program(SampleLayout(1, 3, 8), 2, 4),
    "chain": lambda: player.program(
        SampleLayout(1, 10, 64), 10, rate=2000.0, spi_clock="20 MHz", baud_rate=3_000_000
    ),
}


@dataclass(frozen=True)
class Played:
    """A played recording: integers of its samples, faults, and what the line said."""

    program: SensorProgram
    q: Array
    faults: Sequence[player.Fault]
    found: Sequence[Record]

    @property
    def decisions(self) -> list[Decision]:
        """Decisions of frames in the recording; after it the front end repeats the last sample."""
        return [x for x in self.found if isinstance(x, Decision) and x.frame < len(self.q)]

    @property
    def rate(self) -> float:
        return float(self.program.sensor.rate_hz)


@functools.cache
def application(name: str) -> tuple[SensorProgram, Path]:
    """A compiled application, for all cases of this process and its forks."""
    program = PROGRAMS[name]()
    return program, player.compiled(program, Path(tempfile.mkdtemp(prefix="sensor-")))


def prepare() -> None:
    for name in PROGRAMS:
        application(name)


def drawn_faults(rng: np.random.Generator, program: SensorProgram) -> list[player.Fault]:
    """Up to MOST_FAULTS faults in the first second; values as port_host.c has them."""
    rate = float(program.sensor.rate_hz)
    period_us = 1e6 / rate
    most = {
        "missed": 1, "jitter": 1.5 * period_us, "doubled": 0.9 * period_us, "reset": 1, "dead": 1,
        "spi": 8 * program.sensor.sample_bytes, "stall": 400_000, "slow": 250_000,
    }  # fmt: skip
    last = int(rate * (SECONDS - SHORTEST_S))
    frames = np.sort(rng.choice(last - 100, int(rng.integers(1, MOST_FAULTS + 1)), False)) + 100
    kinds = rng.choice([*most], len(frames))
    return [
        (int(f), str(kind), int(rng.integers(most[kind])))
        for f, kind in zip(frames, kinds, strict=True)
    ]


def played(seed: int, folder: Path) -> Played:
    """A drawn case; an AssertionError of the host's port is one of this function."""
    rng = np.random.default_rng([0x5E45, seed])
    program, app = application([*PROGRAMS][seed % len(PROGRAMS)])
    faults = drawn_faults(rng, program)
    count = int(SECONDS * program.sensor.rate_hz)
    counts = rng.integers(-(2**15), 2**15, (count, program.sensor.channels))
    counts.astype("<i4").tofile(folder / "samples")
    (folder / "faults").write_text("".join(f"{f} {kind} {value}\n" for f, kind, value in faults))
    files = [str(folder / name) for name in ("samples", "faults", "line")]
    ran = subprocess.run(
        [str(app), *files], capture_output=True, text=True, timeout=120, preexec_fn=_without_limit
    )
    assert ran.returncode == 0, ran.stderr[-1000:]
    line = bytes(byte for _, byte in struct.iter_unpack("<QB", (folder / "line").read_bytes()))
    found = [record for _, record in decoded(line)]
    read = with_flips(program, counts, faults)
    return Played(program, player.integers(program, read), faults, found)


def _without_limit() -> None:
    """A campaign's limit of memory is too low for the shadow memory of the sanitizers."""
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def with_flips(program: SensorProgram, counts: Array, faults: Sequence[player.Fault]) -> Array:
    """Counts as they are read: the front end sends no checksum, so that an error in a count is one
    of the signal. Errors in the first four bits of a status are found, and cost the sample."""
    read = counts.copy()
    for frame, kind, value in faults:
        chip, at = divmod(value // 8, CHIP_BYTES)
        if kind == "spi" and at >= STATUS_BYTES:
            channel, byte = divmod(at - STATUS_BYTES, COUNT_BYTES)
            count = read[frame, 8 * chip + channel] & 0xFFFFFF
            count ^= 1 << value % 8 << 8 * (COUNT_BYTES - 1 - byte)
            read[frame, 8 * chip + channel] = count - (count >> 23 << 24)
    return read


# ---- what must hold


def wrong_packets(case: Played) -> Iterator[str]:
    for record in case.found:
        if isinstance(record, BrokenFrame):
            yield f"a broken frame: {record.why}"


def wrong_decisions(case: Played) -> Iterator[str]:
    """Decisions that are not those of the formula, for a window or a stream from a restart on."""
    if case.program.is_stream:
        yield from _wrong_stream(case)
        return
    for decision in case.decisions:
        first = decision.frame - case.program.layout.samples + 1
        values = player.window(case.program, case.q, first)
        expected = player.decision(player.results(case.program, values))
        if (decision.class_index, decision.score) != expected:
            yield f"decision of frame {decision.frame}"


def _wrong_stream(case: Played) -> Iterator[str]:
    """If the line dropped packets before a flag, the stream may have started at any of them."""
    started: list[dict[int, Result]] = []
    before = -1
    for decision in case.decisions:
        dropped = (decision.sequence - before - 1) % 2**16
        before = decision.sequence
        if not started or decision.flags & RESTARTS:
            firsts = (decision.frame - k * case.program.hop for k in range(dropped + 1))
            starts = (first - case.program.layout.samples + 1 for first in firsts)
            possible = (_stream(case, start) for start in starts if start >= 0)
            started = [x for x in possible if decision.frame in x]
        found = (decision.class_index, decision.score)
        started = [x for x in started if x.get(decision.frame) == found]
        if not started:
            yield f"decision of frame {decision.frame}"
            return


def _stream(case: Played, start: int) -> dict[int, Result]:
    return player.stream_decisions(case.program, case.q, start)


def silent_gaps(case: Played) -> Iterator[str]:
    """Decisions that are missing without a flag, and without a number of a dropped packet."""
    numbered = {x.sequence for x in case.found if not isinstance(x, BrokenFrame)}
    for earlier, later in pairwise(case.decisions):
        is_regular = later.frame - earlier.frame == case.program.hop
        between = range(earlier.sequence + 1, later.sequence)
        dropped = [number for number in between if number not in numbered]
        if not is_regular and not later.flags & LOSSES and not dropped:
            yield f"no flag between frames {earlier.frame} and {later.frame}"


def slow_recoveries(case: Played) -> Iterator[str]:
    """No decision within a second of signal after the last fault, or none at the end."""
    frames = [decision.frame for decision in case.decisions]
    ends = [
        frame + (value * 1e-6 * case.rate if kind in DURATIONS else 0.0)
        for frame, kind, value in case.faults
    ]
    if not any(max(ends) < frame < max(ends) + case.rate for frame in frames):
        yield f"no decision within a second after frame {max(ends):.0f}"
    if frames[-1] < len(case.q) - 3 * case.program.hop * case.program.frames:
        yield f"the last decision is of frame {frames[-1]}"
    statuses = [x.frame for x in case.found if isinstance(x, Status)]
    if not statuses or statuses[-1] < len(case.q) - 1.2 * case.rate:
        yield "no status in the last second"


CHECKS = (wrong_packets, wrong_decisions, silent_gaps, slow_recoveries)


def run(seed: int, folder: Path) -> dict[str, Any]:
    case = played(seed, folder)
    problems = [text for check in CHECKS for text in check(case)]
    told = {"program": [*PROGRAMS][seed % len(PROGRAMS)], "faults": case.faults}
    return {"outcome": "wrong" if problems else "exact", "problems": problems[:5], **told}
