# SPDX-License-Identifier: Apache-2.0
"""Text of how the gate of a sensor application worked in a playback."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from myoedge.reports.energy import digits
from myoedge.reports.speed import duration
from myoedge.reports.wording import rough_percent, several, three_digits, told_apart

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
