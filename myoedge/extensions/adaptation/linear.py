# SPDX-License-Identifier: Apache-2.0
"""Linear classifiers with int16 weights, computed from directions in feature space."""

from __future__ import annotations

import numpy as np

from myoedge.extensions.adaptation.record import NEVER, Classifier
from myoedge.numerics.arrays import Array

WEIGHT_BITS = 14
MEAN_POINT = 24  # fraction bits of a mean
BIAS_LIMIT = 1 << 29  # with the products, a score then fits int32


def class_means(counts: Array, sums: Array) -> Array:
    """Return the mean features per class [classes, features], rounded down, with MEAN_POINT
    fraction bits; 0 for a class without windows.

    counts   windows per class [classes]
    sums     sum of the features per class [classes, features]
    """
    return np.where(counts[:, None] > 0, (sums << MEAN_POINT) // np.maximum(counts, 1)[:, None], 0)


def centre(counts: Array, means: Array) -> Array:
    """Return the mean of the class means [features], rounded down; classes without windows are left
    out.

    counts   windows per class [classes]
    means    mean features per class [classes, features]
    """
    present = counts > 0
    return np.asarray(means[present].sum(axis=0) // max(int(present.sum()), 1))


def classifier(counts: Array, means: Array, middle: Array, directions: Array) -> Classifier:
    """Return the classifier in which the score of class c is direction c . (x - (mean c + middle) /
    2).

    counts       windows per class
    means        mean features per class
    middle       mean of the class means
    directions   [classes, features], magnitudes of at most 2**62; they are shifted so that the
                 largest is 2**13 .. 2**14
    """
    largest = int(np.abs(directions).max(initial=0))
    shift = largest.bit_length() - WEIGHT_BITS
    weights = directions >> shift if shift >= 0 else directions << -shift
    half = (weights * (means + middle)).sum(axis=1) >> (MEAN_POINT + 1)
    bias = np.where(counts > 0, (-half).clip(-BIAS_LIMIT, BIAS_LIMIT), NEVER)
    return Classifier(weights.astype(np.int16), bias.astype(np.int32))
