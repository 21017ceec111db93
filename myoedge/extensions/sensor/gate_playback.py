# SPDX-License-Identifier: Apache-2.0
"""A gate in a playback: rests, wake-ups, onsets, and the accuracy by the recording's labels; power
of the application's states, also in the reports of its build."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from myoedge.backends.measurement import Activity
from myoedge.backends.packets import Decision
from myoedge.building.build_files import changed_report
from myoedge.building.energy import coefficients, renewable, with_given_powers
from myoedge.building.loading import GATE
from myoedge.building.operating_points import at_operating_point
from myoedge.errors import Notice
from myoedge.extensions.sensor.clocks import GATE_CYCLES, GATE_INSTRUCTIONS
from myoedge.extensions.sensor.program import SensorProgram
from myoedge.numerics.arrays import Array
from myoedge.power.model import Coefficients, energy
from myoedge.power.states import PlayedStates, StatePower, in_state
from myoedge.reports.energy import activity, battery_of, module_powers, of_first_layers
from myoedge.targets import find_chip

if TYPE_CHECKING:
    from myoedge.backends.build import Build


Classes = Sequence[int | None]  # by window: what a network decides


def rested(
    program: SensorProgram,
    labels: Array | None,
    rows: Sequence[Decision],
    network: Classes,
    samples: int,
) -> dict[str, Any] | None:
    """Return how a gate worked in a playback, the entry `wake` of schema playback/1; None without
    a gate.

    labels    class of each sample of the recording; None: unknown
    rows      decisions in order
    network   the class that the network decides on each of their windows
    samples   of the recording
    A gesture is a run of windows with another label of their last sample than `rest`; without
    labels, for which the network decides another class. Its onset is the first window for which the
    network decides another class; a gesture without one does not count. The gate misses it if the
    network runs on none of these windows.
    """
    gate = program.gate
    if gate is None:
        return None
    resting = [row.is_resting for row in rows]
    wake_ups = sum(before and not after for before, after in pairwise(resting))
    return {
        "passes": len(resting) - sum(resting),
        "resting": sum(resting),
        "overruled": sum(
            rests and found != gate.rest for rests, found in zip(resting, network, strict=True)
        ),
        "wake_ups_per_minute": float(60 * wake_ups * program.sensor.rate_hz / samples),
        "false_wake_ups": _false_wake_ups(resting, network, gate.rest),
        **_onsets(program, labels, rows, network),
        "threshold": gate.threshold,
    }


def _onsets(
    program: SensorProgram, labels: Array | None, rows: Sequence[Decision], network: Classes
) -> dict[str, Any]:
    """Return the numbers of onsets, of those that the gate misses, and of those that it delays."""
    gate = program.gate
    assert gate is not None, "called for programs with a gate"
    resting = [row.is_resting for row in rows]
    truth = network if labels is None else [_class(labels[row.frame], program) for row in rows]
    gestures = [*_gestures(resting, network, truth, gate.rest)]
    delays = [with_gate - alone for alone, with_gate in gestures if with_gate is not None]
    return {
        "onsets": len(gestures),
        "missed_onsets": len(gestures) - len(delays),
        "late_onsets": sum(delay > 0 for delay in delays),
        "latest_s": float(max(delays, default=0) * program.hop / program.sensor.rate_hz),
    }


def _gestures(
    resting: Sequence[bool], network: Classes, truth: Classes, rest: int
) -> Iterator[tuple[int, int | None]]:
    """Yield for each gesture after a rest that the network finds, the first window of the gesture
    for which it decides another class than rest, and the first one of them with the gate; None: on
    none of them it runs.

    truth   class of each window; None: unknown, as at rest
    """
    windows = zip(resting, network, truth, strict=True)
    runs = groupby(windows, lambda window: window[2] not in (rest, None))
    for number, (is_gesture, of_run) in enumerate(runs):
        found = [(at, rests) for at, (rests, decided, _) in enumerate(of_run) if decided != rest]
        if is_gesture and number > 0 and found:
            with_gate = (at for at, rests in found if not rests)
            yield found[0][0], next(with_gate, None)


def _false_wake_ups(resting: Sequence[bool], network: Classes, rest: int) -> int:
    """Return the number of wake-ups after which the network decides `rest` until it rests again."""
    runs = groupby(zip(resting, network, strict=True), lambda row: row[0])
    found = (
        all(decided == rest for _, decided in windows)
        for number, (is_resting, windows) in enumerate(runs)
        if not is_resting and number > 0
    )
    return sum(found)


def accuracy(
    program: SensorProgram, labels: Array | None, rows: Sequence[Decision], network: Classes
) -> dict[str, Any] | None:
    """Return the share of decisions that are the label of their window, the entry `accuracy` of
    schema playback/1; None without labels.

    labels    class of each sample; other numbers than those of the network's classes: unknown
    network   the class that the network decides on each window, without a gate
    Windows with samples of several labels are left out.
    """
    if labels is None:
        return None
    window = program.layout.samples
    judged = [
        (row.class_index == label, decided == label)
        for row, decided in zip(rows, network, strict=True)
        if (label := _label(labels[row.frame + 1 - window : row.frame + 1], program)) is not None
    ]
    if not judged:
        return None
    shares = np.mean(judged, axis=0)
    return {
        "windows": len(judged),
        "decisions": float(shares[0]),
        "network": None if program.gate is None else float(shares[1]),
    }


def _label(labels: Array, program: SensorProgram) -> int | None:
    return _class(labels[0], program) if bool((labels == labels[0]).all()) else None


def _class(label: int, program: SensorProgram) -> int | None:
    """Return a label if it is a class of the network, otherwise None."""
    is_class = label >= 0 and (program.classes == "index" or label < program.results)
    return int(label) if is_class else None


# --- what the gate saves and costs ----------------------------------------------------------------


def gate_power(
    program: SensorProgram,
    report: Mapping[str, Any],
    wake: Mapping[str, Any],
    power: StatePower,
    by: Coefficients,
) -> dict[str, float]:
    """Return the power of a gate and its saving in a playback, in watts: entries of `wake` of
    schema playback/1.

    report   report of the application's build
    wake     entries of `rested`
    power    power of the playback
    Without the gate, the network runs on each window. What runs takes more than a chip that waits
    meanwhile; nothing else is different.
    """
    gate, clock = program.gate, program.clock
    point, slow = (replace(program.point, clock_hz=hz) for hz in (clock.hz, clock.waiting_hz))
    assert gate is not None, "called for programs with a gate"
    alone, first = activity(report), of_first_layers(report, gate.layers)
    windows = wake["passes"] + wake["resting"]
    of_gate = first.times(wake["resting"])
    if gate.output is None:
        values = windows * program.layout.samples * program.sensor.channels
        of_gate = Activity(GATE_CYCLES * values, fc_instructions=GATE_INSTRUCTIONS * values)
    elif report["outputs"][gate.output.number]["name"].startswith(f"{GATE}."):
        alone, of_gate = alone + first.times(-1), first.times(windows)

    def more_j(done: Activity) -> float:
        meanwhile = Activity(done.cycles * slow.clock_hz / point.clock_hz)
        waits = energy(meanwhile, slow, in_state("cluster_off", by))
        return energy(done, point, by).joules - waits.joules

    gate_w = more_j(of_gate) / power.seconds
    saved_w = more_j(alone.times(wake["resting"])) / power.seconds - gate_w
    return {"gate_w": gate_w, "saved_w": saved_w, "without_w": power.power_w[0] + saved_w}


# --- lines of text --------------------------------------------------------------------------------


def accuracy_lines(found: Mapping[str, Any] | None) -> list[str]:
    """Return the accuracy as lines of text."""
    if found is None:
        return []
    text = f"{100 * found['decisions']:.1f} % of {found['windows']:,} windows with one label"
    if found["network"] is not None:
        text += f"; {100 * found['network']:.1f} % without the gate"
    return [f"accuracy  {text}"]


# --- power ----------------------------------------------------------------------------------------


def application_power(
    report: Mapping[str, Any],
    program: SensorProgram,
    states: PlayedStates,
    passes: int,
    resting: int,
) -> StatePower:
    """Return the power of the application, with the part of the network's passes, and of those that
    the gate ended."""
    point, by = replace(program.point, clock_hz=program.clock_hz), coefficients()
    given = (battery_of(report), module_powers(report))
    power = states.power(point, by, *given)
    first = of_first_layers(report, 0 if program.gate is None else program.gate.layers)
    ran = activity(report).times(passes) + first.times(resting)
    network = energy(ran, point, by)
    return replace(power, network_j=(network.joules, network.low_j, network.high_j))


def replace_report_power(
    build: Build,
    given: Mapping[str, float | None],
    states: PlayedStates,
    wake: Mapping[str, Any] | None,
) -> Notice | None:
    """Replace the build's reports by ones with the power of this playback, and with how its gate
    worked. Return W210 if they cannot be written."""
    chip, by = find_chip(build.report["target"]["chip"]), coefficients()

    def with_playback(stored: dict[str, Any]) -> dict[str, Any]:
        report = with_given_powers(renewable(stored, by), given)
        played = {**report, "played": {**states.to_json(), "wake": wake}}
        return at_operating_point(played, chip.at(report["target"]["operating_point"]), False, by)

    return changed_report(build, with_playback)[1]
