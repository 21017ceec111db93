# SPDX-License-Identifier: Apache-2.0
"""Fit of the energy coefficients to measurements: non-negative least squares with priors."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import astuple, dataclass, replace
from statistics import fmean

import numpy as np

from myoedge.errors import MyoedgeError
from myoedge.numerics.arrays import Array
from myoedge.power.model import SIGMAS, Coefficients, Spans, Vector, energy_of, units_of
from myoedge.system.tools import install_command
from myoedge.targets import OperatingPoint

METER = 0.02  # relative standard deviation of a measurement that states none
OWN_PART = 0.5  # of it that differs between measurements; its gain's error is in all: assumed
PRIOR_COUNT = 4  # weight of the earlier workload error, in workloads
MIN_SIGMA = 1e-6  # relative standard deviation of a practically certain prior


@dataclass(frozen=True, slots=True)
class Measured:
    """Measured energy of a board: of an inference, of idle cycles, or of the time between passes.

    name     name of the measurement
    spans    counters and operating point of each part of its time; the fastest is first
    joules   the energy
    sigma    relative standard deviation of the measurement
    shown    counters from which reports compute this energy, if they are others than `spans`
    shown_error   relative standard deviation of their energy, if they are estimates
    """

    name: str
    spans: Spans
    joules: float
    sigma: float = METER
    shown: Spans = ()
    shown_error: float = 0.0

    @property
    def point(self) -> OperatingPoint:
        """Operating point with the highest clock."""
        return self.spans[0][1]

    @property
    def idles(self) -> bool:
        """Whether the cluster was idle during the measurement: it counted no instructions."""
        return not any(activity.instructions for activity, _ in self.spans)

    @property
    def seconds(self) -> float:
        """Duration in seconds."""
        return sum(activity.cycles / point.clock_hz for activity, point in self.spans)

    @property
    def power_mw(self) -> float:
        """Mean power in milliwatts."""
        return 1e3 * self.joules / self.seconds


@dataclass(frozen=True, slots=True)
class Residual:
    """A measurement with its modelled energy before and after calibration, in joules.

    is_outside   whether the fit's own interval does not contain the measurement, and was widened
    shown_j      energy after calibration that reports show, if it is of other counters
    """

    measured: Measured
    before_j: float
    after_j: float
    is_outside: bool = False
    shown_j: float | None = None

    @property
    def relative(self) -> float:
        return self.after_j / self.measured.joules - 1

    @property
    def shown_relative(self) -> float | None:
        return None if self.shown_j is None else self.shown_j / self.measured.joules - 1


def calibrate(rows: Sequence[Measured], prior: Coefficients) -> tuple[Coefficients, list[Residual]]:
    """Fit the coefficients to a board's measurements; with few of them, the fit stays close to
    `prior`. The intervals then contain all rows.

    The fit runs twice: the residuals of the first run show how well the model fits this board,
    which sets the weight of the measurements relative to the prior in the second. Errors: E501
    without scipy.
    """
    means = _means_of_repeated(rows)
    first = _fit_coefficients(means, prior, prior.workload)
    fitted = _fit_coefficients(means, prior, min(first.workload, prior.workload))
    waiting = _fit_waiting([row for row in means if row.idles], prior)
    count = f"{len(rows)} measurement{'s' * (len(rows) != 1)}"
    calibrated = replace(fitted, waiting=waiting, source=f"calibrated with {count}")
    residuals = [_residual(row, prior, calibrated) for row in rows]
    now = _containing(calibrated, [row for row in rows if not row.idles])
    if waiting is not None:
        idles = [row for row in rows if row.idles]
        now = replace(now, waiting=replace(_containing(waiting, idles), source=now.source))
    return now, residuals


def _residual(row: Measured, prior: Coefficients, calibrated: Coefficients) -> Residual:
    by = (row.idles and calibrated.waiting) or calibrated
    before, after = (energy_of(row.spans, x) for x in (prior, by))
    shown_j = energy_of(row.shown, by).joules if row.shown else None
    is_outside = max(_workload_errors(row, replace(by, workload=0.0))) > by.workload**2
    return Residual(row, before.joules, after.joules, is_outside, shown_j)


def _workload_errors(row: Measured, exact: Coefficients) -> list[float]:
    """Return the squares of the model's errors with which the intervals of a row, and of what
    reports show of it, just contain the row.

    exact   coefficients without an error of the model
    """
    least, kinds = [], [(row.spans, 0.0), (row.shown, row.shown_error)]
    for found, error in ((energy_of(spans, exact), error) for spans, error in kinds if spans):
        sigma_j = abs(found.joules - row.joules) / SIGMAS
        least.append((sigma_j**2 - found.sigma_j**2) / found.joules**2 - error**2)
    return least


def _containing(by: Coefficients, rows: Sequence[Measured]) -> Coefficients:
    """Return the coefficients with so large an error of the model that the intervals contain these
    rows."""
    exact, margin = replace(by, workload=0.0), 1.0 + 1e-5
    least = [margin * square for row in rows for square in _workload_errors(row, exact)]
    return replace(by, workload=rounded(np.sqrt([max([by.workload**2, *least])]))[0])


def _means_of_repeated(rows: Sequence[Measured]) -> list[Measured]:
    """Return one row for all that measured the same counters at the same clocks and voltages: their
    mean, with a meter's error that repetition does not make smaller."""
    found: dict[Hashable, list[Measured]] = {}
    for row in rows:
        points = tuple((point.volts, point.clock_hz) for _, point in row.spans)
        found.setdefault((_workload_of(row), points), []).append(row)
    means = []
    for same in found.values():
        weights = np.array([row.sigma**-2 for row in same])
        powers = np.array([row.power_mw for row in same])
        mean_j = 1e-3 * float(weights @ powers / weights.sum()) * same[0].seconds
        sigma = float(weights.mean() ** -0.5)
        means.append(replace(same[0], joules=mean_j, sigma=sigma))
    return means


def _workload_of(row: Measured) -> Hashable:
    """Return what tells measured workloads apart: the counters to two digits. A chip that waits is
    one workload."""
    if row.idles:
        return ""
    return tuple(f"{x:.1e}" for done, _ in row.spans for x in astuple(done))


def _fit_waiting(rows: Sequence[Measured], prior: Coefficients) -> Coefficients | None:
    """Return the coefficients of a chip whose cores wait, which is what these rows measured; None
    without rows. No workload differs from another: only the meter's error, and what the model
    leaves of the rows, is in the interval at voltages between those of the rows."""
    if not rows:
        return None
    fitted = _fit_coefficients(rows, prior, 0.0)
    a, b = relative_contributions(rows)
    scatter = float(np.sqrt(np.mean((a @ np.array(fitted.values) - b) ** 2)))
    volts = [row.point.volts for row in rows]
    workload = rounded(np.array([scatter]))[0]
    return replace(fitted, workload=workload, volts=(min(volts), max(volts)))


def _fit_coefficients(
    rows: Sequence[Measured], prior: Coefficients, workload: float
) -> Coefficients:
    """Return coefficients fitted by least squares; a measurement's error is that of the meter and
    of the model for other workloads. Measured inferences alone tell the latter."""
    known = np.array(prior.values)
    board_covariance = prior.board**2 * np.outer(known, known)  # the board's common factor
    floor = np.diag((MIN_SIGMA * np.maximum(known, MIN_SIGMA)) ** 2)
    spread = np.array(prior.covariance) + board_covariance + floor
    root = np.linalg.inv(np.linalg.cholesky(spread))  # root.T @ root is the inverse of the spread
    whiten = np.linalg.inv(np.linalg.cholesky(_errors(rows, workload)))
    a, b = relative_contributions(rows)
    stacked = np.vstack([whiten @ a, root])
    values = non_negative(stacked, np.concatenate([whiten @ b, root @ known]))
    squares: dict[Hashable, list[float]] = {}
    for row, residual in zip(rows, a @ values - b, strict=True):
        if not row.idles:
            squares.setdefault(_workload_of(row), []).append(residual**2)
    scatter = PRIOR_COUNT * prior.workload**2 + sum(map(fmean, squares.values()))
    return Coefficients(
        rounded(values),
        tuple(map(rounded, np.linalg.inv(stacked.T @ stacked))),
        workload=float(np.sqrt(scatter / (PRIOR_COUNT + len(squares)))),
        board=0.0,
        source="",
    )


def _errors(rows: Sequence[Measured], workload: float) -> Array:
    """Return the covariance of the rows' relative errors. All have the error of the most exact
    meter in common, as its gain is the same in all; rows of a workload have the model's error for
    it in common."""
    sigmas = np.array([row.sigma for row in rows])
    common = sigmas.min() ** 2
    workloads = [_workload_of(row) for row in rows]
    is_same = np.array([[one == other for other in workloads] for one in workloads])
    own = np.diag(sigmas**2 - common * (1.0 - OWN_PART**2))
    errors: Array = own + common + workload**2 * is_same
    return errors


def relative_contributions(rows: Sequence[Measured]) -> tuple[Array, Array]:
    """Return the least-squares problem a x = b whose solution x are the coefficients: a
    [measurements, coefficients] is the energy per unit of each coefficient, divided by the measured
    energy, and b is ones."""
    lines = [np.array(units_of(row.spans)) / row.joules for row in rows]
    return np.array(lines).reshape(len(rows), -1), np.ones(len(rows))


def non_negative(a: Array, b: Array) -> Array:
    """Return the x >= 0 that minimises |a x - b| (least squares). Errors: E501 without scipy."""
    try:
        from scipy.optimize import nnls
    except ImportError:
        tries = [install_command("energy")]
        raise MyoedgeError("E501", "scipy is not installed", tries=tries) from None
    scale = np.linalg.norm(a, axis=0)
    scale[scale == 0] = 1.0
    solution: Array = nnls(a / scale, b)[0] / scale
    return solution


def rounded(values: Array) -> Vector:
    """Round values to six digits."""
    return tuple(float(f"{value:.6g}") for value in values)
