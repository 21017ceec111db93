# SPDX-License-Identifier: Apache-2.0
"""Text of how the gate of a sensor application worked in a playback."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from myoedge.reports.energy import digits
from myoedge.reports.speed import duration
from myoedge.reports.wording import rough_percent, several, three_digits


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
    """Weigh what a gate saves against what it takes itself."""
    gate, saved, without = (_watts(wake[name]) for name in ("gate_w", "saved_w", "without_w"))
    told = f"without the gate, which takes {gate} itself, about {without}"
    gain = f"costs {saved} more than it saves" if wake["saved_w"] < 0 else f"saves {saved}"
    return f"{gain}: {told}"


def _watts(watts: float) -> str:
    milliwatts = 1e3 * abs(watts)
    if milliwatts < 1:
        return f"{digits(1e3 * milliwatts, 3)} µW"
    return f"{digits(milliwatts, 3)} mW"
