# SPDX-License-Identifier: Apache-2.0
"""Power of a playback: of the application's states, and in the reports of its build."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from myoedge.building.build_files import changed_report
from myoedge.building.energy import coefficients, renewable, with_given_powers
from myoedge.building.operating_points import at_operating_point
from myoedge.errors import Notice
from myoedge.extensions.sensor.program import SensorProgram
from myoedge.power.model import energy
from myoedge.power.states import PlayedStates, StatePower
from myoedge.reports.energy import activity, battery_of, module_powers, of_first_layers
from myoedge.targets import find_chip

if TYPE_CHECKING:
    from myoedge.backends.build import Build


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
