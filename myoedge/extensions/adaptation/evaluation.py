# SPDX-License-Identifier: Apache-2.0
"""Evaluation of adaptation: sessions of several lengths with every method, on the host or the
simulated chip."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from myoedge.backends.measurement import Activity
from myoedge.building.energy import coefficients
from myoedge.building.simulate import samples_for
from myoedge.extensions.adaptation.commands import HELD_BACK, Command, Window, decisions, session
from myoedge.extensions.adaptation.head import LAST_UPDATES, UPDATES
from myoedge.extensions.adaptation.record import l2_bytes
from myoedge.extensions.adaptation.running import (
    Run,
    check_method,
    inferences,
    runner,
    settings_of,
    windows_of,
)
from myoedge.extensions.adaptation.warnings import missing_classes, unlike_decisions
from myoedge.numerics.arrays import Array
from myoedge.power.model import energy
from myoedge.quantization.holdout import TEST
from myoedge.reports import near_memory, wording
from myoedge.system.notebook import Card, Tabular
from myoedge.targets import find_chip

if TYPE_CHECKING:
    from myoedge.backends.build import Build
    from myoedge.errors import Notice
    from myoedge.extensions.adaptation.commands import Answer
    from myoedge.quantization.samples import Data, Given
    from myoedge.targets.chip import OperatingPoint

SECONDS = (1.0, 2.0, 4.0, 7.5, 15.0, 30.0)  # seconds of a session, all classes together
SHARES = (0.125, 0.25, 0.5, 1.0)  # fractions of the windows, if their duration is unknown


@dataclass(frozen=True)
class Times:
    """Durations of the labelled windows of a session.

    every_s    seconds between the starts of two windows of a class
    window_s   seconds that a window covers
    """

    every_s: float
    window_s: float

    def windows(self, seconds: float) -> int:
        """Return the number of windows of one class in the given seconds of signal."""
        return max(math.floor((seconds - self.window_s) / self.every_s + 1e-9) + 1, 0)

    def seconds(self, windows: int) -> float:
        """Return the seconds of signal that the given number of windows of one class covers: the
        inverse of windows()."""
        return round(self.window_s + (windows - 1) * self.every_s, 9)


@dataclass(frozen=True)
class AdaptedRow:
    """Result of one session of adaptation.

    method            "prototypes", "lda" or "head"
    seconds           duration of all classes together; None: unknown
    windows           number of labelled windows
    accuracy_before   percentage of test windows that the network decides correctly
    accuracy_after    the same with the session's classifier
    accuracy_old_session   accuracy_after on windows of the old session; None without
    judged            whether windows were held back, which evaluate the new classifier; never by
                      norm
    in_force          whether the session's classifier or normalisation is used from now on
    cycles_per_step   cycles per labelled window; for the head, per update; None on the host
    cycles_end        cycles of the end of the session, including all updates of the head
    time_us_per_step, energy_uj_per_step   time and energy of cycles_per_step at the build's
                                           operating point, with one instruction per cycle
    """

    method: str
    seconds: float | None
    windows: int
    accuracy_before: float
    accuracy_after: float
    accuracy_old_session: float | None
    judged: bool
    in_force: bool
    cycles_per_step: int | None = None
    cycles_end: int | None = None
    time_us_per_step: float | None = None
    energy_uj_per_step: float | None = None

    @property
    def gained(self) -> bool:
        """Whether the new classifier was better on held-back windows; False if nothing judged."""
        return self.judged and self.in_force


@dataclass(frozen=True)
class Adapted(Tabular):
    """Results of several sessions of adaptation.

    on         name of the backend
    sessions   one result per session
    exact      whether the chip's results equal those of the C on the host; None on the host
    l2_bytes   bytes of the adaptation's arrays in L2, or in RAM
    memory     name of that memory
    point      operating point of times and energies; None without cycles
    warnings   W212 classes without windows; W207, W209, W211 about the test windows
    """

    on: str
    sessions: tuple[AdaptedRow, ...]
    exact: bool | None
    l2_bytes: int
    memory: str
    point: OperatingPoint | None = None
    warnings: tuple[Notice, ...] = ()

    def rows(self) -> list[dict[str, Any]]:
        """Return one row per session."""
        return [{**asdict(row), "gained": row.gained} for row in self.sessions]

    def _card(self) -> Card:
        facts: list[tuple[str, object]] = [
            ("equal to the C on the host", self.exact),
            (f"{self.memory}, bytes", self.l2_bytes),
        ]
        if self.point is not None:
            facts += [("operating point", wording.at_point(self.point.volts, self.point.clock_hz))]
        return Card(f"adaptation, on {self.on}", facts, self.rows())


@dataclass(frozen=True)
class LabelledWindows:
    """Windows with their true classes, the commands by which they were inferred, and the samples
    that they were cut from."""

    windows: Sequence[Window]
    labels: Array
    inferences: Sequence[Command]
    data: Data

    def brought(self, method: str, numbers: Iterable[int]) -> list[Window | Command]:
        """Return windows in the form that a method of adaptation needs.

        For "norm", which changes the network's input, these are commands that run the network;
        otherwise features and decisions.
        numbers   indices of the windows
        """
        if method == "norm":
            return [self.inferences[i] for i in numbers]
        return [self.windows[i] for i in numbers]

    def accuracy(self, decided: Array) -> float:
        """Return the percentage of windows that were decided correctly.

        decided   class of each window
        """
        return 100.0 * float(np.mean(decided == self.labels))


def adapted(
    build: Build,
    data: Given,
    test: Given,
    old: Given | None,
    on: str,
    methods: Sequence[str],
    times: Times | None,
) -> Adapted:
    """Implement api.adapt, which documents the arguments. Errors: as samples_for, E204, E268.

    times   None: unknown
    """
    run = runner(build, on)
    for method in methods:
        check_method(build, method)
    new, tested = (
        _run_labelled(build, run, data, "--data"),
        _run_labelled(build, run, test, "--test"),
    )
    before = None if old is None else _run_labelled(build, run, old, "--old")
    sets = [tested] if before is None else [tested, before]
    rows, differing = [], 0
    for method, seconds, commands in _sessions(build, methods, new, sets, times):
        answers = run(commands)
        differing += on != "host" and not _matches_host(build, commands, answers)
        rows.append(_session_result(build, method, seconds, answers, sets))
    same = None if on == "host" else not differing
    decided = [window.decision for window in tested.windows]
    warnings = (
        *missing_classes(new.data, new.labels.tolist(), settings_of(build).classes),
        *unlike_decisions(build, tested.data, tested.labels.tolist(), decided, TEST),
    )
    point = _operating_point(build) if any(row.cycles_end for row in rows) else None
    used = l2_bytes(settings_of(build), in_flash=near_memory.has_flash(build.report))
    memory = near_memory.name(build.report)
    return Adapted(on, tuple(rows), same, used, memory, point, warnings)


def _matches_host(build: Build, commands: Sequence[Command], answers: Sequence[Answer]) -> bool:
    """Return whether the C code compiled for this computer gives the same answers to commands."""
    expected = runner(build, "host")(commands)
    return [answer.result for answer in expected] == [answer.result for answer in answers]


def _run_labelled(build: Build, run: Run, given: Given, option: str) -> LabelledWindows:
    """Run the network on labelled samples, or a stream on recordings; return the windows."""
    data = samples_for(build, given, option, any_length=True)
    found = inferences(build, data)
    commands, labels = [command for command, _ in found], [label for _, label in found]
    return LabelledWindows(windows_of(run, commands), np.array(labels), commands, data)


def _sessions(
    build: Build,
    methods: Sequence[str],
    new: LabelledWindows,
    sets: Sequence[LabelledWindows],
    times: Times | None,
) -> Iterator[tuple[str, float | None, list[Command]]]:
    """Yield (method, seconds, commands) per session; its decisions on all sets follow it."""
    for method in methods or settings_of(build).methods:
        for seconds, picked in _sessions_by_length(new.labels, times):
            commands = [*session(method, new.brought(method, picked), new.labels[picked])]
            for one in sets:
                commands += decisions(one.brought(method, range(len(one.labels))))
            yield method, seconds, commands


def _sessions_by_length(labels: Array, times: Times | None) -> Iterator[tuple[float | None, Array]]:
    """Yield (seconds, window indices) per session: the first windows of each class; one session
    with all windows if no length of SECONDS fits."""
    rows = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    if times is not None:
        yield from _split_by_seconds(rows, times)
        return
    shares = {tuple(round(share * len(row)) for row in rows): None for share in SHARES}
    for counts in shares:  # each number of windows once
        if any(counts):
            yield None, _first_rows(rows, counts)


def _split_by_seconds(rows: Sequence[Array], times: Times) -> Iterator[tuple[float, Array]]:
    longest = max(map(len, rows))
    lengths = {seconds: times.windows(seconds / len(rows)) for seconds in SECONDS}
    # A class may have one window fewer than a length needs.
    fitting = {seconds: n for seconds, n in lengths.items() if 0 < n <= longest + 1}
    for seconds, n in (fitting or {times.seconds(longest) * len(rows): longest}).items():
        yield seconds, _first_rows(rows, [n] * len(rows))


def _first_rows(rows: Sequence[Array], counts: Sequence[int]) -> Array:
    return np.sort(np.concatenate([row[:n] for row, n in zip(rows, counts, strict=True)]))


def _session_result(
    build: Build,
    method: str,
    seconds: float | None,
    answers: Sequence[Answer],
    sets: Sequence[LabelledWindows],
) -> AdaptedRow:
    """Return the result of one session from the program's answers."""
    count = (len(answers) - 2) // 2 - sum(len(one.windows) for one in sets)
    given = iter(answers)
    learnt = [*islice(given, 1 + 2 * count)][2::2]
    end = next(given)
    after = [
        one.accuracy(np.array([x.result for x in islice(given, 2 * len(one.windows))][1::2]))
        for one in sets
    ]
    before = sets[0].accuracy(np.array([window.decision for window in sets[0].windows]))
    old = after[1] if len(after) > 1 else None
    judged = any(answer.result == HELD_BACK for answer in learnt)
    in_force = end.result == 1
    row = AdaptedRow(method, seconds, count, before, after[0], old, judged, in_force)
    if not end.cycles:
        return row
    return _add_step_costs(build, row, [x.cycles for x in learnt], end.cycles)


def _operating_point(build: Build) -> OperatingPoint:
    target = build.report["target"]
    return find_chip(target["chip"]).at(target["operating_point"]).point


def _add_step_costs(
    build: Build, row: AdaptedRow, cycles: Sequence[int], cycles_end: int
) -> AdaptedRow:
    """Return the result with the cycles, time and energy of a step.

    cycles       of each label that is learnt
    cycles_end   of the end of the session
    """
    updates = UPDATES + LAST_UPDATES * row.in_force
    point = _operating_point(build)
    step = round(cycles_end / updates if row.method == "head" else np.mean(cycles))
    consumed = energy(Activity(step, fc_instructions=step), point, coefficients())
    time_us, energy_uj = 1e6 * step / point.clock_hz, 1e6 * consumed.joules
    return replace(
        row,
        cycles_per_step=step,
        cycles_end=cycles_end,
        time_us_per_step=time_us,
        energy_uj_per_step=energy_uj,
    )
