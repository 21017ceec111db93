# SPDX-License-Identifier: Apache-2.0
"""Average power and energy of an application, from its times in each power state.

`state_power` computes every average power: of a playback, whose times are counted, and of an
application with one inference per period, whose times power/duty.py plans.

    state        powered                                value       bounds
    run          all, the cluster computes              counters    interval of the fit
    control      all, the fabric controller computes    counters    interval of the fit
    idle         all, cores wait                        clocks run  asleep .. upper end of the fit;
                                                                    measured: interval of the meter;
                                                    stated by `--sleep`: this power
    cluster_off  all but the cluster, cores wait        as idle     as idle
    retention    memories only                          asleep      asleep .. all leakage

The cluster's share of the published idle power (clock tree and leakage) is not public, so that
clock gating and power gating change the lower bound only. docs/developers/energy.md has the fit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from myoedge.backends.measurement import Activity
from myoedge.power.model import (
    Battery,
    Coefficients,
    Interval,
    ModulePowers,
    Spans,
    energy_of,
    sleep_power_mw,
)
from myoedge.targets import OperatingPoint

STATES = ("run", "control", "idle", "cluster_off", "retention")
CHIP_ONLY = ModulePowers()
NEVER: Mapping[str, float] = {}
# An application turns the cluster off in pauses of at least WORTH_OFF_US. Its power needs RISE_US
# from off to on, a margin included: assumed, as no document says it.
WORTH_OFF_US, RISE_US = 5000, 150
SWITCH_US = 1  # of a change of the cores' clock: assumed, likewise
CONTROL_IPC = 0.35  # instructions per cycle of the controller, counted in playbacks
AWAKE, WAITING = ("run", "control"), ("idle", "cluster_off")


@dataclass(frozen=True, slots=True)
class MeasuredWaiting:
    """Measurements of a chip that waits, which the power of waiting is from.

    source     of the coefficients: "calibrated with 3 measurements"
    volts      lowest and highest voltage of the measurements; (): not known
    at_volts   voltage of the application
    """

    source: str
    volts: Sequence[float]
    at_volts: float


@dataclass(frozen=True, slots=True)
class StatePower:
    """Power and energy of an application; intervals are (value, low, high).

    states_s    seconds in each power state
    parts_j     power state -> part of the chip -> joules, without bounds
    chip_j      energy of the chip
    power_w     average power of the application, others_w included
    battery     battery of the application; None: none was given
    others_w    power of front end, radio and other parts that are always on; None: chip only
    network_j   part of chip_j for the network's passes; None: not known apart
    clocks_s    pairs: clock of the cores in Hz, seconds with it; without deep sleep
    waiting     measurements of a chip that waits; None: none was measured
    waiting_w   power of the chip while it waits, as given by `energy --sleep`; None: modelled
    """

    states_s: Mapping[str, float]
    parts_j: Mapping[str, Mapping[str, float]]
    chip_j: Interval
    power_w: Interval
    battery: Battery | None
    others_w: float | None
    network_j: Interval | None = None
    clocks_s: Sequence[tuple[int, float]] = ()
    waiting: MeasuredWaiting | None = None
    waiting_w: float | None = None

    @property
    def seconds(self) -> float:
        return sum(self.states_s.values())

    @property
    def hours(self) -> Interval | None:
        """Battery life; None without a battery."""
        if self.battery is None:
            return None
        value, low, high = self.power_w  # more power, fewer hours
        capacity_wh = self.battery.joules / 3600
        return capacity_wh / value, capacity_wh / high, capacity_wh / low

    @property
    def computing_s(self) -> float:
        """Seconds in which the cluster or the controller computes."""
        return sum(self.states_s[state] for state in AWAKE)

    @property
    def states_j(self) -> dict[str, float]:
        """Joules in each power state, without bounds."""
        return {state: math.fsum(parts.values()) for state, parts in self.parts_j.items()}


def state_power(
    activity: Activity,
    state_cycles: Mapping[str, float],
    point: OperatingPoint,
    by: Coefficients,
    battery: Battery | None = None,
    module: ModulePowers = CHIP_ONLY,
    slow_cycles: Mapping[str, float] = NEVER,
) -> StatePower:
    """Return the power of an application from its counters and its times in each power state.

    activity       counters of the complete time; its cycles are not read
    state_cycles   power state -> cycles at the operating point's clock, for each of STATES; absent:
                   0
    slow_cycles    of them those in which the chip has the point's clock of waiting
    """
    cycles = {state: state_cycles.get(state, 0) for state in STATES}
    states_s = {state: count / point.clock_hz for state, count in cycles.items()}
    parts = {
        state: _at_both_clocks(part, slow_cycles.get(state, 0), point)
        for state, part in _activity_by_state(activity, state_cycles).items()
    }
    by = by.at_voltage(point.volts)
    parts_j = {state: energy_of(part, in_state(state, by)).parts for state, part in parts.items()}
    value, low, high = (1e-3 * mw for mw in sleep_power_mw(activity.l3_bytes > 0, by, module))
    asleep_s = _asleep_s(states_s, module)
    parts_j |= {state: {"leakage": value * spent_s} for state, spent_s in asleep_s.items()}
    chip_j = _chip_joules(parts, states_s, asleep_s, (value, low, high), by)
    others_w = module.others_w or 0.0
    seconds = sum(states_s.values())
    value, low, high = (joules / seconds + others_w for joules in chip_j)
    return StatePower(
        states_s,
        parts_j,
        chip_j,
        (value, low, high),
        battery,
        module.others_w,
        clocks_s=_clocks_s(point, seconds - states_s["retention"], slow_cycles),
        waiting=_measured_waiting(by, point, module),
        waiting_w=1e-3 * (module.sleep_mw or 0.0) if module.states_waiting else None,
    )


def _asleep_s(states_s: Mapping[str, float], module: ModulePowers) -> dict[str, float]:
    """Return state -> seconds, of the states with the power of a chip that sleeps, or with the
    stated one of a chip that waits."""
    states = ("retention", *WAITING) if module.states_waiting else ("retention",)
    return {state: states_s[state] for state in states}


def _measured_waiting(
    by: Coefficients, point: OperatingPoint, module: ModulePowers
) -> MeasuredWaiting | None:
    known = None if module.states_waiting else by.waiting
    return None if known is None else MeasuredWaiting(by.source, known.volts, point.volts)


def _clocks_s(
    point: OperatingPoint, awake_s: float, slow_cycles: Mapping[str, float]
) -> list[tuple[int, float]]:
    slow_s = sum(slow_cycles.values()) / point.clock_hz
    found = [(point.clock_hz, awake_s - slow_s), (point.waiting_hz, slow_s)]
    return [(clock_hz, seconds) for clock_hz, seconds in found if seconds]


def in_state(state: str, by: Coefficients) -> Coefficients:
    """Return the energy coefficients of a power state."""
    return by.waiting or by if state in WAITING else by


def _activity_by_state(activity: Activity, cycles: Mapping[str, float]) -> dict[str, Activity]:
    """Split counters by power state: the controller's go to `control`, all others to `run`."""
    fc = activity.fc_instructions
    return {
        "run": replace(activity, cycles=cycles.get("run", 0), fc_instructions=0),
        "control": Activity(cycles.get("control", 0), fc_instructions=fc),
        **{state: Activity(cycles.get(state, 0)) for state in WAITING},
    }


def _at_both_clocks(activity: Activity, slow_cycles: float, point: OperatingPoint) -> Spans:
    """Return the counters of a power state by clock; those of instructions count at either."""
    fast = replace(activity, cycles=activity.cycles - slow_cycles)
    if not slow_cycles:
        return [(fast, point)]
    waiting = point.while_waiting
    own_cycles = slow_cycles * waiting.clock_hz / point.clock_hz
    return [(fast, point), (Activity(own_cycles), waiting)]


def _chip_joules(
    parts: Mapping[str, Spans],
    states_s: Mapping[str, float],
    asleep_s: Mapping[str, float],
    sleep_w: Interval,
    by: Coefficients,
) -> Interval:
    """Return the energy of the chip (value, low, high).

    parts      power state -> counters by clock
    asleep_s   state -> seconds with the power `sleep_w`; a chip that waits, but was not measured,
               may take as little in other states, and takes no more than its modelled power
    """
    waiting = [state for state in WAITING if state not in asleep_s]
    awake, waits = ([x for state in states for x in parts[state]] for states in (AWAKE, waiting))
    value_j, low_j, high_j = (watts * sum(asleep_s.values()) for watts in sleep_w)
    if by.waiting is None:
        powered, least = energy_of([*awake, *waits], by), energy_of(awake, by).low_j
        waiting_s = sum(states_s[state] for state in waiting)
        least_j = min(least + sleep_w[1] * waiting_s, powered.joules)
        ends = (powered.joules, least_j, powered.high_j)
    else:
        ends = _sum_of([(awake, by), (waits, by.waiting)])
    return ends[0] + value_j, ends[1] + low_j, ends[2] + high_j


def _sum_of(groups: Sequence[tuple[Spans, Coefficients]]) -> Interval:
    """Return the energy of spans with coefficients of their own (value, low, high)."""
    known = [energy_of(spans, by) for spans, by in groups if spans]
    joules, low_j = (sum(part.joules for part in known), sum(part.low_j for part in known))
    return joules, low_j, sum(part.high_j for part in known)


@dataclass(frozen=True, slots=True)
class PlayedStates:
    """Counters and times of an application's last playback on the simulated chip.

    activity       counters of the complete playback
    state_cycles   power state -> cycles at `clock_hz`
    clock_hz       clock of the program that was played
    timeline       power state -> cycles in each bin, in order
    bin_cycles     cycles of a bin
    slow_cycles    of state_cycles those in which the chip had the clock of waiting
    waiting_hz     this clock; 0: there was one clock
    passes         passes of the network, those that a gate ended not counted; 0: not known
    decision_s     longest time from a window's last sample to its decision; 0: not known
    decisions      number of decisions; 0: not known
    is_sound       whether all decisions were the reference's and no sample was lost
    """

    activity: Activity
    state_cycles: Mapping[str, int]
    clock_hz: int
    timeline: Mapping[str, Sequence[int]] = field(default_factory=dict)
    bin_cycles: int = 0
    slow_cycles: Mapping[str, int] = field(default_factory=dict)
    waiting_hz: int = 0
    passes: int = 0
    decision_s: float = 0.0
    decisions: int = 0
    is_sound: bool = False

    def power(
        self,
        point: OperatingPoint,
        by: Coefficients,
        battery: Battery | None = None,
        module: ModulePowers = CHIP_ONLY,
    ) -> StatePower:
        """Return the power of the playback at its own clocks and the voltage of `point`."""
        given = (by, battery, module, self.slow_cycles)
        return state_power(self.activity, self.state_cycles, self._point(point), *given)

    def between_passes(self, point: OperatingPoint) -> Spans:
        """Return what a meter measures while the cluster does not compute, at the playback's own
        clocks and the voltage of `point`."""
        return self._spans(("control", *WAITING), point)

    def of_a_pass(self, point: OperatingPoint) -> Spans:
        """Return what a meter measures while the cluster computes, likewise, for a pass in the
        mean; [] if the number of passes is not known."""
        spans = self._spans(("run",), point) if self.passes else []
        return [(activity.times(1 / self.passes), at) for activity, at in spans]

    def _spans(self, states: Sequence[str], point: OperatingPoint) -> Spans:
        parts, at = _activity_by_state(self.activity, self.state_cycles), self._point(point)
        return [
            span
            for state in states
            for span in _at_both_clocks(parts[state], self.slow_cycles.get(state, 0), at)
        ]

    def _point(self, point: OperatingPoint) -> OperatingPoint:
        return replace(point, clock_hz=self.clock_hz, waiting_hz=self.waiting_hz)

    def to_json(self) -> dict[str, Any]:
        """Return the entry `played` of report.json."""
        return asdict(self)

    @staticmethod
    def from_json(document: Mapping[str, Any]) -> PlayedStates:
        known = {x.name: document[x.name] for x in fields(PlayedStates) if x.name in document}
        return PlayedStates(**{**known, "activity": Activity(**document["activity"])})
