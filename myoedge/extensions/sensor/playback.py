# SPDX-License-Identifier: Apache-2.0
"""Playback of a recording by the front end of the simulated chip, to a sensor application."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from myoedge.backends.packets import Decision, Record, decoded
from myoedge.building.config import find
from myoedge.building.energy import coefficients, renewable, with_given_powers
from myoedge.building.model_inputs import given_or_stated
from myoedge.building.operating_points import sooner
from myoedge.building.quantities import positive
from myoedge.errors import MyoedgeError, Notice, command
from myoedge.extensions.sensor.decisions import Compared, Reference, compared
from myoedge.extensions.sensor.gate_playback import (
    accuracy,
    application_power,
    gate_power,
    replace_report_power,
    rested,
)
from myoedge.extensions.sensor.program import JSON, SensorProgram, from_json
from myoedge.extensions.sensor.recording import (
    CODE,
    check_length,
    playback_of,
    recording_of,
    unlike_calibration,
)
from myoedge.extensions.sensor.report import (
    Latency,
    latency_of,
    latency_parts_s,
    latency_s,
    over_latency,
    playback_facts,
    playback_json,
    playback_lines,
    state_rows,
)
from myoedge.extensions.sensor.savings import Saving, savings
from myoedge.extensions.sensor.simulated_run import (
    Located,
    count_lost_samples,
    decision_cycles,
    decisions_before_restart,
    first_frame,
    locate_decisions,
    pass_cycles,
    played_states,
)
from myoedge.numerics.arrays import Array
from myoedge.operators.interpreter import one_blas_thread
from myoedge.power.states import PlayedStates, StatePower
from myoedge.simulator import Fault, RunOptions, Simulation, simulate
from myoedge.system import tools
from myoedge.system.notebook import Card, Tabular
from myoedge.targets import find_chip

if TYPE_CHECKING:
    from myoedge.backends.build import Build

ELF = "sensor.elf"


@dataclass(frozen=True)
class Played(Tabular):
    """Result of playing a recording to a sensor application on the simulated chip.

    frames         samples that the front end delivered
    samples_lost   number of them that the application did not use
    decisions      packets with a decision
    compared       comparison of the decisions with the reference
    latency        time from the last sample's data-ready to the packet's last bit; None: no
                   decision
    power          power and energy of the playback
    records        all packets
    run            counters of the simulated chip
    over           E302 if a decision came later than [budget] latency
    savings        settings that would lower the average power, the best first
    assumed_rate_hz   [sensor] rate, if the recording's file does not specify one
    is_unlabelled   whether the recording's `labels` are no class numbers, one per sample
    unlike         W605 if the recording seems to have another scale than the calibration data
    unwritten      W210 if the reports of the build could not be replaced
    wake           how the gate worked, as in schema playback/1; None without [wake]
    accuracy       share of decisions that are the recording's labels, as in schema playback/1; None
                   without labels
    """

    frames: int
    samples_lost: int
    decisions: tuple[Decision, ...] = field(repr=False)
    compared: Compared = field(repr=False)
    latency: Latency | None
    power: StatePower = field(repr=False)
    records: tuple[Record, ...] = field(repr=False)
    run: Simulation = field(repr=False)
    savings: tuple[Saving, ...] = ()
    over: Notice | None = None
    assumed_rate_hz: float | None = None
    is_unlabelled: bool = False
    unlike: Notice | None = None
    unwritten: Notice | None = None
    wake: Mapping[str, Any] | None = None
    accuracy: Mapping[str, Any] | None = None

    @property
    def exact(self) -> bool:
        """Whether every decision equals the reference and none is missing."""
        return not self.compared.wrong and not self.compared.missing

    def to_json(self) -> dict[str, Any]:
        """Return the result as JSON values, of schema playback/1."""
        document = playback_json(
            self.latency,
            self.power,
            frames=self.frames,
            samples_lost=self.samples_lost,
            decisions=len(self.decisions),
            wrong=len(self.compared.wrong),
            missing=self.compared.missing,
            flagged=sum(bool(decision.events) for decision in self.decisions),
        )
        found = [asdict(saving) for saving in self.savings]
        return {**document, "savings": found, "wake": self.wake, "accuracy": self.accuracy}

    def lines(self) -> list[str]:
        """Return the result as lines of text, with the first decision that differs."""
        return [*playback_lines(self.to_json()), *self._notes()]

    def _notes(self) -> Iterator[str]:
        if not self.exact:
            yield "the reports of the build keep their figures: decisions are wrong or missing"
        if self.assumed_rate_hz is not None:
            yield f"no fs in the file: {self.assumed_rate_hz:g} samples per second assumed"
        if self.is_unlabelled:
            yield "labels are not used: they are no class numbers, one per sample"
        for found, expected in self.compared.wrong[:1]:
            yield f"first difference at sample {found.frame}: {found}, expected {expected}"

    def rows(self) -> list[dict[str, Any]]:
        """Return one row per decision."""
        names = ("frame", "time_us", "class_index", "score", "flags")
        return [{name: getattr(decision, name) for name in names} for decision in self.decisions]

    def _card(self) -> Card:
        document = self.to_json()
        facts = [*playback_facts(document), *(("note", line) for line in self._notes())]
        return Card("playback on the simulated chip", facts, state_rows(document))


def program_of(build: Build) -> SensorProgram:
    """Return the sensor application of a build. Errors: E266 a build without one."""
    if JSON not in build.digests:
        title = f"{build.folder.name} has no sensor application"
        tries = [command("build", "MODEL", "--calib", "FILE", "--app", "sensor")]
        raise MyoedgeError(CODE, title, {}, tries)
    return from_json(json.loads(build.written(JSON)))


def play_step(build: Build, options: Mapping[str, Any]) -> Iterator[str]:
    """Yield the command that plays a recording to a build's sensor application, if it has one."""
    if JSON in build.digests:
        recording = playable_file(build, options)
        played = command("simulate", build.folder, "--play", recording or "FILE")
        yield f"{'' if recording else '# '}{played}   # a recording, as the sensor would send it"


def playable_file(build: Build, options: Mapping[str, Any]) -> str | None:
    """Return the file of the calibration samples, or else of the test samples, if it is a recording
    that the front end of the build can play; None if neither is.

    options   arguments of the build: calib, test, config
    """
    sensor, (settings, base, _) = program_of(build).sensor, find(options["config"])
    stated = {"calib": settings.calib.data, "test": settings.test.data}
    for name, data in stated.items():
        file = given_or_stated(options[name], base, data)
        if isinstance(file, str | Path) and os.path.isfile(file):
            with suppress(MyoedgeError):
                recording_of(sensor, file)
                return str(file)
    return None


def play_build(
    build: Build,
    recording: str | Path | Array,
    seconds: float | None,
    faults: Sequence[Fault],
    progress: Callable[[int, str], None] | None,
    given: Mapping[str, float | None],
) -> Played:
    """Implement verbs.play, which documents the arguments; `given` as of `with_given_powers`."""
    program = program_of(build)
    delivered = recording_of(program.sensor, recording)
    counts = _take_first_seconds(delivered.counts, seconds, float(program.sensor.rate_hz))
    network = build.network if build.stream is None else build.stream.network
    reference = Reference(program, network, build.stream, program.conversion.integers(counts))
    check_length(len(counts), reference.first_samples)
    run = _simulate_playback(build, program, counts, faults, progress)
    found = decoded(run.line)
    first = first_frame(run, program, faults)
    located = locate_decisions(run, decisions_before_restart(found), program, first)
    with one_blas_thread():
        same = compared(reference, [row for _, row in located], first)
    rows = tuple(record for _, record in found if isinstance(record, Decision))
    resting = sum(row.is_resting for row in rows)
    lost = count_lost_samples([x for _, x in found], len(run.ready_cycles), first)
    latency = _latency(run, located, program.clock_hz)
    runs = (-(-(len(rows) - resting) // program.ready), resting)
    states = played_states(program, run, rows, latency)
    states = replace(states, is_sound=not (same.wrong or same.missing or lost))
    is_kept = not (faults or same.wrong or same.missing)
    report = with_given_powers(renewable(build.report, coefficients()), given)
    power = application_power(report, program, states, *runs)
    judged = _judged(reference, [row for _, row in located], delivered.labels, report, power)
    return Played(
        frames=len(run.ready_cycles),
        samples_lost=lost,
        decisions=rows,
        compared=same,
        latency=latency,
        power=power,
        records=tuple(record for _, record in found),
        run=run,
        savings=savings(report, program, power, coefficients(), judged["wake"]),
        assumed_rate_hz=float(program.sensor.rate_hz) if delivered.is_assumed else None,
        is_unlabelled=delivered.is_unlabelled,
        unlike=unlike_calibration(program.conversion, counts),
        over=_too_late(latency, report, states),
        unwritten=replace_report_power(build, given, states, judged["wake"]) if is_kept else None,
        **judged,
    )


def _latency(run: Simulation, located: Sequence[Located], clock_hz: int) -> Latency | None:
    """Return the distribution of the decisions' latencies, and of their parts with a pass; None
    without a decision."""
    awake = [(end, row) for end, row in located if not row.is_resting]
    parts = latency_parts_s(*decision_cycles(run, awake), pass_cycles(run), clock_hz)
    return latency_of(latency_s(*decision_cycles(run, located), clock_hz), parts)


def _judged(
    reference: Reference,
    located: Sequence[Decision],
    labels: Array | None,
    report: Mapping[str, Any],
    power: StatePower,
) -> dict[str, Any]:
    """Return the entries `wake` and `accuracy` of schema playback/1.

    report, power   of the application's build and of the playback
    """
    samples, program = len(reference.integers), reference.program
    rows = [row for row in located if row.frame < samples]
    with one_blas_thread():
        decided = reference.network_classes(rows)
    wake = rested(program, labels, rows, decided, samples)
    if wake is not None:
        wake |= gate_power(program, report, wake, power, coefficients())
    return {"wake": wake, "accuracy": accuracy(program, labels, rows, decided)}


def _take_first_seconds(counts: Array, seconds: float | None, rate_hz: float) -> Array:
    if seconds is None:
        return counts
    return counts[: max(round(positive(seconds, "seconds") * rate_hz), 1)]


def _too_late(
    latency: Latency | None, report: Mapping[str, Any], states: PlayedStates
) -> Notice | None:
    """Return E302 if a decision came later than [budget] latency allows, with remedies of which the
    played clock is none."""
    chip = find_chip(report["target"]["chip"]).at(report["target"]["operating_point"])
    played = {**report, "played": states.to_json()}
    limit_s = (report.get("budget") or {}).get("latency_s")
    return over_latency(latency, limit_s, partial(sooner, played, chip, coefficients()))


# --- the run --------------------------------------------------------------------------------------


def _simulate_playback(
    build: Build,
    program: SensorProgram,
    counts: Array,
    faults: Sequence[Fault],
    progress: Callable[[int, str], None] | None,
) -> Simulation:
    with tools.scratch() as folder:
        for name, image in build.images.items():
            (folder / name).write_bytes(image)
        return simulate(
            build.written(ELF),
            folder=folder,
            options=RunOptions(mark_counts=False),
            playback=playback_of(program, counts, faults, len(build.host_image or b"")),
            progress=progress,
        )
