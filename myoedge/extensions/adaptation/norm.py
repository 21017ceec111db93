# SPDX-License-Identifier: Apache-2.0
"""Normalisation of input channels to the mean and deviation of the calibration samples, without
labels.

With `point` bits after the point of means and deviations, and GAIN_POINT of gains:

    gain = deviation of the samples / deviation of the session
    y = (((x << point) - mean of the session) * gain + mean of the samples) >> point
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from myoedge.numerics.arrays import Array

GAIN_POINT = 10
MOST_GAIN = 8 << GAIN_POINT  # limits the gain of a nearly silent channel


@dataclass(frozen=True)
class InputNorm:
    """Channels of a network's input, and their statistics over the calibration samples.

    channels            number of channels
    inner               product of the input's extents after the channel axis
    elements            elements of the input
    dtype               "int8" or "int16"
    zero_point          zero point of the input
    point               fraction bits of means and deviations: 8 with int8, 0 with int16
    means, deviations   by channel, of integers minus the zero point [channels]
    """

    channels: int
    inner: int
    elements: int
    dtype: str
    zero_point: int
    point: int
    means: Array
    deviations: Array

    def by_channel(self, inputs: Array) -> Array:
        """Return the integers of an input minus their zero point, as [..., channels, inner]."""
        rows = inputs.astype(np.int64).reshape(-1, self.channels, self.inner)
        return np.asarray(rows - self.zero_point)


@dataclass(frozen=True)
class NormSums:
    """Sums over a session's windows, by input channel.

    count           elements per channel
    sums, squares   sums of the elements and of their squares [channels]
    """

    count: int
    sums: Array
    squares: Array


@dataclass(frozen=True)
class Normalization:
    """Rescaling of an input to the statistics of the calibration samples.

    means   mean of the session by channel
    gains   deviation of the calibration samples over that of the session, by channel
    """

    means: Array
    gains: Array

    def apply(self, norm: InputNorm, inputs: Array) -> Array:
        """Return the rescaled integers of an input, in its shape, clipped to its type."""
        x = (norm.by_channel(inputs) << norm.point) - self.means[:, None]
        wanted = norm.means[:, None] << GAIN_POINT
        half = 1 << (GAIN_POINT + norm.point - 1)
        y = (x * self.gains[:, None] + wanted + half) >> (GAIN_POINT + norm.point)
        limits = np.iinfo(norm.dtype)
        clipped = (y + norm.zero_point).clip(limits.min, limits.max)
        return np.asarray(clipped.reshape(inputs.shape).astype(norm.dtype))


def no_norm_sums(norm: InputNorm) -> NormSums:
    """Return the sums over no windows."""
    zeros = np.zeros(norm.channels, np.int64)
    return NormSums(0, zeros, zeros)


def added(norm: InputNorm, sums: NormSums, inputs: Array) -> NormSums:
    """Return the sums with one more input."""
    x = norm.by_channel(inputs)
    sizes = (x.sum(axis=(0, 2)), (x * x).sum(axis=(0, 2)))
    count = sums.count + norm.elements // norm.channels
    return NormSums(count, sums.sums + sizes[0], sums.squares + sizes[1])


def statistics(norm: InputNorm, sums: NormSums) -> tuple[Array, Array]:
    """Return means and deviations by channel from the sums, rounded down; a deviation is at least
    1."""
    means = (sums.sums << norm.point) // sums.count
    variances = (sums.squares << 2 * norm.point) // sums.count - means * means
    deviations = [math.isqrt(max(int(variance), 1)) for variance in variances]
    return means, np.array(deviations, np.int64)


def normalization(norm: InputNorm, sums: NormSums) -> Normalization:
    """Return the rescaling that gives a session's inputs the means and deviations of the
    calibration samples."""
    means, deviations = statistics(norm, sums)
    gains = ((norm.deviations << GAIN_POINT) // deviations).clip(0, MOST_GAIN)
    return Normalization(means, gains)
