# SPDX-License-Identifier: Apache-2.0
"""Confidence interval of an SQNR measured on few samples."""

from __future__ import annotations

import numpy as np

from myoedge.numerics.arrays import Array

DRAWS, SEED, CONFIDENCE = 2000, 0, 0.95
LEAST_DB = -300.0  # SQNR of a signal that overflows

Interval = tuple[float, float]


def interval_db(signal: Array, error: Array) -> Interval | None:
    """Return the 95 % confidence interval of an SQNR in dB; None for fewer than two samples, or
    without signal.

    signal, error   [samples] sums of squared values and of squared errors
    The bootstrap over samples is used, with a fixed seed (B. Efron, Bootstrap methods: another look
    at the jackknife, 1979).
    """
    count = len(signal)
    if count < 2 or not signal.any():
        return None
    times = np.random.default_rng(SEED).multinomial(count, [1.0 / count] * count, DRAWS)
    signals, errors = times @ signal, times @ error
    with np.errstate(divide="ignore"):
        drawn = 10.0 * np.log10(signals[signals > 0.0] / errors[signals > 0.0])
    ends = (0.5 - CONFIDENCE / 2, 0.5 + CONFIDENCE / 2)
    low, high = np.quantile(drawn, ends, method="inverted_cdf")  # a drawn value: some are infinite
    return max(float(low), LEAST_DB), max(float(high), LEAST_DB)
