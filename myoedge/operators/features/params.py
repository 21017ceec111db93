# SPDX-License-Identifier: Apache-2.0
"""Integer constants of time-domain features."""

from __future__ import annotations

from dataclasses import dataclass

from myoedge.numerics.arrays import Array
from myoedge.operators.base import QuantizedParams


@dataclass(frozen=True, slots=True, kw_only=True)
class FeaturesParams(QuantizedParams):
    """Integer constants of features: y = (((sum >> down) * mult + (offset << shift - 8)) >> shift.

    parts     int32 [K, 3]: first factor, number of factors, down; in groups that share a pass as
              `Group.parts`
    factors   int32 [f, 7]: form, a, b, test and limit, as in operators/features/factors.py
    groups    int32 [G, 5]: first feature, number of features, factor, first edge, number of edges
    edges     int32 [e]: sorted limits of groups that count samples in cells, at least one
    each      int32 [K * C, 3]: mult, offset in 1/256 output steps, shift
    x_zero    zero point of the samples
    """

    parts: Array
    factors: Array
    groups: Array
    edges: Array
    each: Array
    x_zero: int
    acc_bound: int
