# SPDX-License-Identifier: Apache-2.0
"""Playback of a recording by the front end of the simulated chip, to a sensor application."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from myoedge.backends.packets import Decision, Record, Start, Status, decoded, sample_message
from myoedge.backends.simulator import activity_of
from myoedge.building.decisions import Compared, Reference, compared
from myoedge.building.energy import coefficients
from myoedge.codegen.sensor import CLOCK_HZ
from myoedge.codegen.sensor_program import JSON, SensorProgram, from_json
from myoedge.errors import MyoedgeError, Notice
from myoedge.numerics.arrays import Array
from myoedge.operators.interpreter import one_blas_thread
from myoedge.power.playback import PlaybackPower, playback_power
from myoedge.quantization.recordings.files import read_file
from myoedge.quantization.recordings.reading import Reading
from myoedge.reports.energy import activity
from myoedge.reports.playback import (
    Latency,
    latency_of,
    latency_s,
    over_latency,
    playback_json,
    playback_lines,
)
from myoedge.simulator import Fault, Playback, Simulation, simulate
from myoedge.system import tools
from myoedge.system.notebook import Card, Tabular
from myoedge.targets import find_chip
from myoedge.targets.sensor import NOT_WIRED, Sensor

if TYPE_CHECKING:
    from myoedge.backends.build import Build

CODE = "E266"
ELF = "sensor.elf"
TAIL_S = 0.05  # after the last sample: its pass, its packets, a last status
RATES = ("fs", "rate", "sampling_rate", "sample_rate")  # scalars of a file


@dataclass(frozen=True)
class Played(Tabular):
    """Result of playing a recording to a sensor application on the simulated chip.

    frames         samples that the front end delivered
    samples_lost   number of them that the application did not use
    decisions      packets with a decision
    compared       comparison of the decisions with the reference
    latency        from the last sample's data-ready to the packet's last bit; None: no decision
    power          power and energy of the playback
    records        all packets
    run            counters of the simulated chip
    over           E302 if a decision came later than [budget] latency
    """

    frames: int
    samples_lost: int
    decisions: tuple[Decision, ...] = field(repr=False)
    compared: Compared = field(repr=False)
    latency: Latency | None
    power: PlaybackPower = field(repr=False)
    records: tuple[Record, ...] = field(repr=False)
    run: Simulation = field(repr=False)
    over: Notice | None = None

    @property
    def exact(self) -> bool:
        """Whether every decision equals the reference and none is missing."""
        return not self.compared.wrong and not self.compared.missing

    def to_json(self) -> dict[str, Any]:
        """Return the result as JSON values, of schema playback/1."""
        return playback_json(
            self.latency,
            self.power,
            exact=self.exact,
            frames=self.frames,
            samples_lost=self.samples_lost,
            decisions=len(self.decisions),
            flagged=sum(bool(decision.flags) for decision in self.decisions),
        )

    def lines(self) -> list[str]:
        """Return the result as lines of text, with the first decision that differs."""
        lines = playback_lines(self.to_json())
        for found, expected in self.compared.wrong[:1]:
            lines.append(f"first difference at sample {found.frame}: {found}, expected {expected}")
        return lines

    def rows(self) -> list[dict[str, Any]]:
        """One row per decision."""
        names = ("frame", "time_us", "class_index", "score", "flags")
        return [{name: getattr(decision, name) for name in names} for decision in self.decisions]

    def _card(self) -> Card:
        facts = [("", line) for line in self.lines()]
        return Card(f"{len(self.decisions):,} decisions", facts, self.rows()[:10])


def program_of(build: Build) -> SensorProgram:
    """Return the sensor application of a build. Errors: E266 a build without one."""
    if JSON not in build.digests:
        title = f"{build.folder.name} has no sensor application"
        raise MyoedgeError(CODE, title, {"needs": "a build with --app sensor"})
    return from_json(json.loads(build.written(JSON)))


def play_build(
    build: Build,
    recording: str | Path | Array,
    seconds: float | None,
    faults: Sequence[Fault],
    progress: Callable[[int, str], None] | None,
) -> Played:
    """Implement api.play, which documents the arguments."""
    program = program_of(build)
    counts = counts_of(program.sensor, recording)
    if seconds is not None:
        counts = counts[: max(round(seconds * program.sensor.rate_hz), 1)]
    run = _simulated(build, program, counts, faults, progress)
    found = decoded(run.line)
    network = build.network if build.stream is None else build.stream.network
    integers = program.conversion.integers(counts)
    with one_blas_thread():
        reference = Reference(program, network, build.stream, integers)
        same = compared(reference, _located(run, _of_first_start([x for _, x in found])))
    rows = tuple(record for _, record in found if isinstance(record, Decision))
    latency = latency_of(latency_s(*_times(run, found), CLOCK_HZ))
    return Played(
        frames=len(run.ready_cycles),
        samples_lost=_lost([record for _, record in found], len(run.ready_cycles)),
        decisions=rows,
        compared=same,
        latency=latency,
        power=_power(build, run, -(-len(rows) // program.ready)),
        records=tuple(record for _, record in found),
        run=run,
        over=over_latency(latency, (build.report.get("budget") or {}).get("latency_s")),
    )


# --- the recording --------------------------------------------------------------------------------


def counts_of(sensor: Sensor, recording: str | Path | Array) -> Array:
    """Convert a recording to the converter's integers (counts), int32 [samples, channels], rounded
    and saturated.

    Errors: E266 other channels, or another rate; as reading samples.
    """
    if isinstance(recording, str | Path):
        recording = _array_of(Path(recording), sensor)
    signal = np.asarray(recording)
    if signal.ndim != 2 or signal.shape[1] != sensor.channels or not len(signal):
        needs = f"[samples, {sensor.channels}]"
        raise _unplayable(needs, list(signal.shape), "transpose it, or change [sensor] channels")
    low, high = sensor.count_limits
    counts = np.rint(signal.astype(np.float64) / float(sensor.count_units))
    return np.asarray(np.clip(counts, low, high), np.int32)


def _array_of(path: Path, sensor: Sensor) -> Array:
    arrays = read_file(path, Reading()).arrays
    for name in RATES:
        rate = arrays.get(name)
        if rate is not None and rate.size == 1 and Fraction(float(rate)) != sensor.rate_hz:
            has = f"{name} = {float(rate):g}"
            needs = f"{float(sensor.rate_hz):g} samples per second"
            raise _unplayable(needs, has, f"resample it to {needs}, or change [sensor] rate")
    shapes = {name: x.shape for name, x in arrays.items()}
    names = [n for n, shape in shapes.items() if len(shape) == 2 and shape[1] == sensor.channels]
    if len(names) != 1:
        needs = f"one array [samples, {sensor.channels}]"
        raise _unplayable(needs, shapes, "transpose it, or change [sensor] channels")
    return arrays[names[0]]


def _unplayable(needs: str, has: object, remedy: str) -> MyoedgeError:
    title = "the recording does not fit the sensor application"
    return MyoedgeError(CODE, title, {"needs": needs, "has": has}, [remedy])


# --- the run --------------------------------------------------------------------------------------


def playback_of(sensor: Sensor, counts: Array, faults: Sequence[Fault] = ()) -> Playback:
    """Return the simulated front end, wired as in [sensor], that delivers these counts."""
    pins = {name: getattr(sensor.pins, name) for name in ("data_ready", "start", "reset")}
    is_chip = sensor.kind is not None
    return Playback(
        counts=counts if is_chip else on_the_line(sensor, counts),
        rate_hz=sensor.rate_hz,
        clock_hz=CLOCK_HZ,
        front_end=sensor.front_end,
        chips=sensor.chips,
        spi=sensor.spi,
        chip_select=sensor.chip_select,
        uart=sensor.uart,
        **{name: None if pin == NOT_WIRED else pin for name, pin in pins.items()},
        start_s=0.0 if is_chip else 0.01,
        tail_s=TAIL_S,
        faults=faults,
    )


def on_the_line(sensor: Sensor, counts: Array) -> Array:
    """Return the bytes that a device other than a chip sends for each sample, uint8 [samples,
    bytes]."""
    width = -(-sensor.bits // 8)
    shifts = 8 * np.arange(width - 1, -1, -1)
    bits = counts.astype(np.int64)[:, :, None] >> shifts & 0xFF
    rows = bits.reshape(len(counts), -1).astype(np.uint8)
    if sensor.is_on_line:
        lines = [sample_message(number, row.tobytes()) for number, row in enumerate(rows)]
        return np.frombuffer(b"".join(lines), np.uint8).reshape(len(lines), -1)
    return np.pad(rows, ((0, 0), (sensor.header_bytes, 0)))


def _simulated(
    build: Build,
    program: SensorProgram,
    counts: Array,
    faults: Sequence[Fault],
    progress: Callable[[int, str], None] | None,
) -> Simulation:
    with tools.scratch() as folder:
        if build.l3_image is not None:
            (folder / "l3.bin").write_bytes(build.l3_image)
        return simulate(
            build.written(ELF),
            folder=folder,
            playback=playback_of(program.sensor, counts, faults),
            progress=progress,
        )


def _times(run: Simulation, found: Sequence[tuple[int, Record]]) -> tuple[Array, Array]:
    """Return for each decision the cycles of its last sample's data-ready and of its last bit."""
    events = zip(run.ready_frames, run.ready_cycles, strict=True)
    ready = dict(reversed([*events]))  # of a frame that is told twice, the first time
    pairs = [
        (ready[record.frame], run.line_cycles[end])
        for end, record in found
        if isinstance(record, Decision) and record.frame in ready
    ]
    starts, ends = zip(*pairs, strict=True) if pairs else ((), ())
    return np.array(starts, np.int64), np.array(ends, np.int64)


def _located(run: Simulation, decisions: Sequence[Decision]) -> list[Decision]:
    """Return the decisions, each with the number of its last sample in the recording.

    After a reset of the front end these differ: the program counts periods, the front end the
    samples that it delivers. Both agree on the time of each data-ready.
    """
    first = next((row for row in decisions if not row.flags), None)
    if first is None:
        return [*decisions]
    cycles = np.asarray(run.ready_cycles, np.int64)
    start = cycles[list(run.ready_frames).index(first.frame)]
    times_s = np.array([row.time_us - first.time_us for row in decisions]) / 10**6
    halfway = (cycles[1:] + cycles[:-1]) // 2
    nearest = np.searchsorted(halfway, start + times_s * CLOCK_HZ)
    return [
        replace(row, frame=run.ready_frames[at]) for row, at in zip(decisions, nearest, strict=True)
    ]


def _of_first_start(records: Sequence[Record]) -> list[Decision]:
    """Return the decisions before the program started again, which counts samples from 0 again."""
    starts = [at for at, record in enumerate(records) if isinstance(record, Start)]
    ended = starts[1] if len(starts) > 1 else len(records)
    return [record for record in records[:ended] if isinstance(record, Decision)]


def _lost(records: Sequence[Record], frames: int) -> int:
    """Return the samples that were lost by the last status; all, if no decision came."""
    if not any(isinstance(record, Decision) for record in records):
        return frames
    return max((record.frames_lost for record in records if isinstance(record, Status)), default=0)


def _power(build: Build, run: Simulation, passes: int) -> PlaybackPower:
    chip = find_chip(str(build.manifest.get("target")))
    point = replace(chip.point, clock_hz=CLOCK_HZ)
    states = run.state_cycles
    total, one = activity_of(run), activity(build.report)
    return playback_power(total, one, passes, states, point, coefficients())
