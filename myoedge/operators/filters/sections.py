# SPDX-License-Identifier: Apache-2.0
"""Second-order sections of a filter: their gain, their stability, and their form in integers."""

from __future__ import annotations

import math

import numpy as np

from myoedge.numerics.arrays import Array

Pair = tuple[float, float]  # the last two samples

DECAYED = 2.0**-40  # fraction of an impulse response below which it has decayed
LONGEST = 1 << 17  # maximum number of samples for that


def normalized(sections: Array) -> Array:
    """Normalise sections to float64 [S, 5]: b0, b1, b2, a1, a2 divided by a0."""
    rows = sections.astype(np.float64)
    return np.asarray(np.delete(rows, 3, axis=1) / rows[:, 3:4])


def gain(coefficients: Array) -> float:
    """Return the largest gain from the input to any section's output: the sum of |impulse
    response|; infinity if it has not decayed after 2**17 samples."""
    rows, now = coefficients.tolist(), 1.0
    past = [(0.0, 0.0)] * (len(rows) + 1)
    sums = [0.0] * len(past)
    for _ in range(LONGEST):
        past = _impulse(rows, past, now)
        sums = [total + abs(latest) for total, (latest, _) in zip(sums, past, strict=True)]
        now = 0.0
        if max(abs(x) for pair in past[1:] for x in pair) <= DECAYED * max(sums):
            return max(sums)
        if not math.isfinite(sum(sums)):
            break
    return math.inf


def stored_sections(sections: Array) -> tuple[Array, int]:
    """Return the coefficients as int32 with as many fraction bits as fit, and the number of these
    bits."""
    floats = normalized(sections)
    fraction = 30 - max(int(np.frexp(np.abs(floats).max())[1]), 1)
    return np.rint(np.ldexp(floats, fraction)).astype(np.int32), fraction


def is_stable(sections: Array) -> bool:
    """Return whether the filter with int32 coefficients is stable and decays within 2**17
    samples."""
    integers, fraction = stored_sections(sections)
    return math.isfinite(gain(np.ldexp(integers.astype(np.float64), -fraction)))


def _impulse(rows: list[list[float]], past: list[Pair], now: float) -> list[Pair]:
    """Filter one sample of one signal, as `_sample` does, in Python floats, ten times as fast as
    with arrays; return the new state."""
    latest = []
    for (b0, b1, b2, a1, a2), (x1, x2), (y1, y2) in zip(rows, past, past[1:], strict=False):
        latest.append((now, x1))
        now = b0 * now + b1 * x1 + b2 * x2 - a1 * y1 - a2 * y2
    return [*latest, (now, past[-1][0])]
