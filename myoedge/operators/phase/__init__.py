# SPDX-License-Identifier: Apache-2.0
"""atan2(y, x) in integers: the quotient of the smaller and the larger magnitude is looked up in a
table; the signs give the quadrant."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from myoedge.graph.ir import Shape
from myoedge.nest.formulas import rounded_shift, where
from myoedge.nest.ir import Call, Expr, Nest
from myoedge.nest.primitive import Primitive
from myoedge.numerics.arrays import Array
from myoedge.operators.base import QuantizedNode, QuantizeInputs, RequantParams
from myoedge.operators.cases import Draw, DrawnUse
from myoedge.operators.chains import generated
from myoedge.operators.common_rules import pairwise, with_requant
from myoedge.operators.described import nest_constant, pairwise_nest, requantised
from myoedge.operators.format import INT8_ALONE, LIMITED, int16_where
from myoedge.operators.graph_builder import GraphBuilder, expand
from myoedge.operators.import_rows import Arguments, ImportRow
from myoedge.operators.library.complex_numbers import angle_of
from myoedge.operators.qdq import Write, Writer, number
from myoedge.operators.traits import Constants, Described

HALF_TURN = 1 << 15  # pi, as an integer angle
QUOTIENTS = 256  # the table has the angles of the quotients 0/256 .. 256/256
LARGEST = 1 << 15  # largest multiplier: 255 * 2**15 * 256 is below 2**31
COMMON_BITS = 14  # fraction bits of factors that convert int16 coordinates to a common step
FINE_TURN = 1 << 16  # pi, as an integer angle of int16 coordinates
BETWEEN_BITS = 8  # bits of a quotient between two table entries
TINY = 1e-30  # replaces a divisor of 0 in ONNX


@dataclass(frozen=True, slots=True, kw_only=True)
class AngleParams(RequantParams):
    """Integer constants of atan2.

    a_zero, b_zero   zero points of the coordinates
    a_mult, b_mult   factors that give both coordinates a common step
    angles           table of int16 angles by quotient, 0/256 .. 256/256
    acc_bound        largest |angle|
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
        return _int16_constants(site)
    scales = [site.params(i).scale for i in (0, 1)]
    mults = [max(round(LARGEST * scale / max(scales)), 1) for scale in scales]
    scalars = {f"{name}_mult": mult for name, mult in zip("ab", mults, strict=True)}
    scalars |= {f"{name}_zero": site.params(i).zero_point for i, name in enumerate("ab")}
    return _add_angle_table(site, HALF_TURN, scalars)


def _int16_constants(site: QuantizeInputs) -> AngleParams:
    """Return the constants of atan2 for int16: factors to bring the larger range to 2^15."""
    operands = {"a": site.params(0), "b": site.params(1)}
    unit = max(p.reach * p.scale for p in operands.values()) / 2**15
    scalars: dict[str, int] = {}
    for name, p in operands.items():
        scalars |= {
            f"{name}_mult": round(p.scale / unit * (1 << COMMON_BITS)),
            f"{name}_zero": p.zero_point,
        }
    return _add_angle_table(site, FINE_TURN, scalars)


def _add_angle_table(site: QuantizeInputs, half_turn: int, scalars: dict[str, int]) -> AngleParams:
    """Return the constants with a table of the angle of each quotient; for int16 its last entry is
    repeated for interpolation."""
    quotients = np.minimum(np.arange(QUOTIENTS + 2), QUOTIENTS) / QUOTIENTS
    angles = np.rint(np.arctan(quotients) * (half_turn / math.pi)).astype(np.int16)
    count = QUOTIENTS + (2 if half_turn == FINE_TURN else 1)
    factor = math.pi / half_turn / site.target.scale
    return with_requant(AngleParams, site, factor, half_turn, {**scalars, "angles": angles[:count]})


def _angle_of_point(angles: Array, y: Array, x: Array) -> Array:
    """Return the angle of the point (|x|, |y|), in units of pi / 2**15; 0 at the origin.

    angles   table of angles by quotient
    y, x     coordinates with a common step
    """
    small, large = _smaller_and_larger(y, x)
    angle = angles.astype(np.int64)[(small * QUOTIENTS + (large >> 1)) // large]
    return np.asarray(np.where(np.abs(y) > np.abs(x), HALF_TURN // 2 - angle, angle))


def _fine_angle_of(angles: Array, y: Array, x: Array) -> Array:
    """Return the angle of the point (|x|, |y|), in units of pi / 2**16; 0 at the origin.

    angles   table of angles by quotient, interpolated
    y, x     coordinates up to 2**15 with a common step
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
    a, b = np.abs(y.astype(np.int64)), np.abs(x.astype(np.int64))
    return np.minimum(a, b), np.maximum(np.maximum(a, b), 1)


ANGLE = Primitive("me_angle", "me_angles.h", _angle_of_point, lambda *_: (0, HALF_TURN // 2))
FINE_ANGLE = Primitive(
    "me_fine_angle", "me_angles.h", _fine_angle_of, lambda *_: (0, FINE_TURN // 2)
)


def meaning(step: QuantizedNode[AngleParams]) -> Nest:
    """Describe atan2(y, x) of broadcast operands.

    Signs are read before rescaling, as that may round a small coordinate to 0: next to the negative
    x axis, the sign of y changes the angle by a full turn.
    """
    c, is_fine = step.integers, step.has_int16
    angle_of, half_turn = (FINE_ANGLE, FINE_TURN) if is_fine else (ANGLE, HALF_TURN)
    drop, angles = COMMON_BITS if is_fine else 0, nest_constant("angles", c.angles)

    def formula(y: Expr, x: Expr) -> Expr:
        up, right = y - c.a_zero, x - c.b_zero
        coordinates = rounded_shift(up * c.a_mult, drop), rounded_shift(right * c.b_mult, drop)
        angle: Expr = Call(angle_of, angles, coordinates)
        angle = where(right < 0, half_turn - angle, angle)
        return requantised(step, where(up < 0, -angle, angle))

    return pairwise_nest(step, formula)


ATAN2 = pairwise(
    name="atan2",
    doc="the angle of (x, y), broadcast: phases of spectra",
    real=lambda attrs, y, x: np.asarray(np.arctan2(y + 0.0, x + 0.0)),
    integer=Described(meaning),
    constants=Constants(quantize, kinds=(AngleParams,)),
    kernels=generated(INT8_ALONE, *int16_where(LIMITED)),
)


def imported(b: GraphBuilder, a: Arguments, out: Shape) -> str:
    return expand(b, angle_of(b, tensor(b, a["self"]), tensor(b, a["other"])), out)


def tensor(b: GraphBuilder, value: Any) -> str:
    return value if isinstance(value, str) else b.constant(np.full((1,), value, np.float32))


ROWS = (ImportRow("atan2", imported, "atan2 arctan2"),)


# --- model.int8.onnx ------------------------------------------------------------------------------


def written(w: Writer, step: QuantizedNode, y: str, x: str) -> str:
    """Export atan2 as the arctangent of the smaller over the larger magnitude, moved to the point's
    quadrant."""
    a, b, zero = w.node("Abs", y), w.node("Abs", x), number(w, 0.0)
    small = w.node("Div", w.node("Min", a, b), w.node("Max", a, b, number(w, TINY)))
    angle = w.node("Atan", small)

    def turned(condition: str, around: float, angle: str) -> str:
        other = w.node("Sub", number(w, around), angle)
        return w.node("Where", condition, other, angle)

    angle = turned(w.node("Greater", a, b), math.pi / 2, angle)
    angle = turned(w.node("Less", x, zero), math.pi, angle)
    return turned(w.node("Less", y, zero), 0.0, angle)


WRITE: Mapping[str, Write] = {"atan2": written}


# --- drawn uses -----------------------------------------------------------------------------------


def drawn(d: Draw) -> DrawnUse:
    shapes, common = d.broadcast(1, 5), d.common(2, act=True)
    common["int16"] = d.pick([(), (), (0,), (1,), (0, 1)])
    return DrawnUse("atan2", {}, shapes, "torch.atan2(x0 + 0.0, x1 + 0.0)", slack=slack, **common)


def slack(case: Any) -> Array:
    """Return the largest permitted deviation of atan2 in output steps.

    int8: half of 1/256 of the quotient, 15-bit multipliers (the smaller may be 1), and the rounding
    of the angle. int16: half a common step per coordinate and the same for the multipliers, half of
    2^-16 of the quotient, and two roundings of the angle.
    """
    y, x = np.broadcast_arrays(*case.dequantized)
    operands = [case.params(name) for name in case.names]
    steps, away = [p.scale for p in operands], np.maximum(np.hypot(y, x), 1e-30)
    if case.step.has_int16:
        unit = max(p.scale * p.reach for p in operands) * 2.0**-15
        return np.asarray((2.0**-14 + np.minimum(2.2 * unit / away, 4.0)) / case.target.scale)
    coarse = 255 * min(max(steps) * 2.0**-15, min(steps)) / away  # error of the smaller coordinate
    return np.asarray((1 / 512 + 2.0**-13 + np.minimum(coarse, 4.0)) / case.target.scale)


CASES = {"atan2": drawn}
