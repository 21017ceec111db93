# SPDX-License-Identifier: Apache-2.0
"""Linear predictors (AR coefficients) from autocorrelations, by Levinson's and Durbin's recursion.

x[t] is predicted as the sum of a[k] * x[t - k], k from 1 to the order; a solves Yule-Walker's
equations: for every i, the sum of a[k] * r[|i - k|] is r[i].
"""

from __future__ import annotations

import numpy as np

from myoedge.numerics.arrays import Array

MOST_ORDER = 8  # sums of coefficients times autocorrelations fit 63 bits
ENERGY_BITS = 30  # bits of r[0] after normalisation
FRACTION_BITS = 24  # of coefficients, whose magnitude is at most binomial(8, 4) = 70
RATIO_BITS = 30  # fraction bits of reflection coefficients, whose magnitude is at most 1


def autocorrelations(x: Array, order: int) -> Array:
    """Return autocorrelations r [order + 1, ...]: sums of x[t] * x[t + k] over the last axis, for k
    = 0 .. order."""
    length = x.shape[-1]
    return np.stack([(x[..., : length - k] * x[..., k:]).sum(-1) for k in range(order + 1)])


def predictor(r: Array) -> Array:
    """Return AR coefficients [order, ...] for autocorrelations r [order + 1, ...]; zeros for a
    window of zeros."""
    energy = r[0].astype(np.float64)
    rows = list[Array]()
    for i in range(1, len(r)):
        rest = r[i] - sum(a * r[i - j] for j, a in enumerate(rows, 1))
        ratio = np.divide(rest, energy, out=np.zeros_like(energy), where=energy > 0)
        rows = [*(a - ratio * b for a, b in zip(rows, rows[::-1], strict=True)), ratio]
        energy = energy * (1 - ratio**2)
    return np.stack(rows)


def predictor_in_integers(r: Array) -> Array:
    """Return AR coefficients int64 [order, ...] in units of 2^-24, for autocorrelations r int64
    [order + 1, ...].

    |r[k]| is at most r[0], which is less than 2^53. Products are rounded half up, quotients
    towards zero.
    """
    r = _normalised(r)
    energy, rows = r[0], list[Array]()
    half, one = 1 << (RATIO_BITS - 1), 1 << RATIO_BITS
    for i in range(1, len(r)):
        rest = (r[i] << FRACTION_BITS) - sum(a * r[i - j] for j, a in enumerate(rows, 1))
        ratio = _quotient(rest >> FRACTION_BITS, energy)
        turned = zip(rows, rows[::-1], strict=True)
        rows = [a - ((ratio * b + half) >> RATIO_BITS) for a, b in turned]
        drop = RATIO_BITS - FRACTION_BITS
        rows.append((ratio + (1 << (drop - 1))) >> drop)
        energy = (energy * ((one * one - ratio * ratio) >> RATIO_BITS)) >> RATIO_BITS
    return np.stack(rows)


def _normalised(r: Array) -> Array:
    """Shift the autocorrelations of each window so that r[0] has 30 bits."""
    right = np.frexp(r[0].astype(np.float64))[1].astype(np.int64) - ENERGY_BITS
    return np.asarray(np.where(right > 0, r >> np.maximum(right, 0), r << np.maximum(-right, 0)))


def _quotient(a: Array, b: Array) -> Array:
    """Return a / b in units of 2^-30, rounded towards zero and clipped to -1 .. 1; 0 if b is 0."""
    size = np.minimum(np.abs(a), b)
    return np.asarray(np.sign(a) * ((size << RATIO_BITS) // np.maximum(b, 1)))
