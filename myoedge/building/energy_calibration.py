# SPDX-License-Identifier: Apache-2.0
"""Energy coefficients fitted to measurements, which a CSV file holds."""

from __future__ import annotations

import csv
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, replace
from itertools import permutations
from pathlib import Path
from typing import Any

from myoedge.backends.build import Build, load_build
from myoedge.backends.measurement import Activity
from myoedge.building.energy import check_application_point, keep
from myoedge.errors import MyoedgeError, command, set_in
from myoedge.power.calibrate import METER, Measured, Residual, calibrate
from myoedge.power.model import PUBLISHED, Coefficients, Spans
from myoedge.reports.energy import activity, coefficients_for, counted, played_states
from myoedge.reports.period import clocked_by
from myoedge.system.notebook import Card, Tabular
from myoedge.system.regular_files import read_text
from myoedge.targets import DEFAULT, DEFAULT_ENERGY, OperatingPoint
from myoedge.targets import DEFAULT_CLOCKS as CLOCKS

IDLE, IDLE_CYCLES = "idle", 1e6
# Phases of an application: passes of the network, by default, and the time between them.
PASS, BETWEEN = "pass", "between"
# Limits of measured values; those of the power are between a chip that sleeps, and ten times what
# the published workloads, or a chip that waits, take at most.
NUMBERS = {
    "energy_uj": (0.0, 1e9),
    "power_mw": (DEFAULT_ENERGY.sleep_mw, 1e3),
    "sigma_percent": (0.01, 100.0),
}
LIMITS = {**NUMBERS, "waiting power_mw": (DEFAULT_ENERGY.sleep_mw, 166.0)}
PHASE = "phase"
MEASURED = ("joules", "spread_joules", "inferences")  # of a board card's energy
MOST_ON_CARD, MOST_PER_CYCLE = 1e15, 100  # of all its numbers; of its counters: more than a chip's
MORE = "..."  # key of fields that no column has
COLUMNS = ("build", "operating_point", *NUMBERS, PHASE)
SIGMAS_APART = 3.0  # of two meters' errors: further apart, two rows contradict each other
HEADER = ",".join(COLUMNS)
NAMED_POINTS = f'{", ".join(point.name for point in DEFAULT.points)}, or a clock as "10 MHz",'
EXAMPLE = f"build,operating_point,power_mw\nidle,high,16.4\nbuild/model-{DEFAULT.name},high,58.1"


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
                "is_outside": residual.is_outside,
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
    _check_contradictions(rows)
    fitted, residuals = calibrate([row.measured for row in rows], PUBLISHED)
    return EnergyCalibration(fitted, tuple(residuals), PUBLISHED, keep(fitted))


@dataclass(frozen=True, slots=True)
class Located:
    """A measurement with its place.

    where      file and line
    measured   what was measured
    build      digest of the build's manifest, by whatever path it is named; "": a chip that waits
    phase      IDLE, PASS or BETWEEN
    """

    where: str
    measured: Measured
    build: str
    phase: str = PASS

    def takes_at_most(self, other: Located) -> bool:
        """Return whether this takes at most the power of the other at the same clocks and voltage:
        the same, a chip that only waits, or the time between passes beside the passes."""
        is_of_same = self.build == other.build and self.phase in (other.phase, BETWEEN)
        return self.phase == IDLE or is_of_same


def _read_measurement(file: Path) -> Iterator[Located]:
    if os.path.isdir(file) or file.suffix == ".json":
        cards = sorted(file.glob("*.json")) if file.is_dir() else [file]
        yield from map(_read_board_card, cards)
        return
    for number, row in _read_rows(file):
        yield _read_row(row, file, f"{file}, line {number}")


def _read_rows(file: Path) -> list[tuple[int, dict[str, Any]]]:
    """Return number of the line, and values by column, of the rows of a CSV file."""
    try:
        reader = csv.DictReader(read_text(file).removeprefix("\ufeff").splitlines(), restkey=MORE)
        names = reader.fieldnames or ()
        rows = [(reader.line_num, row) for row in reader]
    except (OSError, ValueError, csv.Error) as error:
        raise _calibration_error(file, getattr(error, "strerror", None) or str(error)) from None
    if len({*names}) < len(names):
        raise _calibration_error(file, f"a column is there twice: {', '.join(names)}")
    if len(names) == 1 and ";" in names[0]:
        cause = "its columns are separated by semicolons: commas are needed, and points in numbers"
        raise _calibration_error(file, cause)
    for number, row in rows:
        if MORE in row:
            cause = f"it has more fields than the header, {len(names)}: numbers have a point"
            raise _row_error(f"{file}, line {number}", cause)
    return rows


def _read_board_card(file: Path) -> Located:
    """Return the measurement on a board card, the file that `myoedge bench --card` writes."""
    where = str(file)
    try:
        card = json.loads(read_text(file))
        counters, energy = card["counters"], card["energy"]
        name, point_name = card["model"]["name"], card["operating_point"]
        done = Activity(**counters)
        numbers = {**{key: energy[key] for key in MEASURED}, **asdict(done)}
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        is_other = isinstance(error, TypeError | AttributeError)
        cause = "it is no board card with counters and an energy" if is_other else str(error)
        raise _calibration_error(file, cause) from None
    if not isinstance(name, str) or not isinstance(point_name, str):
        raise _row_error(where, "names of model and operating_point are no text")
    _check_card_numbers(numbers, done, where)
    _check_number("energy_uj", 1e6 * energy["joules"], where)
    with set_in(where):
        point = DEFAULT.at(point_name).point
    spread = energy["spread_joules"] / energy["joules"] / math.sqrt(energy["inferences"])
    sigma = math.hypot(METER, spread)
    _check_number("sigma_percent", 100 * sigma, where)
    measured = Measured(name, [(done, point)], float(energy["joules"]), sigma)
    _check_number("power_mw", measured.power_mw, where)
    return Located(where, measured, str(card.get("build") or where))


def _check_card_numbers(numbers: Mapping[str, Any], done: Activity, where: str) -> None:
    for key, number in numbers.items():
        least = int(key in ("cycles", "instructions", "inferences"))
        if not (type(number) in (int, float) and least <= number <= MOST_ON_CARD):
            raise _row_error(where, f"{key} must be {least} to {MOST_ON_CARD:g}: {number!r}")
    if max(astuple(done)) > MOST_PER_CYCLE * done.cycles:
        raise _row_error(where, f"a counter is above {MOST_PER_CYCLE} per cycle")


def _read_row(row: Mapping[str, Any], file: Path, where: str) -> Located:
    if not row.keys() <= {*COLUMNS} or not row.get("build"):
        raise _row_error(where, f"columns are {', '.join(COLUMNS)}")
    phase, point = _read_phase_and_point(row, where)
    if phase == IDLE:
        unmeasured, digest = _idle(point, where), ""
    else:
        with set_in(where):
            build = load_build(file.parent / row["build"])
            unmeasured = _unmeasured(row["build"], build, phase, point)
        digest = build.manifest_digest
    waits = phase in (IDLE, BETWEEN)
    sigma_percent = _read_number(row, "sigma_percent", where) or 100 * METER
    joules = _read_joules(row, unmeasured.seconds, waits, where)
    measured = replace(unmeasured, joules=joules, sigma=sigma_percent / 100)
    _check_number("waiting power_mw" if waits else "power_mw", measured.power_mw, where)
    return Located(where, measured, digest, phase)


def _idle(point: OperatingPoint, where: str) -> Measured:
    """Return the measurement of a row IDLE without its energy, at the clock that is made."""
    if point.waiting_hz:
        made = CLOCKS.settings(point.clock_hz, point.waiting_hz)
        if not made.waits_at(point.waiting_hz):
            cause = f"no divider of 2 or more makes {point.name}"
            mhz = int(made.hz // max(made.waiting, 2) // 100_000) / 10
            near = f'"{point.clock_hz / 1e6:g}/{mhz:g} MHz", the nearest that is made'
            raise _row_error(where, cause, near)
        point = replace(point, waiting_hz=made.waiting_hz)
    return Measured(IDLE, [(Activity(IDLE_CYCLES), point.while_waiting)], 0.0)


def _read_phase_and_point(row: Mapping[str, Any], where: str) -> tuple[str, OperatingPoint]:
    """Return the phase of a row, IDLE, PASS or BETWEEN, and its operating point."""
    phase, idles = row.get(PHASE), row["build"] == IDLE
    if phase and (idles or phase not in (PASS, BETWEEN)):
        raise _row_error(where, f"{PHASE} is {PASS} or {BETWEEN}, of a build")
    if not row.get("operating_point"):
        raise _row_error(where, "it has no operating_point", f"{NAMED_POINTS} in {where}")
    with set_in(where):
        point = DEFAULT.at(row["operating_point"]).point
    return IDLE if idles else phase or PASS, point


def _read_joules(row: Mapping[str, Any], seconds: float, waits: bool, where: str) -> float:
    """Return the energy of a row: energy_uj, or power_mw for so many seconds."""
    energy_uj, power_mw = (_read_number(row, key, where) for key in ("energy_uj", "power_mw"))
    if (energy_uj is None) == (power_mw is None):
        raise _row_error(where, "either energy_uj or power_mw")
    if power_mw is None and waits:
        raise _row_error(where, "a chip that waits has a power: power_mw")
    return 1e-6 * (energy_uj or 0.0) + 1e-3 * (power_mw or 0.0) * seconds


def _unmeasured(name: str, build: Build, phase: str, point: OperatingPoint) -> Measured:
    """Return the measurement of a row of a build without its energy: counters of the last runs on
    the simulated chip."""
    folder, report = build.folder, build.report
    check_application_point(report, point.name)
    if phase == BETWEEN:
        return Measured(f"{name}, {BETWEEN} passes", _between_passes(report, point, folder), 0.0)
    counters, played = activity(report, point.clock_hz), played_states(report)
    inference = [(replace(counters, cycles=float(counters.cycles)), point)]
    if played is not None and (spans := played.of_a_pass(point)):
        error = coefficients_for(report, replace(PUBLISHED, workload=0.0)).workload
        return Measured(name, spans, 0.0, shown=inference, shown_error=error)
    if not counted(report):
        raise _uncounted(folder, "simulated")
    return Measured(name, inference, 0.0)


def _between_passes(report: Mapping[str, Any], point: OperatingPoint, folder: Path) -> Spans:
    """Return what an application's row of BETWEEN measured."""
    played = played_states(report)
    if not clocked_by(report):
        facts = {"needs": "an application, build --app sensor", "has": folder}
        tries = [f"{IDLE} in place of the build, without {BETWEEN}: a chip that only waits"]
        raise MyoedgeError("E250", f"{folder} has no application with phases", facts, tries)
    if played is None:
        raise _uncounted(folder, "played", "--play", "RECORDING.npz")
    return played.between_passes(point)


def _uncounted(folder: Path, needs: str, *options: str) -> MyoedgeError:
    facts = {"needs": f"a build that was {needs}, with its counters", "has": folder}
    tries = [command("simulate", folder, *options)]
    return MyoedgeError("E250", f"{folder} has not been {needs}", facts, tries)


def _read_number(row: Mapping[str, Any], key: str, where: str) -> float | None:
    text = row.get(key)
    if not text:
        return None
    try:
        number = float(text.replace("_", "?"))  # Python's own way to group digits
    except ValueError:
        raise _row_error(where, f"{key} is not a number: {text}") from None
    _check_number(key, number, where)
    return number


def _check_number(key: str, number: float, where: str) -> None:
    least, most = LIMITS[key]
    if not (least <= number <= most and number > 0):
        above = f"at least {least:g}" if least else "above 0"
        raise _row_error(where, f"{key} must be {above}, and {most:,.0f} at most: {number:g}")


def _check_contradictions(rows: Sequence[Located]) -> None:
    """Raise E250 if a row takes more power than one that must take at least as much, at clocks and
    a voltage that are not lower."""
    for row, other in permutations(rows, 2):
        low, high = row.measured, other.measured
        tolerance = 1.0 + SIGMAS_APART * math.hypot(low.sigma, high.sigma)
        if not (row.takes_at_most(other) and _is_as_fast(high, low)):
            continue
        if low.power_mw > high.power_mw * tolerance:
            has, at = f"{low.power_mw:.3g} mW at {low.point.name}", high.point.name
            of_other = f"{high.power_mw:.3g} mW of {high.name} at {at} in {other.where}"
            raise _row_error(row.where, f"{has}, more than the {of_other}")


def _is_as_fast(row: Measured, other: Measured) -> bool:
    """Return whether a row's clocks and voltage are not lower than another's."""
    slowest, fastest = (
        choose(point.clock_hz for done, point in measured.spans if done.cycles)
        for choose, measured in ((min, row), (max, other))
    )
    same_clocks = row.point.same_clocks(other.point)
    return row.point.volts >= other.point.volts and (same_clocks or slowest >= fastest)


def _row_error(where: str, cause: str, remedy: str = "") -> MyoedgeError:
    title = f"{where} is no measurement that the fit can use"
    tries = [remedy or f"measure {where} again, or delete it"]
    return MyoedgeError("E250", title, {"cause": cause, "needs": EXAMPLE}, tries)


def _calibration_error(file: Path, reason: str) -> MyoedgeError:
    return MyoedgeError(
        "E250",
        f"{file.name} holds no measurements of energy",
        {"cause": reason, "needs": EXAMPLE},
    )
