# SPDX-License-Identifier: Apache-2.0
"""Duty cycle and average power of a chip with one inference per period."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from myoedge.backends.measurement import Activity
from myoedge.power.model import Battery, Coefficients, Interval, ModulePowers, sleep_power_mw
from myoedge.power.states import (
    CHIP_ONLY,
    CONTROL_IPC,
    RISE_US,
    SWITCH_US,
    WORTH_OFF_US,
    MeasuredWaiting,
    PlayedStates,
    state_power,
)
from myoedge.targets import DEFAULT_ENERGY as MODEL
from myoedge.targets import OperatingPoint


@dataclass(frozen=True, slots=True)
class Duty:
    """Duty cycle of a chip with one inference per period.

    period_s     period in seconds
    share        computing time / period
    keeps_up     whether the planned computing time is no longer than the period
    asleep_s     sleeping time per period in seconds; 0 if there is no time to fall asleep and wake
    average_mw   average power (value, low, high)
    sleep_mw     power while it sleeps (value, low, high)
    states_s     seconds per period in each power state
    states_mw    power of the chip while it is in each state, without bounds
    hours        battery life (value, low, high); None without a battery
    others_mw    power included in addition to the chip; None: chip only
    clocks_s     pairs: clock of the cores in Hz, seconds per period with it; without deep sleep
    source       "planned" from the period, or "played" on the simulated chip
    waiting      measurements of a chip that waits; None: none was measured
    """

    period_s: float
    share: float
    keeps_up: bool
    asleep_s: float
    average_mw: Interval
    sleep_mw: Interval
    states_s: Mapping[str, float]
    states_mw: Mapping[str, float]
    hours: Interval | None
    others_mw: float | None = None
    clocks_s: Sequence[tuple[int, float]] = ()
    source: str = "planned"
    waiting: MeasuredWaiting | None = None


@dataclass(frozen=True, slots=True)
class ControlCycles:
    """Planned cycles of the controller between inferences.

    total       all of them
    receiving   of them those for samples, at the clock of waiting
    """

    total: float = 0.0
    receiving: float = 0.0

    def times(self, factor: float) -> ControlCycles:
        return ControlCycles(factor * self.total, factor * self.receiving)

    def seconds(self, point: OperatingPoint) -> float:
        """Return the time that they take."""
        waiting_hz = point.while_waiting.clock_hz
        return (self.total - self.receiving) / point.clock_hz + self.receiving / waiting_hz


NO_CONTROL = ControlCycles()


def planned_cycles(
    inference_cycles: float,
    point: OperatingPoint,
    period_s: float,
    *,
    can_sleep: bool,
    control: ControlCycles = NO_CONTROL,
) -> tuple[dict[str, float], dict[str, float]]:
    """Return power state -> cycles in a period with one inference, of the point's clock; and of
    them those at its clock of waiting.

    can_sleep   whether the chip sleeps in between; it is powered while it falls asleep and wakes.
                Otherwise it turns the cluster off in long pauses
    """
    control_cycles = control.seconds(point) * point.clock_hz
    pause = max(period_s * point.clock_hz - inference_cycles - control_cycles, 0.0)
    wake = MODEL.wake_s * point.clock_hz
    if can_sleep and pause > wake:
        return {"run": inference_cycles + wake, "retention": pause - wake}, {}
    rise = 1e-6 * RISE_US * point.clock_hz
    is_long = pause >= 1e-6 * WORTH_OFF_US * point.clock_hz
    off = pause - rise if is_long and not can_sleep else 0.0
    waiting = {"idle": pause - off, "cluster_off": off}
    cycles = {"run": inference_cycles, "control": control_cycles, **waiting}
    if not point.waiting_hz:
        return cycles, {}
    # Until both changes of the clock have ended, the chip waits at the higher one
    switches = min(2e-6 * SWITCH_US * point.clock_hz, waiting["idle"])
    received = control.receiving * point.clock_hz / point.waiting_hz
    slow = {"control": received, "idle": waiting["idle"] - switches, "cluster_off": off}
    return cycles, slow


def duty(
    inference: Activity,
    point: OperatingPoint,
    by: Coefficients,
    period_s: float,
    battery: Battery | None = None,
    module: ModulePowers = CHIP_ONLY,
    played: PlayedStates | None = None,
    control: ControlCycles = NO_CONTROL,
) -> Duty:
    """Return the duty cycle of a chip that runs an inference in every period.

    inference   counters of the inference
    period_s    period in seconds, such as hop / rate
    battery     battery, for its life; None: battery life is not computed
    module      powers in addition to inferences
    played      last playback of the application, whose states count instead of planned ones
    control     planned cycles of the controller between inferences
    """
    active_s = inference.cycles / point.clock_hz + control.seconds(point)
    sleep_mw = sleep_power_mw(inference.l3_bytes > 0, by, module)
    if played is None:
        cycles, slow = planned_cycles(
            inference.cycles, point, period_s, can_sleep=module.can_sleep, control=control
        )
        activity = inference + Activity(0, fc_instructions=CONTROL_IPC * control.total)
        power = state_power(activity, cycles, point, by, battery, module, slow)
        span_s, computing_s = max(period_s, active_s), active_s
    else:
        power = played.power(point, by, battery, module)
        span_s, computing_s = period_s, power.computing_s * period_s / power.seconds
    states_s = {state: x * span_s / power.seconds for state, x in power.states_s.items()}
    value, low, high = (1e3 * watts for watts in power.power_w)
    return Duty(
        period_s,
        computing_s / period_s,
        active_s <= period_s,
        states_s["retention"],
        (value, low, high),
        sleep_mw,
        states_s,
        {state: 1e3 * power.states_j[state] / x for state, x in power.states_s.items() if x},
        power.hours,
        module.others_mw,
        [(clock_hz, x * span_s / power.seconds) for clock_hz, x in power.clocks_s],
        "planned" if played is None else "played",
        power.waiting,
    )
