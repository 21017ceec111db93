# SPDX-License-Identifier: Apache-2.0
"""Average power and energy of a sensor application, from its times in each power state.

    state        powered                                value       bounds
    run          all, the cluster computes              counters    interval of the fit
    control      all, the fabric controller computes    counters    interval of the fit
    idle         all, cores wait                        clocks run  asleep .. upper end of the fit
    cluster_off  all but the cluster, cores wait        as idle     asleep .. as idle
    retention    memories only                          asleep      asleep .. all leakage

The cluster's share of the published idle power (clock tree and leakage) is not public, so that
clock gating and power gating change the lower bound only. docs/energy.md has the fit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from myoedge.backends.measurement import Activity
from myoedge.power.model import (
    Battery,
    Coefficients,
    Energy,
    Interval,
    ModulePowers,
    energy,
    sleep_power_mw,
)
from myoedge.targets import OperatingPoint

STATES = ("run", "control", "idle", "cluster_off", "retention")
CHIP_ONLY = ModulePowers()
AWAKE, WAITING = ("run", "control"), ("idle", "cluster_off")


@dataclass(frozen=True, slots=True)
class PlaybackPower:
    """Power and energy of a playback; intervals are (value, low, high).

    states_s    seconds in each power state
    states_j    joules in each power state, without bounds
    chip_j      energy of the chip
    network_j   part of chip_j for the passes of the network
    power_w     average power of the application, others_w included
    hours       battery life; None without a battery
    others_w    power of front end, radio and other parts that are always on; None: chip only
    """

    states_s: Mapping[str, float]
    states_j: Mapping[str, float]
    chip_j: Interval
    network_j: Interval
    power_w: Interval
    hours: Interval | None
    others_w: float | None

    @property
    def seconds(self) -> float:
        return sum(self.states_s.values())

    @property
    def network_w(self) -> Interval:
        """Average power of the network's passes."""
        value, low, high = (joules / self.seconds for joules in self.network_j)
        return value, low, high


def playback_power(
    activity: Activity,
    inference: Activity,
    passes: int,
    state_cycles: Mapping[str, int],
    point: OperatingPoint,
    by: Coefficients,
    battery: Battery | None = None,
    module: ModulePowers = CHIP_ONLY,
) -> PlaybackPower:
    """Return the power of an application from the counters of a playback.

    activity       counters of the complete run; its cycles are not read
    inference      counters of one pass of the network
    passes         number of passes in the run
    state_cycles   power state -> cycles at the operating point's clock, for each of STATES; absent:
                   0
    """
    cycles = {state: state_cycles.get(state, 0) for state in STATES}
    states_s = {state: count / point.clock_hz for state, count in cycles.items()}
    parts = _activities(activity, cycles)
    states_j = {state: energy(part, point, by).joules for state, part in parts.items()}
    sleep_w = tuple(1e-3 * mw for mw in sleep_power_mw(activity.l3_bytes > 0, by, module))
    states_j["retention"] = sleep_w[0] * states_s["retention"]
    chip_j = _chip_joules(parts, states_s, (sleep_w[0], sleep_w[1], sleep_w[2]), point, by)
    others_w = 1e-3 * (module.others_mw or 0.0)
    seconds = sum(states_s.values())
    value, low, high = (joules / seconds + others_w for joules in chip_j)
    hours = None
    if battery is not None:  # more power, fewer hours
        hours_of = battery.joules / 3600
        hours = (hours_of / value, hours_of / high, hours_of / low)
    return PlaybackPower(
        states_s,
        states_j,
        chip_j,
        _times(energy(inference, point, by), passes),
        (value, low, high),
        hours,
        None if module.others_mw is None else others_w,
    )


def _activities(activity: Activity, cycles: Mapping[str, int]) -> dict[str, Activity]:
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
    awake = sum((parts[state] for state in AWAKE), Activity(0))
    powered = energy(sum((parts[state] for state in WAITING), awake), point, by)
    value_w, low_w, high_w = sleep_w
    waiting_s, asleep_s = sum(states_s[state] for state in WAITING), states_s["retention"]
    low_j = energy(awake, point, by).low_j + low_w * (waiting_s + asleep_s)
    return (
        powered.joules + value_w * asleep_s,
        min(low_j, powered.low_j + low_w * asleep_s),
        powered.high_j + high_w * asleep_s,
    )


def _times(one: Energy, count: int) -> Interval:
    return count * one.joules, count * one.low_j, count * one.high_j
