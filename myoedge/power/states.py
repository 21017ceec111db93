# SPDX-License-Identifier: Apache-2.0
"""Average power and energy of an application, from its times in each power state.

`state_power` computes every average power: of a playback, whose times are counted, and of an
application with one inference per period, whose times `planned_cycles` derives.

    state        powered                                value       bounds
    run          all, the cluster computes              counters    interval of the fit
    control      all, the fabric controller computes    counters    interval of the fit
    idle         all, cores wait                        clocks run  asleep .. upper end of the fit;
                                                                    measured: interval of the meter
    cluster_off  all but the cluster, cores wait        as idle     as idle
    retention    memories only                          asleep      asleep .. all leakage

The cluster's share of the published idle power (clock tree and leakage) is not public, so that
clock gating and power gating change the lower bound only. docs/developers/energy.md has the fit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from myoedge.backends.measurement import Activity
from myoedge.power.model import (
    Battery,
    Coefficients,
    Interval,
    ModulePowers,
    energy,
    sleep_power_mw,
)
from myoedge.targets import OperatingPoint
from myoedge.targets.gap9.energy import WAKE_S

STATES = ("run", "control", "idle", "cluster_off", "retention")
CHIP_ONLY = ModulePowers()
# An application turns the cluster off in pauses of at least WORTH_OFF_US. Its power needs RISE_US
# from off to on, a margin included: assumed, as no document says it.
WORTH_OFF_US, RISE_US = 5000, 150
CONTROL_IPC = 0.35  # instructions per cycle of the controller, counted in playbacks
AWAKE, WAITING = ("run", "control"), ("idle", "cluster_off")


@dataclass(frozen=True, slots=True)
class StatePower:
    """Power and energy of an application; intervals are (value, low, high).

    states_s    seconds in each power state
    parts_j     power state -> part of the chip -> joules, without bounds
    chip_j      energy of the chip
    power_w     average power of the application, others_w included
    hours       battery life; None without a battery
    others_w    power of front end, radio and other parts that are always on; None: chip only
    network_j   part of chip_j for the network's passes; None: not known apart
    """

    states_s: Mapping[str, float]
    parts_j: Mapping[str, Mapping[str, float]]
    chip_j: Interval
    power_w: Interval
    hours: Interval | None
    others_w: float | None
    network_j: Interval | None = None

    @property
    def seconds(self) -> float:
        return sum(self.states_s.values())

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
) -> StatePower:
    """Return the power of an application from its counters and its times in each power state.

    activity       counters of the complete time; its cycles are not read
    state_cycles   power state -> cycles at the operating point's clock, for each of STATES; absent:
                   0
    """
    cycles = {state: state_cycles.get(state, 0) for state in STATES}
    states_s = {state: count / point.clock_hz for state, count in cycles.items()}
    parts = _activity_by_state(activity, cycles)
    parts_j = {
        state: energy(part, point, in_state(state, by)).parts for state, part in parts.items()
    }
    sleep_w = tuple(1e-3 * mw for mw in sleep_power_mw(activity.l3_bytes > 0, by, module))
    parts_j["retention"] = {"leakage": sleep_w[0] * states_s["retention"]}
    chip_j = _chip_joules(parts, states_s, (sleep_w[0], sleep_w[1], sleep_w[2]), point, by)
    others_w = 1e-3 * (module.others_mw or 0.0)
    seconds = sum(states_s.values())
    value, low, high = (joules / seconds + others_w for joules in chip_j)
    hours = None
    if battery is not None:  # more power, fewer hours
        hours_of = battery.joules / 3600
        hours = (hours_of / value, hours_of / high, hours_of / low)
    return StatePower(
        states_s,
        parts_j,
        chip_j,
        (value, low, high),
        hours,
        None if module.others_mw is None else others_w,
    )


def in_state(state: str, by: Coefficients) -> Coefficients:
    """Return the energy coefficients of a power state."""
    return by.waiting or by if state in WAITING else by


def _activity_by_state(activity: Activity, cycles: Mapping[str, float]) -> dict[str, Activity]:
    """Split counters by power state: the controller's go to `control`, all others to `run`."""
    fc = activity.fc_instructions
    return {
        "run": replace(activity, cycles=cycles["run"], fc_instructions=0),
        "control": Activity(cycles["control"], fc_instructions=fc),
        **{state: Activity(cycles[state]) for state in WAITING},
    }


def _chip_joules(
    parts: Mapping[str, Activity],
    states_s: Mapping[str, float],
    sleep_w: Interval,
    point: OperatingPoint,
    by: Coefficients,
) -> Interval:
    awake, waits = (
        sum((parts[state] for state in states), Activity(0)) for states in (AWAKE, WAITING)
    )
    value_j, low_j, high_j = (watts * states_s["retention"] for watts in sleep_w)
    if by.waiting is None:
        powered, least = energy(awake + waits, point, by), energy(awake, point, by).low_j
        waiting_s = sum(states_s[state] for state in WAITING)
        ends = (powered.joules, least + sleep_w[1] * waiting_s, powered.high_j)
    else:
        known = energy(awake, point, by), energy(waits, point, by.waiting)
        ends = (
            sum(part.joules for part in known),
            sum(part.low_j for part in known),
            sum(part.high_j for part in known),
        )
    return ends[0] + value_j, ends[1] + low_j, ends[2] + high_j


# --- one inference per period ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PlayedStates:
    """Counters and times of an application's last playback on the simulated chip.

    activity       counters of the complete playback
    state_cycles   power state -> cycles at `clock_hz`
    clock_hz       clock of the program that was played
    timeline       power state -> cycles in each bin, in order
    bin_cycles     cycles of a bin
    """

    activity: Activity
    state_cycles: Mapping[str, int]
    clock_hz: int
    timeline: Mapping[str, Sequence[int]] = field(default_factory=dict)
    bin_cycles: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return the entry `played` of report.json."""
        return asdict(self)

    @staticmethod
    def from_json(document: Mapping[str, Any]) -> PlayedStates:
        return PlayedStates(**{**document, "activity": Activity(**document["activity"])})


@dataclass(frozen=True, slots=True)
class Duty:
    """Duty cycle of a chip with one inference per period.

    period_s     period in seconds
    share        computing time / period; above 1 the chip is too slow
    asleep_s     sleeping time per period in seconds; 0 if there is no time to fall asleep and wake
    average_mw   average power (value, low, high)
    sleep_mw     power while it sleeps (value, low, high)
    states_s     seconds per period in each power state
    states_mw    power of the chip while it is in each state, without bounds
    hours        battery life (value, low, high); None without a battery
    others_mw    power included in addition to the chip; None: chip only
    source       "planned" from the period, or "played" on the simulated chip
    """

    period_s: float
    share: float
    asleep_s: float
    average_mw: Interval
    sleep_mw: Interval
    states_s: Mapping[str, float]
    states_mw: Mapping[str, float]
    hours: Interval | None
    others_mw: float | None = None
    source: str = "planned"

    @property
    def keeps_up(self) -> bool:
        return self.share <= 1.0


def planned_cycles(
    inference_cycles: float,
    point: OperatingPoint,
    period_s: float,
    *,
    can_sleep: bool,
    control_cycles: float = 0.0,
) -> dict[str, float]:
    """Return power state -> cycles in a period with one inference.

    control_cycles   of the controller between inferences
    can_sleep   whether the chip sleeps in between; it is powered while it falls asleep and wakes.
                Otherwise it turns the cluster off in long pauses
    """
    pause = max(period_s * point.clock_hz - inference_cycles - control_cycles, 0.0)
    wake = WAKE_S * point.clock_hz
    if can_sleep and pause > wake:
        return {"run": inference_cycles + wake, "retention": pause - wake}
    rise = 1e-6 * RISE_US * point.clock_hz
    is_long = pause >= 1e-6 * WORTH_OFF_US * point.clock_hz
    off = pause - rise if is_long and not can_sleep else 0.0
    waiting = {"idle": pause - off, "cluster_off": off}
    return {"run": inference_cycles, "control": control_cycles, **waiting}


def duty(
    inference: Activity,
    point: OperatingPoint,
    by: Coefficients,
    period_s: float,
    battery: Battery | None = None,
    module: ModulePowers = CHIP_ONLY,
    played: PlayedStates | None = None,
    control_cycles: float = 0.0,
) -> Duty:
    """Return the duty cycle of a chip that runs an inference in every period.

    inference   counters of the inference
    period_s    period in seconds, such as hop / rate
    battery     battery, for its life; None: battery life is not computed
    module      powers in addition to inferences
    played      last playback of the application, whose states count instead of planned ones
    control_cycles   planned cycles of the controller between inferences
    """
    active_s = inference.cycles / point.clock_hz
    sleep_mw = sleep_power_mw(inference.l3_bytes > 0, by, module)
    if played is None:
        cycles = planned_cycles(
            inference.cycles,
            point,
            period_s,
            can_sleep=module.can_sleep,
            control_cycles=control_cycles,
        )
        activity = inference + Activity(0, fc_instructions=CONTROL_IPC * control_cycles)
        power = state_power(activity, cycles, point, by, battery, module)
    else:
        at = replace(point, clock_hz=played.clock_hz)
        power = state_power(played.activity, played.state_cycles, at, by, battery, module)
    active_s += control_cycles / point.clock_hz
    span_s = max(period_s, active_s) if played is None else period_s
    states_s = {state: x * span_s / power.seconds for state, x in power.states_s.items()}
    value, low, high = (1e3 * watts for watts in power.power_w)
    return Duty(
        period_s,
        active_s / period_s,
        states_s["retention"],
        (value, low, high),
        sleep_mw,
        states_s,
        {state: 1e3 * power.states_j[state] / x for state, x in power.states_s.items() if x},
        power.hours,
        module.others_mw,
        "planned" if played is None else "played",
    )
