# SPDX-License-Identifier: Apache-2.0
"""Non-negative least squares on relative errors, by Lawson and Hanson's active sets."""

from __future__ import annotations

import numpy as np

from myoedge.numerics.arrays import Array

TOLERANCE = 1e-9


def non_negative(a: Array, b: Array, most: int = 2000) -> Array:
    """x >= 0 with the smallest |a x - b| (Solving Least Squares Problems, 1974, chapter 23)."""
    n = a.shape[1]
    turned = np.linalg.qr(np.column_stack([a, b]), mode="r")  # fewer rows, the same lengths
    a, b = turned[:, :-1], turned[:, -1]
    x, free = np.zeros(n), np.zeros(n, bool)
    for _ in range(most):
        slope = a.T @ (b - a @ x)
        slope[free] = -np.inf
        if free.all() or slope.max() <= TOLERANCE:
            break
        free[int(slope.argmax())] = True
        x, free = _inside(a, b, x, free)
    return x


def _inside(a: Array, b: Array, x: Array, free: Array) -> tuple[Array, Array]:
    """The least squares of the free ones, as far as none of them is below 0."""
    while True:
        wanted = np.zeros_like(x)
        wanted[free] = np.linalg.lstsq(a[:, free], b, rcond=None)[0]
        below = free & (wanted <= 0)
        if not below.any():
            return wanted, free
        share = float(np.min(x[below] / np.maximum(x[below] - wanted[below], 1e-300)))
        x = x + share * (wanted - x)
        free = free & (x > TOLERANCE)
        x = np.where(free, x, 0.0)
