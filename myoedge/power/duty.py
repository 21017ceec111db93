# SPDX-License-Identifier: Apache-2.0
"""Duty cycle of a periodic inference: average power, hours on a battery."""

from __future__ import annotations

from dataclasses import dataclass

from myoedge.backends.measurement import Activity
from myoedge.power.model import Coefficients, Energy, energy
from myoedge.targets import OperatingPoint
from myoedge.targets.gap9.energy import L3_ASLEEP_MW, SLEEP_MW, WAKE_S

BATTERY_VOLTS = 3.7  # of a lithium cell, on average
Range = tuple[float, float, float]  # value, low, high


@dataclass(frozen=True, slots=True)
class Battery:
    """Capacity and mean voltage; converter losses are not included."""

    capacity_mah: float
    volts: float = BATTERY_VOLTS

    @property
    def joules(self) -> float:
        return self.capacity_mah * 3.6 * self.volts


@dataclass(frozen=True, slots=True)
class Duty:
    """Duty cycle of one inference in every period.

    share       of the period that is computed in; above 1 the chip does not keep up
    asleep_s    of the period, 0 where there is no time to fall asleep and wake
    average_mw, sleep_mw   value, low, high
    hours       the same, on the battery; None without one
    """

    period_s: float
    share: float
    asleep_s: float
    average_mw: Range
    sleep_mw: Range
    hours: Range | None

    @property
    def keeps_up(self) -> bool:
        return self.share <= 1.0


def duty(
    inference: Activity,
    point: OperatingPoint,
    by: Coefficients,
    period_s: float,
    battery: Battery | None = None,
) -> Duty:
    """Duty cycle of an inference; between inferences the chip sleeps with memories retained, and
    idles while it wakes.

    period_s   hop / rate
    Sleep is known between two bounds only (targets/gap9/energy.py): an average goes with the
    lower one, its interval with both.
    """
    active_s = inference.cycles / point.clock_hz
    pause_s = max(period_s - active_s, 0.0)
    asleep_s = pause_s - WAKE_S if pause_s > WAKE_S else 0.0
    awake = energy(inference, point, by)
    idle = energy(Activity((pause_s - asleep_s) * point.clock_hz), point, by)
    sleep = _sleep_mw(by, bool(inference.l3_bytes))
    spans = (max(period_s, active_s), asleep_s)
    averages = tuple(
        _average(*terms, *spans) for terms in zip(_joules(awake), _joules(idle), sleep, strict=True)
    )
    average_mw: Range = (averages[0], averages[1], averages[2])
    hours = None if battery is None else _hours(battery, average_mw)
    return Duty(period_s, active_s / period_s, asleep_s, average_mw, sleep, hours)


def _sleep_mw(by: Coefficients, has_l3: bool) -> Range:
    """Sleep power; at most the leakage with everything powered, at the lower voltage."""
    l3 = L3_ASLEEP_MW if has_l3 else 0.0
    max_mw = max(by.values[0], SLEEP_MW)
    return (SLEEP_MW + l3, SLEEP_MW + l3, max_mw + l3)


def _joules(energy_: Energy) -> Range:
    return (energy_.joules, energy_.low_j, energy_.high_j)


def _average(awake_j: float, idle_j: float, sleep_mw: float, span_s: float, asleep: float) -> float:
    return (1e3 * (awake_j + idle_j) + sleep_mw * asleep) / span_s


def _hours(battery: Battery, average_mw: Range) -> Range:
    value, low, high = (battery.joules / (mw * 1e-3) / 3600 for mw in average_mw)
    return (value, high, low)
