# SPDX-License-Identifier: Apache-2.0
"""Fit of the energy coefficients to measurements: non-negative least squares with priors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from myoedge.errors import MyoedgeError
from myoedge.numerics.arrays import Array
from myoedge.power.model import Coefficients, Spans, Vector, energy_of, units_of
from myoedge.system.tools import install_command
from myoedge.targets import OperatingPoint

METER = 0.02  # relative standard deviation of a measurement that states none
PRIOR_COUNT = 4  # weight of the earlier workload error, in residuals
MIN_SIGMA = 1e-6  # relative standard deviation of a practically certain prior


@dataclass(frozen=True, slots=True)
class Measured:
    """Measured energy of a board: of an inference, of idle cycles, or of the time between passes.

    name     name of the measurement
    spans    counters and operating point of each part of its time; the fastest is first
    joules   the energy
    sigma    relative standard deviation of the measurement
    """

    name: str
    spans: Spans
    joules: float
    sigma: float = METER

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
    """A measurement with its modelled energy before and after calibration, in joules."""

    measured: Measured
    before_j: float
    after_j: float

    @property
    def relative(self) -> float:
        return self.after_j / self.measured.joules - 1


def calibrate(rows: Sequence[Measured], prior: Coefficients) -> tuple[Coefficients, list[Residual]]:
    """Fit the coefficients to a board's measurements; with few of them, the fit stays close to
    `prior`.

    The fit runs twice: the residuals of the first run show how well the model fits this board,
    which sets the weight of the measurements relative to the prior in the second. Errors: E501
    without scipy.
    """
    first = _fit_coefficients(rows, prior, prior.workload)
    fitted = _fit_coefficients(rows, prior, min(first.workload, prior.workload))
    calibrated = replace(fitted, waiting=_fit_waiting([row for row in rows if row.idles], prior))
    residuals = []
    for row in rows:
        after = calibrated.waiting if row.idles and calibrated.waiting else calibrated
        joules = (energy_of(row.spans, by).joules for by in (prior, after))
        residuals.append(Residual(row, *joules))
    return calibrated, residuals


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
    of the model for other workloads."""
    known = np.array(prior.values)
    board_covariance = prior.board**2 * np.outer(known, known)  # the board's common factor
    floor = np.diag((MIN_SIGMA * np.maximum(known, MIN_SIGMA)) ** 2)
    spread = np.array(prior.covariance) + board_covariance + floor
    root = np.linalg.inv(np.linalg.cholesky(spread))  # root.T @ root is the inverse of the spread
    noise = np.array([np.hypot(row.sigma, workload) for row in rows])
    a, b = relative_contributions(rows)
    stacked = np.vstack([a / noise[:, None], root])
    values = non_negative(stacked, np.concatenate([b / noise, root @ known]))
    residuals = a @ values - b
    scatter = PRIOR_COUNT * prior.workload**2 + float(residuals @ residuals)
    return Coefficients(
        rounded(values),
        tuple(map(rounded, np.linalg.inv(stacked.T @ stacked))),
        workload=float(np.sqrt(scatter / (PRIOR_COUNT + len(rows)))),
        board=0.0,
        source=f"calibrated with {len(rows)} measurement{'s' * (len(rows) != 1)}",
    )


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
