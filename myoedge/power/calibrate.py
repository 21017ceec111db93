# SPDX-License-Identifier: Apache-2.0
"""Measurements -> Coefficients: non-negative least squares with priors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from myoedge.backends.measurement import Activity
from myoedge.errors import MyoedgeError
from myoedge.numerics.arrays import Array
from myoedge.power.model import Coefficients, Vector, energy, joules_per_unit
from myoedge.targets import OperatingPoint

METER = 0.02  # relative standard deviation of a measurement, unless it says its own
PRIOR_COUNT = 4  # so many residuals is the workload error worth that was known before
MIN_SIGMA = 1e-6  # relative, of a prior that is as good as certain


@dataclass(frozen=True, slots=True)
class Measured:
    """Energy that a board took for an inference, or for a number of idle cycles.

    sigma   relative standard deviation of the measurement
    """

    name: str
    activity: Activity
    point: OperatingPoint
    joules: float
    sigma: float = METER

    @property
    def idles(self) -> bool:
        """Whether no instruction is counted: the measurement is a power."""
        return not self.activity.instructions


@dataclass(frozen=True, slots=True)
class Residual:
    """A measurement with the energy that the model estimates before and after calibration."""

    measured: Measured
    before_j: float
    after_j: float

    @property
    def seconds(self) -> float:
        return self.measured.activity.cycles / self.measured.point.clock_hz

    @property
    def relative(self) -> float:
        return self.after_j / self.measured.joules - 1


def calibrate(rows: Sequence[Measured], prior: Coefficients) -> tuple[Coefficients, list[Residual]]:
    """Coefficients fitted to a board; the fewer the rows, the nearer to the prior.

    Twice: what the first fit leaves says how well the formula does on this board, and so how much a
    row weighs against the prior in the second.
    Errors: E501 without scipy.
    """
    first = _fitted(rows, prior, prior.workload)
    calibrated = _fitted(rows, prior, min(first.workload, prior.workload))
    return calibrated, [_residual(row, prior, calibrated) for row in rows]


def _fitted(rows: Sequence[Measured], prior: Coefficients, workload: float) -> Coefficients:
    """Least squares in which a row's error is its meter's and the workload's."""
    spread = _prior_covariance(prior)
    root = np.linalg.inv(np.linalg.cholesky(spread))  # root.T @ root is the inverse of the spread
    noise = np.array([np.hypot(row.sigma, workload) for row in rows])
    a, b = _relative_contributions(rows)
    stacked = np.vstack([a / noise[:, None], root])
    values = non_negative(stacked, np.concatenate([b / noise, root @ np.array(prior.values)]))
    residuals = a @ values - b
    scatter = PRIOR_COUNT * prior.workload**2 + float(residuals @ residuals)
    return Coefficients(
        _vector(values),
        tuple(map(_vector, np.linalg.inv(stacked.T @ stacked))),
        workload=float(np.sqrt(scatter / (PRIOR_COUNT + len(rows)))),
        board=0.0,
        source=f"calibrated with {len(rows)} measurement{'s' * (len(rows) != 1)}",
    )


def _relative_contributions(rows: Sequence[Measured]) -> tuple[Array, Array]:
    """Relative contribution of every coefficient to each measurement, and a vector of ones."""
    lines = [np.array(joules_per_unit(row.activity, row.point)) / row.joules for row in rows]
    return np.array(lines).reshape(len(rows), -1), np.ones(len(rows))


def _prior_covariance(prior: Coefficients) -> Array:
    """Covariance of the prior, with the board's common factor."""
    values = np.array(prior.values)
    board_covariance = prior.board**2 * np.outer(values, values)
    floor = np.diag((MIN_SIGMA * np.maximum(values, MIN_SIGMA)) ** 2)
    total: Array = np.array(prior.covariance) + board_covariance + floor
    return total


def non_negative(a: Array, b: Array) -> Array:
    """The x >= 0 that minimises |a x - b|. Errors: E501 without scipy."""
    try:
        from scipy.optimize import nnls
    except ImportError:
        tries = ["pip install 'myoedge[energy]'"]
        raise MyoedgeError("E501", "scipy is not installed", tries=tries) from None
    scale = np.linalg.norm(a, axis=0)
    scale[scale == 0] = 1.0
    solution: Array = nnls(a / scale, b)[0] / scale
    return solution


def _vector(values: Array) -> Vector:
    return tuple(float(f"{value:.6g}") for value in values)


def _residual(row: Measured, before: Coefficients, after: Coefficients) -> Residual:
    estimates = [energy(row.activity, row.point, by).joules for by in (before, after)]
    return Residual(row, *estimates)


def free_fit(rows: Sequence[Measured], fixed: Coefficients) -> Coefficients:
    """The first three coefficients fitted to these rows without a prior, L3 fixed; errors are
    relative."""
    a, b = _relative_contributions(rows)
    remainder = b - a[:, 3] * fixed.values[3]
    values = non_negative(a[:, :3], remainder)
    residuals = a[:, :3] @ values - remainder
    spread = float(residuals @ residuals) / max(len(rows) - 3, 1)
    covariance = np.zeros((4, 4))
    covariance[:3, :3] = spread * np.linalg.pinv(a[:, :3].T @ a[:, :3])
    covariance[3, 3] = fixed.covariance[3][3]
    rounded = tuple(map(_vector, covariance))
    return replace(fixed, values=(*_vector(values), fixed.values[3]), covariance=rounded)
