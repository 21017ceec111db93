# SPDX-License-Identifier: Apache-2.0
"""The angle of a point (x, y), element by element: the quotient of the smaller and the larger
coordinate is looked up, quadrants follow from signs.
"""

from __future__ import annotations

import math

import numpy as np

from myoedge.numerics.arrays import Array
from myoedge.operators.base import QuantizedNode, QuantizedParams, QuantizeInputs, register
from myoedge.operators.common_rules import with_requant
from myoedge.operators.elementwise.definition import pairwise
from myoedge.operators.kernel import on_cluster
from myoedge.operators.phase.tiling import in_tiles

HALF_TURN = 1 << 15  # pi in the integers of an angle
QUOTIENTS = 256  # of the larger coordinate
LARGEST = 1 << 15  # multiplier: 255 * 2**15 * 256 is below 2**31


def quantize(site: QuantizeInputs) -> QuantizedParams:
    """Both coordinates in one unit, and the angle of each quotient of 0 .. 256 of 256."""
    scales = [site.params(i).scale for i in (0, 1)]
    mults = [max(round(LARGEST * scale / max(scales)), 1) for scale in scales]
    scalars = {f"{name}_mult": mult for name, mult in zip("ab", mults, strict=True)}
    scalars |= {f"{name}_zero": site.params(i).zero_point for i, name in enumerate("ab")}
    angles = np.arctan(np.arange(QUOTIENTS + 1) / QUOTIENTS) * (HALF_TURN / math.pi)
    made = with_requant(site, math.pi / HALF_TURN / site.target.scale, HALF_TURN, scalars)
    return QuantizedParams(
        made.scalars, {**made.arrays, "angles": np.rint(angles).astype(np.int16)}
    )


def angle_of(y: Array, x: Array, angles: Array) -> Array:
    """Coordinates in one unit -> angle in steps of pi / 2**15, 0 of the origin."""
    a, b = np.abs(y), np.abs(x)
    small, large = np.minimum(a, b), np.maximum(np.maximum(a, b), 1)
    angle = angles.astype(np.int64)[(small * QUOTIENTS + (large >> 1)) // large]
    angle = np.where(a > b, HALF_TURN // 2 - angle, angle)
    angle = np.where(x < 0, HALF_TURN - angle, angle)
    return np.asarray(np.where(y < 0, -angle, angle))


def integer(step: QuantizedNode, y: Array, x: Array) -> Array:
    """y, x int8, broadcast -> int8."""
    up, right = (
        (v.astype(np.int64) - step[f"{name}_zero"]) * step[f"{name}_mult"]
        for name, v in zip("ab", np.broadcast_arrays(y, x), strict=True)
    )
    return step.requantize(angle_of(up, right, step["angles"]))


ATAN2 = register(
    pairwise(
        name="atan2",
        doc="the angle of (x, y), broadcast: phases of spectra",
        real=lambda attrs, y, x: np.asarray(np.arctan2(y + 0.0, x + 0.0)),
        integer=integer,
        quantize=quantize,
        kernels=on_cluster(in_tiles),
    )
)
