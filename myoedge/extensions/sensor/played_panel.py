# SPDX-License-Identifier: Apache-2.0
"""The panel of report.html on an application's last playback: power over time, and how its wake
gate worked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from myoedge.numerics.arrays import Array
from myoedge.reports import wording
from myoedge.reports.charts import BOTTOM, LEFT, PLOT_WIDTH, RIGHT, TOP, Frame, Tick
from myoedge.reports.duty_lines import STATE_NAMES
from myoedge.reports.energy import digits
from myoedge.reports.html import environment
from myoedge.reports.speed import duration
from myoedge.reports.wording import rough_percent, several, three_digits, told_apart

PLOT_HEIGHT, MOST_TICKS = 160, 5


@dataclass(frozen=True, slots=True)
class Area:
    """The power of one state over time, stacked on the states before it.

    state   power state, and CSS class
    text    its name, and its part of the average power
    path    outline of the area, in the syntax of SVG paths
    """

    state: str
    text: str
    path: str


def power_over_time(played: Mapping[str, Any], states_mw: Mapping[str, float]) -> Array:
    """Return the chip's power in mW, float [states, bins], for the states of a playback's timeline.

    played      entry `played` of report.json
    states_mw   power of the chip while it is in each state; the work in a state is spread evenly
    """
    cycles = np.array([*played["timeline"].values()], np.float64)
    powers = np.array([states_mw[state] for state in played["timeline"]])
    return np.asarray(powers[:, None] * cycles / cycles.sum(0))


def power_chart(report: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the data of the chart of an application's last playback; None without one."""
    played, duty = report.get("played") or {}, report.get("duty") or {}
    if not played.get("timeline") or duty.get("source") != "played":
        return None
    powers_mw = power_over_time(played, duty["states_mw"])
    tops_mw = np.vstack([np.zeros_like(powers_mw[:1]), np.cumsum(powers_mw, 0)])
    most_mw = float(tops_mw.max())
    step_mw = _tick_step(most_mw)
    ticks = math.ceil(most_mw / step_mw)
    heights = tops_mw / (ticks * step_mw)
    bins, total = powers_mw.shape[1], sum(played["state_cycles"].values())
    edges = np.minimum(np.arange(bins + 1) * played["bin_cycles"], total) / total
    end_s = total / played["clock_hz"]
    bottom, width = TOP + PLOT_HEIGHT, LEFT + PLOT_WIDTH + RIGHT
    column, height, right = PLOT_WIDTH / bins, bottom + BOTTOM, width - RIGHT
    frame = Frame(bins, column, PLOT_HEIGHT, width, height, right, bottom, slanted=False)
    shares = {state: sum(row) / total for state, row in played["timeline"].items()}
    return {
        "frame": frame,
        "gate": gate_texts(played.get("wake")),
        "ticks": [
            Tick(frame.y(n / ticks), f"{digits(n * step_mw, 3)} mW") for n in range(ticks + 1)
        ],
        "times": [
            Tick(round(LEFT + PLOT_WIDTH * n / 4, 1), duration(end_s * n / 4) if n else "0")
            for n in range(5)
        ],
        "areas": [
            Area(
                state,
                f"{STATE_NAMES[state]} "
                f"{wording.three_digits(shares[state] * duty['states_mw'][state])} mW",
                _outline(frame, edges, heights[n], heights[n + 1]),
            )
            for n, state in enumerate(played["timeline"])
        ],
    }


def panel(report: Mapping[str, Any]) -> str:
    """Return the panel as HTML; "" without a playback."""
    power = power_chart(report)
    if power is None:
        return ""
    template = environment(Path(__file__).parent).get_template("played_panel.j2")
    return template.render(power=power)


def _tick_step(most: float) -> float:
    """Return the distance of grid lines: 1, 2 or 5 times a power of ten, at most MOST_TICKS."""
    power = 10.0 ** math.floor(math.log10(most / MOST_TICKS))
    return power * next(factor for factor in (1, 2, 5, 10) if MOST_TICKS * factor * power >= most)


def _outline(frame: Frame, edges: Array, lower: Array, upper: Array) -> str:
    """Return the outline between two step functions.

    edges          [bins + 1], from 0 to 1
    lower, upper   [bins], from 0 (bottom of the plot) to 1 (top)
    """
    x = [f"{LEFT + PLOT_WIDTH * edge:.1f}" for edge in edges]
    low, high = ([frame.y(float(value)) for value in row] for row in (lower, upper))
    there = "".join(f"V{y}H{right}" for y, right in zip(high, x[1:], strict=True))
    back = "".join(f"V{y}H{left}" for y, left in zip(low[::-1], x[-2::-1], strict=True))
    return f"M{x[0]} {low[0]}{there}{back}Z"


# --- wake gate ------------------------------------------------------------------------------------


LEAST_GAIN = 0.002  # fraction of the average power


def gate_texts(wake: Mapping[str, Any] | None) -> list[str]:
    """Return how a gate worked, one text per line; [] without a gate.

    wake   entry `wake` of schema playback/1
    """
    if wake is None:
        return []
    passes, resting = wake["passes"], wake["resting"]
    share = rough_percent(resting, passes + resting)
    rate = f"{three_digits(wake['wake_ups_per_minute'])} wake-ups per minute"
    in_vain = f", {wake['false_wake_ups']:,} of them at rest" if wake["false_wake_ups"] else ""
    overruled = f"the network decides {wake['overruled']:,} of them otherwise"
    lines = [f"{passes:,} passes of the network, {rate}{in_vain}"]
    if resting:
        lines.append(f"{resting:,} windows at rest ({share}); {overruled}")
    if wake["onsets"]:
        missed, late = wake["missed_onsets"], wake["late_onsets"]
        told = f"{missed:,} missed" if missed else "none missed"
        if late:
            told += f", {late:,} late by at most {duration(wake['latest_s'])}"
        lines.append(f"{several(wake['onsets'], 'onset')} of gestures: {told}")
    if "saved_w" in wake:
        lines.append(_gain(wake))
    return lines


def _gain(wake: Mapping[str, Any]) -> str:
    """Weigh what a gate saves against what it takes itself, both beyond the power of a chip that
    waits meanwhile."""
    saved_mw, without_mw, gate_mw = (1e3 * wake[x] for x in ("saved_w", "without_w", "gate_w"))
    with_mw = without_mw - saved_mw
    itself = f"the gate itself adds {digits(gate_mw, 2)} mW to the power of waiting"
    if abs(saved_mw) < LEAST_GAIN * without_mw:
        return f"saves nothing: {three_digits(with_mw)} mW with it and without; {itself}"
    gain = f"{'saves' if saved_mw > 0 else 'costs'} {digits(abs(saved_mw), 3)} mW"
    powers = told_apart(three_digits, with_mw, without_mw)
    return "{}: {} mW with it, about {} mW without; {}".format(gain, *powers, itself)
