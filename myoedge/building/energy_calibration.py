# SPDX-License-Identifier: Apache-2.0
"""Energy coefficients fitted to measurements, which a CSV file holds."""

from __future__ import annotations

import csv
import json
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from myoedge.backends.build import load_build
from myoedge.backends.measurement import Activity
from myoedge.building.energy import keep
from myoedge.errors import MyoedgeError, command
from myoedge.power.calibrate import METER, Measured, Residual, calibrate
from myoedge.power.model import PUBLISHED, Coefficients
from myoedge.reports.energy import activity, counted
from myoedge.system.notebook import Card, Tabular
from myoedge.system.regular_files import read_text
from myoedge.targets import find_chip

IDLE, IDLE_CYCLES = "idle", 1e6
LARGEST = 1e9  # limit of measured values, in microjoules, milliwatts or percent
NUMBERS = ("energy_uj", "power_mw", "sigma_percent")
COLUMNS = ("build", "operating_point", *NUMBERS)
HEADER = ",".join(COLUMNS)
EXAMPLE = "build,operating_point,power_mw\nidle,high,16.4\nbuild/model-gap9,high,58.1"


@dataclass(frozen=True)
class EnergyCalibration(Tabular):
    """Result of fitting energy coefficients to a board's measurements.

    coefficients   the new coefficients
    residuals      measurements with modelled energies before and after
    before         the coefficients used until then
    path           file in which the new ones are stored
    """

    coefficients: Coefficients
    residuals: tuple[Residual, ...]
    before: Coefficients
    path: Path

    def rows(self) -> list[dict[str, Any]]:
        """Return one row per measurement: measured and modelled energy in joules."""
        return [
            {
                "build": residual.measured.name,
                "operating_point": residual.measured.point.name,
                "measured_j": residual.measured.joules,
                "before_j": residual.before_j,
                "after_j": residual.after_j,
                "residual": residual.relative,
            }
            for residual in self.residuals
        ]

    def _card(self) -> Card:
        facts = (("from", self.coefficients.source), ("stored in", self.path))
        return Card("coefficients of energy", facts, self.rows())


def calibration(measurements: Path) -> EnergyCalibration:
    """Implement api.calibrate_energy. The fit starts from the published coefficients, not from an
    earlier calibration."""
    rows = list(_read_measurement(measurements))
    if not rows:
        raise _calibration_error(measurements, "it has no measurement")
    fitted, residuals = calibrate(rows, PUBLISHED)
    return EnergyCalibration(fitted, tuple(residuals), PUBLISHED, keep(fitted))


def _read_measurement(file: Path) -> Iterator[Measured]:
    if os.path.isdir(file) or file.suffix == ".json":
        cards = sorted(file.glob("*.json")) if file.is_dir() else [file]
        yield from (_read_board_card(card) for card in cards)
        return
    try:
        rows = list(csv.DictReader(read_text(file).splitlines()))
    except (OSError, ValueError, csv.Error) as error:
        raise _calibration_error(file, getattr(error, "strerror", None) or str(error)) from None
    for number, row in enumerate(rows, 2):
        yield _read_row(row, file, f"line {number}")


def _read_board_card(file: Path) -> Measured:
    """Return the measurement on a board card, the file that `myoedge bench --card` writes."""
    try:
        card = json.loads(read_text(file))
        point = find_chip("gap9").at(card["operating_point"]).point
        done, energy = Activity(**card["counters"]), card["energy"]
        spread = energy["spread_joules"] / energy["joules"] / math.sqrt(energy["inferences"])
        sigma = math.hypot(METER, spread)
        return Measured(card["model"]["name"], done, point, float(energy["joules"]), sigma)
    except (OSError, ValueError, ArithmeticError, LookupError, TypeError) as error:
        cause = "it is no board card with an energy" if isinstance(error, TypeError) else str(error)
        raise _calibration_error(file, cause) from None


def _read_row(row: Mapping[str, Any], file: Path, where: str) -> Measured:
    if not row.keys() <= {*COLUMNS} or not row.get("build"):
        raise _calibration_error(file, f"{where}: columns are {', '.join(COLUMNS)}")
    point = find_chip("gap9").at(row.get("operating_point") or "high").point
    name, done = row["build"], _read_activity(row["build"], file)
    numbers = {key: _read_number(row, key, file, where) for key in NUMBERS}
    given = {key: x for key, x in numbers.items() if x is not None}
    if ("energy_uj" in given) == ("power_mw" in given):
        raise _calibration_error(file, f"{where}: either energy_uj or power_mw")
    if name == IDLE and "power_mw" not in given:
        raise _calibration_error(file, f"{where}: what idles has a power: power_mw")
    seconds = done.cycles / point.clock_hz
    energy_j = given.get("energy_uj", 0.0) * 1e-6 + given.get("power_mw", 0.0) * 1e-3 * seconds
    sigma = given.get("sigma_percent", 100 * METER) / 100
    return Measured(name, done, point, energy_j, sigma)


def _read_number(row: Mapping[str, Any], key: str, file: Path, where: str) -> float | None:
    text = row.get(key)
    if not text:
        return None
    try:
        number = float(text)
    except ValueError:
        raise _calibration_error(file, f"{where}: {key} is not a number: {text}") from None
    if not 0 < number <= LARGEST:
        raise _calibration_error(
            file, f"{where}: {key} must be above 0, and {LARGEST:,.0f} at most: {text}"
        )
    return number


def _read_activity(name: str, file: Path) -> Activity:
    """Return the activity counters of a build for the energy fit; zeros for "idle".

    name   folder of the build, relative to the measurements file
    """
    if name == IDLE:
        return Activity(IDLE_CYCLES)
    build = load_build(file.parent / name)
    if not counted(build.report):
        facts = {"needs": "a build that was simulated, with its counters", "has": name}
        tries = [command("simulate", name)]
        raise MyoedgeError("E250", f"{name} has not been simulated", facts, tries)
    counters = activity(build.report)
    return replace(counters, cycles=float(counters.cycles))


def _calibration_error(file: Path, reason: str) -> MyoedgeError:
    return MyoedgeError(
        "E250",
        f"{file.name} holds no measurements of energy",
        {"cause": reason, "needs": EXAMPLE},
    )
