# SPDX-License-Identifier: Apache-2.0
"""Duty cycle of a periodic inference: average power, hours on a battery."""

from __future__ import annotations

from dataclasses import dataclass

from myoedge.backends.measurement import Activity
from myoedge.power.model import Coefficients, energy
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
    # at most the leakage with everything powered, at the lower voltage
    l3_mw = L3_ASLEEP_MW if inference.l3_bytes else 0.0
    least_mw, most_mw = SLEEP_MW + l3_mw, max(by.values[0], SLEEP_MW) + l3_mw
    sleep_mw: Range = (least_mw, least_mw, most_mw)
    joules = ((part.joules, part.low_j, part.high_j) for part in (awake, idle))
    terms = zip(*joules, sleep_mw, strict=True)
    span_s = max(period_s, active_s)
    value, low, high = ((1e3 * (a + b) + mw * asleep_s) / span_s for a, b, mw in terms)
    average_mw, hours = (value, low, high), None
    if battery is not None:  # the more power, the fewer hours
        value_h, low_h, high_h = (battery.joules / (mw * 1e-3) / 3600 for mw in (value, high, low))
        hours = (value_h, low_h, high_h)
    return Duty(period_s, active_s / period_s, asleep_s, average_mw, sleep_mw, hours)
