# SPDX-License-Identifier: Apache-2.0
"""Energy of a build, with coefficients fitted to a board's measurements or else published ones."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from itertools import chain
from pathlib import Path
from typing import Any

from myoedge.backends.build import Build
from myoedge.backends.runner import instead
from myoedge.building.build_files import changed_report
from myoedge.building.operating_points import at_operating_point, cheapest_point
from myoedge.building.quantities import milliampere_hours, milliwatts, positive, seconds, volts
from myoedge.errors import MyoedgeError, Notice
from myoedge.power.model import PUBLISHED, Coefficients
from myoedge.reports import speed
from myoedge.reports.energy import with_energy
from myoedge.reports.period import clocked_by, limited_s, own_period_s, period_s
from myoedge.reports.speed import duration
from myoedge.reports.streams import with_passes
from myoedge.reports.wording import told_apart
from myoedge.system.folder import explained, write_file
from myoedge.system.regular_files import read_text
from myoedge.targets import DEFAULT, Chip, find_chip, first_chip
from myoedge.targets.boards import find_board
from myoedge.targets.chip import AUTO_POINT

FILE = f"energy-{DEFAULT.name}.json"
VARIABLE = "MYOEDGE_ENERGY"  # path of another calibration file; empty: published coefficients
MOST_VOLTS = 2.0  # of a core of a chip
GATE_POWERS = ("gate_w", "saved_w", "without_w")  # of an application with a gate, by a playback
NOTHING_GIVEN: Mapping[str, float | None] = dict.fromkeys(
    ("period_s", "battery_mah", "battery_volts")
)


def duty_cycle(
    every: str | None, battery: str | float | None, battery_volts: str | float | None
) -> dict[str, float]:
    """Parse --every, --battery and --volts; return those that are given: period in seconds,
    capacity in mAh, voltage.

    Errors: E232 not a time, capacity or voltage.
    """
    found = dict[str, float]()
    if every is not None:
        found["period_s"] = positive(seconds(every, "--every"), "--every")
    if battery is not None:
        found["battery_mah"] = positive(milliampere_hours(battery, "--battery"), "--battery")
    if battery_volts is not None:
        found["battery_volts"] = positive(volts(battery_volts, "--volts"), "--volts")
    return found


def module_powers(
    others: str | None, sleep: str | None, board_name: str | None
) -> dict[str, float]:
    """Parse --others, --sleep and --board; return the powers that are given, in milliwatts.

    Errors: E232 no power; E252, E253 no such board.
    """
    stated = find_board(board_name).energy if board_name else None
    known = {} if stated is None else asdict(stated)
    if others is not None:
        known["others_mw"] = milliwatts(others, "--others")
    if sleep is not None:
        known["sleep_mw"] = milliwatts(sleep, "--sleep")
    return {name: mw for name, mw in known.items() if mw is not None}


def given_latency_s(text: str | None, point_name: str | None) -> float | None:
    """Parse the limit of `energy --latency` in seconds; None without one.

    Errors: E232 not a time, or combined with an operating point other than auto.
    """
    if text is None:
        return None
    if point_name not in (None, AUTO_POINT):
        title = f"--latency chooses the operating point, and {point_name} is given"
        raise MyoedgeError("E232", title, tries=[f"--operating-point auto --latency {text}"])
    return positive(seconds(text, "--latency"), "--latency")


def consumption(
    build: Build,
    point_name: str | None,
    given: Mapping[str, float | None],
    latency_s: float | None = None,
    *,
    resets: bool = False,
) -> tuple[dict[str, Any], Notice | None]:
    """Implement api.energy; return the new report, and W210 if it cannot be written.

    given       as of `with_given_powers`
    latency_s   latency limit; selects the cheapest point within it
    resets      whether to forget the values of earlier runs
    """
    chip = find_chip(str(build.manifest.get("target")))
    if chip.energy is None:
        title, facts = f"the energy of {chip.name} is not known", {"target": chip.name}
        tries = instead(build, first_chip(lambda x: x.energy))
        if chip.factor is not None:
            tries.insert(0, f"{tries[0]} --board BOARD.toml  with its core's clock and current")
        raise MyoedgeError("E240", title, facts, tries)
    return changed_report(
        build, lambda stored: _consumed(stored, chip, point_name, given, latency_s, resets)
    )


def _consumed(
    stored: dict[str, Any],
    chip: Chip,
    point_name: str | None,
    given: Mapping[str, float | None],
    latency_s: float | None,
    resets: bool,
) -> dict[str, Any]:
    """Return the new report for a stored one; `consumption` documents the other arguments."""
    coefficients_now = coefficients()
    report = renewable(stored, coefficients_now)
    if resets:
        report = {key: value for key, value in report.items() if key != "every"}
    if latency_s is not None or point_name == AUTO_POINT:
        point_name = _least_energy_point(report, chip, coefficients_now, latency_s)
    check_application_point(report, point_name)
    _check_application_period(report, given)
    chip = chip.at(point_name or report["target"]["operating_point"])
    report = with_given_powers(report, given)
    report_at_point = at_operating_point(report, chip, False, coefficients_now)
    _check_period(report_at_point)
    return report_at_point


def is_of(report: Mapping[str, Any], by: Coefficients) -> bool:
    """Return whether all figures of a stored report that energy coefficients determine are of
    these."""
    fresh = with_passes(with_energy(report, by), by)
    return _have_same_figures(json.loads(json.dumps(fresh)), report)


def _have_same_figures(fresh: Any, stored: Any) -> bool:
    """Return whether two JSON values are equal, but for keys that one of them lacks: a report of
    another version may have others."""
    if isinstance(fresh, dict) and isinstance(stored, dict):
        return all(_have_same_figures(fresh[key], stored[key]) for key in fresh.keys() & stored)
    if isinstance(fresh, list) and isinstance(stored, list):
        pairs = zip(fresh, stored, strict=False)
        return len(fresh) == len(stored) and all(_have_same_figures(*pair) for pair in pairs)
    return bool(fresh == stored)


def renewable(report: dict[str, Any], by: Coefficients) -> dict[str, Any]:
    """Return a stored report to be renewed with energy coefficients: if it has others, without what
    is then not computed again, which are suggestions of `advise` and what a gate saves."""
    if is_of(report, by):
        return report
    report = {key: value for key, value in report.items() if key != "advice"}
    played = report.get("played") or {}
    if wake := played.get("wake"):
        counts = {key: value for key, value in wake.items() if key not in GATE_POWERS}
        report["played"] = {**played, "wake": counts}
    return report


def check_application_point(report: Mapping[str, Any], point_name: str | None) -> None:
    """Raise E232 if an application that sets its own clock was built for another operating point,
    or if the network reads a memory that the point is too slow for."""
    if point_name in (None, AUTO_POINT):
        return
    application, built_for = clocked_by(report), report["target"]["operating_point"]
    chip = find_chip(report["target"]["chip"])
    there = chip.at(str(point_name))
    if application and not there.point.same_clocks(chip.at(built_for).point):
        title = f"the {application} application is built for the operating point {built_for}"
        raise MyoedgeError("E232", title, {"asked": point_name}, [_build_again(str(point_name))])
    levels = report["memory"]["levels"]
    least_hz, clock_hz = chip.least_hz(levels), there.point.clock_hz
    if not application:
        there.without_waiting()
    if clock_hz < least_hz:
        used = [name for name, size in levels.items() if size]
        needs = f"{least_hz / 1e6:g} MHz or more for {' and '.join(map(str.upper, used))}"
        facts = {"needs": needs, "has": f"{clock_hz / 1e6:g} MHz"}
        tries = [f'--operating-point "{least_hz / 1e6:g} MHz"']
        raise MyoedgeError("E232", "the clock is too slow for the build's memories", facts, tries)


def _check_application_period(report: Mapping[str, Any], given: Mapping[str, float | None]) -> None:
    """Raise E232 if a period is given for an application that sets it."""
    application, own_s = clocked_by(report), own_period_s(report)
    if application and own_s is not None and given.get("period_s") not in (None, own_s):
        own, asked = told_apart(duration, own_s, given["period_s"] or 0.0)
        title = f"the {application} application runs an inference every {own}"
        tries = [f"[{application}] hop or rate, and build again", "energy without --every"]
        raise MyoedgeError("E232", title, {"asked": asked}, tries)


def with_given_powers(report: dict[str, Any], given: Mapping[str, float | None]) -> dict[str, Any]:
    """Return the report with the `given` values, which later runs use too until they give others.
    Errors: E232 a battery without a period, a voltage without a battery.

    given   some of period_s, battery_mah, battery_volts, others_mw, sleep_mw
    """
    if not given:
        return report
    every = {**NOTHING_GIVEN, **(report.get("every") or {}), **given}
    if every["battery_mah"] is None and "battery_volts" in given:
        tries = ["--battery 150"]
        raise MyoedgeError("E232", "--volts are of a --battery, and none is given", tries=tries)
    report = {**report, "every": every}
    if period_s(report) is None and "battery_mah" in given:
        tries = [
            '--every "50 ms"  (and --volts, 3.7 without it)',
            "[stream] rate, for a build with --stream",
            "--app sensor, whose [sensor] has the rate",
        ]
        raise MyoedgeError("E232", "--battery needs to know how often", tries=tries)
    return report


def _check_period(report: Mapping[str, Any]) -> None:
    """Raise E232 if `--every` is shorter than an inference, or given for a stream."""
    every_s, taken_s = (report.get("every") or {}).get("period_s"), report["latency_s"]
    if every_s is None or every_s >= taken_s:
        return
    taken, point = speed.latencies(dict(report))[0]
    facts = {"needs": f"{taken} for an inference at {point}", "has": duration(every_s)}
    at_least = (
        f"{math.ceil(1e6 * taken_s)}us" if taken_s < 1e-2 else f"{math.ceil(1e3 * taken_s)}ms"
    )
    title = "--every is shorter than an inference takes"
    raise MyoedgeError("E232", title, facts, [f"--every {at_least}"])


def _least_energy_point(
    report: Mapping[str, Any], chip: Chip, by: Coefficients, latency_s: float | None
) -> str:
    """Return the name of the operating point with the least energy that meets the latency. Errors:
    E302 if the fastest point does not."""
    name = cheapest_point(dict(report), chip, by, latency_s)
    taken_s = limited_s(at_operating_point(dict(report), chip.at(name), False, by))
    if latency_s is None or taken_s is None or taken_s <= latency_s:
        return name
    application = clocked_by(report)
    ended = f", for a decision of the {application} application" if application else ""
    needs, has = told_apart(duration, latency_s, taken_s)
    facts = {"needs": needs, "has": f"{has} at {name}, the fastest{ended}"}
    more_ms = 1.005e3 * taken_s
    enough = f"--latency {more_ms:.3g}ms" if more_ms < 100 else f"--latency {more_ms:.0f}ms"
    if application:
        enough = f"{_build_again(name)}, for {enough}"
    raise MyoedgeError("E302", "no operating point meets the latency limit", facts, [enough])


def _build_again(point_name: str) -> str:
    return f"myoedge build with the same arguments and --operating-point {point_name!r}"


# --- coefficients ---------------------------------------------------------------------------------


def coefficients() -> Coefficients:
    """Return the energy coefficients in use. Errors: E251 the calibration file cannot be read."""
    path = place()
    if path is None or not os.path.lexists(path):
        return PUBLISHED
    try:
        stored = json.loads(read_text(path))
        known, waiting = _check_coefficients(stored), stored.get("waiting")
        return replace(known, waiting=None if waiting is None else _check_coefficients(waiting))
    except (OSError, ValueError, TypeError, RecursionError, OverflowError) as error:
        raise MyoedgeError(
            "E251",
            "the calibration of energy cannot be read",
            {"file": path, "cause": str(error).splitlines()[0]},
            ["myoedge energy calibrate MEASUREMENTS.csv again", "or delete that file"],
        ) from None


def _check_coefficients(given: Any) -> Coefficients:
    """Return stored coefficients, six finite numbers, without `waiting`. Calibrations of before the
    accelerator or MRAM get the published coefficients of these. Errors: ValueError."""
    stored = _by_name(given)
    values = tuple(map(float, stored.values))
    rows = tuple(tuple(map(float, row)) for row in stored.covariance)
    count = len(PUBLISHED.values)
    if len(values) < 4 or len(values) > count or {len(rows), *map(len, rows)} != {len(values)}:
        raise ValueError(f"it does not hold {count} coefficients")
    for n in range(len(values), count):
        values, added = (*values, PUBLISHED.values[n]), PUBLISHED.covariance[n][n]
        rows = (*((*row, 0.0) for row in rows), (*(0.0,) * n, added))
    variances = [row[n] for n, row in enumerate(rows)]
    volts = tuple(map(float, stored.volts))
    sure = (*values, *variances, float(stored.workload), float(stored.board), *volts)
    if not all(map(math.isfinite, (*sure, *chain(*rows)))) or min(sure) < 0:
        raise ValueError("a number in it is infinite, or below 0")
    of_model = (float(stored.workload), float(stored.board), str(stored.source))
    return Coefficients(values, rows, *of_model, volts=volts)


def _by_name(given: Any) -> Coefficients:
    """Return the coefficients that a JSON document holds. Errors: ValueError other names."""
    names = {field.name for field in fields(Coefficients)}
    optional = {"waiting", "volts"}  # of measurements of a chip that waits
    if not isinstance(given, dict) or not names - optional <= given.keys() <= names:
        raise ValueError("it does not hold coefficients by their names")
    volts = given.get("volts", [])
    are_numbers = isinstance(volts, list) and all(type(x) in (int, float) for x in volts)
    if not (are_numbers and len(volts) in (0, 2) and all(0 < x < MOST_VOLTS for x in volts)):
        raise ValueError("volts are the lowest and the highest, or none")
    return Coefficients(**given)


def keep(fitted: Coefficients) -> Path:
    """Store energy coefficients on this computer; return the path. Errors: E220 not writable."""
    path, tries = place() or _default_coefficients(), (f"{VARIABLE}=<file in a writable folder>",)
    with explained(path, *tries):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, (json.dumps(asdict(fitted), indent=2) + "\n").encode(), tries)
    return path


def place() -> Path | None:
    """Return the path of the file with calibrated energy coefficients; None if calibrations are
    disabled."""
    named = os.environ.get(VARIABLE)
    if named is not None:
        return Path(named).absolute() if named else None
    return _default_coefficients()


def _default_coefficients() -> Path:
    import platformdirs

    return Path(platformdirs.user_data_dir("myoedge", appauthor=False)) / FILE
