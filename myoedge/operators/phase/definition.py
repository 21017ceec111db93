# SPDX-License-Identifier: Apache-2.0
"""atan2(y, x) in integers: the quotient of the smaller and the larger magnitude is looked up in a
table; the signs give the quadrant."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from myoedge.numerics.arrays import Array
from myoedge.operators.base import QuantizedNode, QuantizeInputs, RequantParams, register
from myoedge.operators.common_rules import with_requant
from myoedge.operators.elementwise.definition import pairwise
from myoedge.operators.format import LIMITED, int16_where
from myoedge.operators.kernel import on_cluster
from myoedge.operators.phase.tiling import in_tiles
from myoedge.operators.traits import ByHand, Constants

HALF_TURN = 1 << 15  # pi, as an integer angle
QUOTIENTS = 256  # the table has the angles of the quotients 0/256 .. 256/256
LARGEST = 1 << 15  # largest multiplier: 255 * 2**15 * 256 is below 2**31
COMMON_BITS = 14  # fraction bits of factors that convert int16 coordinates to a common step
FINE_TURN = 1 << 16  # pi, as an integer angle of int16 coordinates
BETWEEN_BITS = 8  # bits of a quotient between two table entries


@dataclass(frozen=True, slots=True, kw_only=True)
class AngleParams(RequantParams):
    """Integer constants of atan2.

    a_zero, b_zero   zero points of the coordinates
    a_mult, b_mult   factors that give both coordinates a common step
    angles           table of int16 angles by quotient, 0/256 .. 256/256
    acc_bound        largest |int32 intermediate|
    """

    a_mult: int
    b_mult: int
    a_zero: int
    b_zero: int
    acc_bound: int
    angles: Array


def quantize(site: QuantizeInputs) -> AngleParams:
    """Return the constants of atan2: factors for a common step, and the angle of each quotient
    0/256 .. 256/256."""
    if site.has_int16(2):
        return _wide(site)
    scales = [site.params(i).scale for i in (0, 1)]
    mults = [max(round(LARGEST * scale / max(scales)), 1) for scale in scales]
    scalars = {f"{name}_mult": mult for name, mult in zip("ab", mults, strict=True)}
    scalars |= {f"{name}_zero": site.params(i).zero_point for i, name in enumerate("ab")}
    return _with_angles(site, HALF_TURN, scalars)


def _wide(site: QuantizeInputs) -> AngleParams:
    """Return the constants of atan2 for int16: factors to bring the larger range to 2^15."""
    operands = {"a": site.params(0), "b": site.params(1)}
    unit = max(p.reach * p.scale for p in operands.values()) / 2**15
    scalars: dict[str, int] = {}
    for name, p in operands.items():
        scalars |= {
            f"{name}_mult": round(p.scale / unit * (1 << COMMON_BITS)),
            f"{name}_zero": p.zero_point,
        }
    return _with_angles(site, FINE_TURN, scalars)


def _with_angles(site: QuantizeInputs, half_turn: int, scalars: dict[str, int]) -> AngleParams:
    """Return the constants with a table of the angle of each quotient; for int16 its last entry is
    repeated for interpolation."""
    quotients = np.minimum(np.arange(QUOTIENTS + 2), QUOTIENTS) / QUOTIENTS
    angles = np.rint(np.arctan(quotients) * (half_turn / math.pi)).astype(np.int16)
    count = QUOTIENTS + (2 if half_turn == FINE_TURN else 1)
    factor = math.pi / half_turn / site.target.scale
    return with_requant(AngleParams, site, factor, half_turn, {**scalars, "angles": angles[:count]})


def angle_of(y: Array, x: Array, angles: Array) -> Array:
    """Return the angle of the point (|x|, |y|), in units of pi / 2**15; 0 at the origin.

    y, x     coordinates with a common step
    angles   table of angles by quotient
    """
    small, large = _smaller_and_larger(y, x)
    angle = angles.astype(np.int64)[(small * QUOTIENTS + (large >> 1)) // large]
    return np.asarray(np.where(np.abs(y) > np.abs(x), HALF_TURN // 2 - angle, angle))


def fine_angle_of(y: Array, x: Array, angles: Array) -> Array:
    """Return the angle of the point (|x|, |y|), in units of pi / 2**16; 0 at the origin.

    y, x     coordinates up to 2**15 with a common step
    angles   table of angles by quotient, interpolated
    """
    small, large = _smaller_and_larger(y, x)
    quotient = ((small * QUOTIENTS << BETWEEN_BITS) + (large >> 1)) // large
    at, rest = quotient >> BETWEEN_BITS, quotient & ((1 << BETWEEN_BITS) - 1)
    entries, half = angles.astype(np.int64), 1 << BETWEEN_BITS >> 1
    between = (entries[at + 1] - entries[at]) * rest + half >> BETWEEN_BITS
    angle = entries[at] + between
    return np.asarray(np.where(np.abs(y) > np.abs(x), FINE_TURN // 2 - angle, angle))


def _smaller_and_larger(y: Array, x: Array) -> tuple[Array, Array]:
    """Sort two magnitudes; the larger is at least 1."""
    a, b = np.abs(y), np.abs(x)
    return np.minimum(a, b), np.maximum(np.maximum(a, b), 1)


def _in_quadrant(angle: Array, y: Array, x: Array, half_turn: int) -> Array:
    """Move an angle in the first quadrant to the point's quadrant."""
    angle = np.where(x < 0, half_turn - angle, angle)
    return np.asarray(np.where(y < 0, -angle, angle))


def integer(step: QuantizedNode, y: Array, x: Array) -> Array:
    """Compute atan2(y, x) in integers with broadcasting; int8 or int16.

    Signs are read before rescaling, as that may round a small coordinate to 0: next to the negative
    x axis, the sign of y changes the angle by a full turn.
    """
    y, x = (
        v.astype(np.int64) - getattr(step.integers, f"{name}_zero")
        for name, v in zip("ab", np.broadcast_arrays(y, x), strict=True)
    )
    up, right = y * step.integers.a_mult, x * step.integers.b_mult
    if not step.has_int16:
        angle = angle_of(up, right, step.integers.angles)
        return step.requantize(_in_quadrant(angle, y, x, HALF_TURN))
    half = 1 << COMMON_BITS >> 1
    up, right = ((v + half) >> COMMON_BITS for v in (up, right))
    angle = fine_angle_of(up, right, step.integers.angles)
    return step.requantize(_in_quadrant(angle, y, x, FINE_TURN))


ATAN2 = register(
    pairwise(
        name="atan2",
        doc="the angle of (x, y), broadcast: phases of spectra",
        real=lambda attrs, y, x: np.asarray(np.arctan2(y + 0.0, x + 0.0)),
        integer=ByHand(integer),
        constants=Constants(quantize, kinds=(AngleParams,)),
        kernels=on_cluster(in_tiles, *int16_where(LIMITED)),
    )
)
