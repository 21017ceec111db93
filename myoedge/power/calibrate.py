# SPDX-License-Identifier: Apache-2.0
"""Measurements -> Coefficients: non-negative least squares, with priors where there are some."""

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
LEAST_SIGMA = 1e-6  # relative, of a prior that is as good as certain


@dataclass(frozen=True, slots=True)
class Measured:
    """What a board took for an inference, or for so many cycles of an idle one.

    sigma   relative standard deviation of the measurement
    """

    name: str
    activity: Activity
    point: OperatingPoint
    joules: float
    sigma: float = METER

    @property
    def idles(self) -> bool:
        """Whether nothing is computed: a power is all that there is."""
        return not self.activity.instructions


@dataclass(frozen=True, slots=True)
class Residual:
    """A measurement, and what coefficients say of it before and after."""

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
    """Coefficients for the board that was measured; the fewer the rows, the nearer to the prior.

    Twice: what the first fit leaves says how well the formula does on this board, and so how much a
    row weighs against the prior in the second.
    Errors: E501 without scipy.
    """
    first = _fitted(rows, prior, prior.workload)
    found = _fitted(rows, prior, min(first.workload, prior.workload))
    return found, [_residual(row, prior, found) for row in rows]


def _fitted(rows: Sequence[Measured], prior: Coefficients, workload: float) -> Coefficients:
    """Least squares with rows that are as wrong as their meter and so much besides."""
    spread = _prior_covariance(prior)
    root = np.linalg.inv(np.linalg.cholesky(spread))  # root.T @ root is the inverse of the spread
    noise = np.array([np.hypot(row.sigma, workload) for row in rows])
    a, b = _relative(rows)
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


def _relative(rows: Sequence[Measured]) -> tuple[Array, Array]:
    """What every coefficient contributes to a measurement, as a part of it; ones."""
    lines = [np.array(joules_per_unit(row.activity, row.point)) / row.joules for row in rows]
    return np.array(lines).reshape(len(rows), -1), np.ones(len(rows))


def _prior_covariance(prior: Coefficients) -> Array:
    """With the board's own factor, which all of them share."""
    values = np.array(prior.values)
    shared = prior.board**2 * np.outer(values, values)
    least = np.diag((LEAST_SIGMA * np.maximum(values, LEAST_SIGMA)) ** 2)
    found: Array = np.array(prior.covariance) + shared + least
    return found


def non_negative(a: Array, b: Array) -> Array:
    """x >= 0 with the smallest |a x - b|. Errors: E501 without scipy."""
    try:
        from scipy.optimize import nnls
    except ImportError:
        tries = ["pip install 'myoedge[energy]'"]
        raise MyoedgeError("E501", "scipy is not installed", tries=tries) from None
    scale = np.linalg.norm(a, axis=0)
    scale[scale == 0] = 1.0
    found: Array = nnls(a / scale, b)[0] / scale
    return found


def _vector(values: Array) -> Vector:
    return tuple(float(f"{value:.6g}") for value in values)


def _residual(row: Measured, before: Coefficients, after: Coefficients) -> Residual:
    said = [energy(row.activity, row.point, by).joules for by in (before, after)]
    return Residual(row, *said)


def free_fit(rows: Sequence[Measured], fixed: Coefficients) -> Coefficients:
    """The first three coefficients by these rows alone, L3 as it is; errors are relative."""
    a, b = _relative(rows)
    rest = b - a[:, 3] * fixed.values[3]
    values = non_negative(a[:, :3], rest)
    residuals = a[:, :3] @ values - rest
    spread = float(residuals @ residuals) / max(len(rows) - 3, 1)
    covariance = np.zeros((4, 4))
    covariance[:3, :3] = spread * np.linalg.pinv(a[:, :3].T @ a[:, :3])
    covariance[3, 3] = fixed.covariance[3][3]
    rounded = tuple(map(_vector, covariance))
    return replace(fixed, values=(*_vector(values), fixed.values[3]), covariance=rounded)
