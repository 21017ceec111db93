# SPDX-License-Identifier: Apache-2.0
"""Drawn faults of front end, line and network: sensor applications on the simulated chip."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

import myoedge
from myoedge.backends.build import Build
from myoedge.backends.packets import BrokenFrame, Decision
from myoedge.extensions.sensor.playback import Played, program_of
from myoedge.extensions.sensor.program import SensorProgram
from myoedge.simulator import Fault
from tests.extensions.sensor import applications
from tests.fuzz.sensors import LOSSES, MOST_FAULTS

SECONDS, SHORTEST_S = 2.5, 1.5  # of signal: all, and after the last fault
DURATIONS = ("stall", "hold")
LATEST_CLOCK_S = 2e-6  # of a change of the clock
BLOCK_SAMPLES = 150  # of rest, or of a gesture

APPLICATIONS = ("chip", "chip stream", "chain", "stream")
GATED, FIRST_GATED = ("gated", "early exit"), 100_000  # of seeds from here on
# At two clocks, of seeds from here on
CLOCKED, FIRST_CLOCKED = (
    {
        "chip": "240/10 MHz",
        "chip stream": "80/10 MHz",
        "chain": "240/30 MHz",
        "gated": "370/10 MHz",
    },
    200_000,
)


@functools.cache
def application(name: str) -> Build:
    """A built application, for all cases of this process and its forks."""
    return applications.made(Path(tempfile.mkdtemp(prefix="playback-")), name)


def names_from(seed: int) -> tuple[str, ...]:
    if seed < FIRST_GATED:
        return APPLICATIONS
    return GATED if seed < FIRST_CLOCKED else tuple(map(" at ".join, CLOCKED.items()))


def prepare() -> None:
    for first in (0, FIRST_GATED, FIRST_CLOCKED):
        for name in names_from(first):
            application(name)


def name_of(seed: int) -> str:
    names = names_from(seed)
    return names[seed % len(names)]


def drawn_faults(rng: np.random.Generator, program: SensorProgram) -> list[Fault]:
    """Up to MOST_FAULTS faults in the first second, at any cycle; in every third case a run of
    data-readies that do not come, from any frame on."""
    sensor = program.sensor
    clock_hz = program.clock_hz
    period = clock_hz / float(sensor.rate_hz)
    most = {
        "missed": 1, "jitter": 1.5 * period, "doubled": 0.9 * period, "bit": 8 * 3, "reset": 1,
        "stall": 0.4 * clock_hz, "hold": 0.25 * clock_hz, "rise": 0.05 * clock_hz, "wake": 5,
    }  # fmt: skip
    if program.clock.waiting > 1:
        most["clock"] = LATEST_CLOCK_S * clock_hz
    if sensor.kind is None:  # no reset, no status word
        del most["reset"], most["bit"]
    count = int(rng.integers(1, MOST_FAULTS + 1))
    last = int(float(sensor.rate_hz) * (SECONDS - SHORTEST_S))
    frames = np.sort(rng.choice(last - 60, count, False)) + 60
    kinds = rng.choice([*most], count)
    found = [
        Fault(int(f), str(kind), int(rng.integers(most[kind])))
        for f, kind in zip(frames, kinds, strict=True)
    ]
    if rng.integers(3) == 0:
        first = int(rng.choice([0, rng.integers(last)]))
        found += [Fault(f, "missed") for f in range(first, int(rng.integers(first, last)) + 1)]
    return sorted(found, key=lambda fault: fault.frame)


def played(seed: int) -> tuple[Played, SensorProgram, list[Fault]]:
    """A drawn case. A "bit" is one of the first chip's status word, as others make counts wrong
    that nothing protects."""
    rng = np.random.default_rng([0x44, seed])
    build = application(name_of(seed))
    program = program_of(build)
    faults = drawn_faults(rng, program)
    shape = (int(SECONDS * program.sensor.rate_hz), program.sensor.channels)
    signal = rng.normal(0, 40.0, shape)  # microvolts, or counts of 8 bits
    if program.gate is not None:  # rest and gestures in turn
        blocks = rng.choice([0.02, 1.0], -(-shape[0] // BLOCK_SAMPLES))
        signal *= np.repeat(blocks, BLOCK_SAMPLES)[: shape[0], None]
    return myoedge.play(build, signal, faults=faults), program, faults


# ---- what must hold


def wrong_packets(found: Played) -> Iterator[str]:
    for record in found.records:
        if isinstance(record, BrokenFrame):
            yield f"a broken frame: {record.why}"
    for decision, expected in found.compared.wrong:
        yield f"{decision} is not {expected}"


def silent_gaps(found: Played, program: SensorProgram) -> Iterator[str]:
    """Decisions that are missing without a flag, and without a number of a dropped packet."""
    numbered = {x.sequence for x in found.records if not isinstance(x, BrokenFrame)}
    for earlier, later in pairwise(found.decisions):
        between = range(earlier.sequence + 1, later.sequence)
        dropped = [number for number in between if number not in numbered]
        is_regular = later.frame - earlier.frame == program.hop
        if not is_regular and not later.flags & LOSSES and not dropped:
            yield f"no flag between frames {earlier.frame} and {later.frame}"


def slow_recoveries(found: Played, program: SensorProgram, faults: list[Fault]) -> Iterator[str]:
    """No decision within a second of signal after the last fault, or none at the end."""
    rate = float(program.sensor.rate_hz)
    last = max(
        x.frame + (x.value / program.clock_hz * rate) * (x.kind in DURATIONS) for x in faults
    )
    frames = [x.frame for x in found.records if isinstance(x, Decision)]
    if not any(last < frame < last + rate for frame in frames):
        yield f"no decision within a second after frame {last:.0f}"
    if frames[-1] < found.frames - 3 * program.hop * program.frames:
        yield f"the last decision is of frame {frames[-1]}"


def run(seed: int, folder: Path) -> dict[str, Any]:
    del folder
    found, program, faults = played(seed)
    problems = [*wrong_packets(found), *silent_gaps(found, program)]
    problems += slow_recoveries(found, program, faults)
    told = {"program": name_of(seed), "faults": [*map(str, faults)]}
    return {"outcome": "wrong" if problems else "exact", "problems": problems[:5], **told}
