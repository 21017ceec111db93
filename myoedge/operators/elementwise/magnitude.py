# SPDX-License-Identifier: Apache-2.0
"""Magnitudes of complex tensors, of int8 or int16."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from myoedge.nest.formulas import rounded_shift
from myoedge.nest.ir import Call, Expr, Nest, as_expr
from myoedge.nest.primitive import Primitive
from myoedge.numerics.arrays import Array
from myoedge.numerics.element_type import INT16
from myoedge.numerics.quant_params import QuantParams
from myoedge.operators.base import QuantizedNode, QuantizeInputs, RequantParams
from myoedge.operators.chains import generated
from myoedge.operators.common_rules import pairwise, with_requant
from myoedge.operators.described import pairwise_nest, requantised
from myoedge.operators.format import INT8_ALONE, NOT_ACTIVATED, int16_where
from myoedge.operators.traits import Constants, Described

ROOT_MAX = 2**16 - 1  # largest integer root
WIDE_ROOT_MAX = 4 * 46341  # largest root of int16 operands, sqrt(2^31) in quarter steps
COMMON_BITS = 14  # fraction bits of factors that convert operands to a common step


@dataclass(frozen=True, slots=True, kw_only=True)
class MagnitudeParams(RequantParams):
    """Integer constants of sqrt(a^2 + b^2), and the requantisation of the root.

    a_zero, b_zero   zero points of the operands
    a_mult, b_mult   factors of the squares, or of int16 operands
    acc_bound        largest root
    """

    a_zero: int
    b_zero: int
    a_mult: int
    b_mult: int
    acc_bound: int


def magnitude_quantize(inputs: QuantizeInputs) -> MagnitudeParams:
    """Return the constants of sqrt(a^2 + b^2).

    a_mult and b_mult are as large as a uint32 sum of squares allows; int16 operands are instead
    converted to one common scale.
    """
    a, b, y = inputs.params(0), inputs.params(1), inputs.target
    if INT16 in (a.element_type, b.element_type):
        return _int16_constants(inputs, a, b)
    most = sum((p.reach * p.scale) ** 2 for p in (a, b))
    unit = (2.0**32 - 2.0**18) / most
    a_mult, b_mult = (round(unit * p.scale**2) for p in (a, b))
    zeros = {"a_zero": a.zero_point, "b_zero": b.zero_point}
    mults = {"a_mult": a_mult, "b_mult": b_mult}
    factor = 1 / (math.sqrt(unit) * y.scale)
    return with_requant(MagnitudeParams, inputs, factor, ROOT_MAX, {**zeros, **mults})


def _int16_constants(inputs: QuantizeInputs, a: QuantParams, b: QuantParams) -> MagnitudeParams:
    """Return the constants for int16 operands: both are scaled so that the larger range is 2^15;
    roots are in quarter steps."""
    unit = max(p.reach * p.scale for p in (a, b)) / 2**15
    numbers: dict[str, int] = {}
    for name, p in (("a", a), ("b", b)):
        numbers |= {
            f"{name}_mult": round(p.scale / unit * (1 << COMMON_BITS)),
            f"{name}_zero": p.zero_point,
        }
    factor = unit / 4 / inputs.target.scale
    return with_requant(MagnitudeParams, inputs, factor, WIDE_ROOT_MAX, numbers)


def _root_of_power(power: Array) -> Array:
    return np.floor(np.sqrt(power.astype(np.float64))).astype(np.int64)  # exact below 2**52


def _magnitude_of_pair(table: None, a: Array, a_mult: int, b: Array, b_mult: int) -> Array:
    """Return sqrt(a^2 * a_mult + b^2 * b_mult), rounded down; the sum is a uint32."""
    return _root_of_power(a.astype(np.int64) ** 2 * a_mult + b.astype(np.int64) ** 2 * b_mult)


def _fine_magnitude(table: None, a: Array, b: Array) -> Array:
    """Return sqrt(a^2 + b^2) of magnitudes up to 2**15 in quarters, rounded down."""
    power = a.astype(np.int64) ** 2 + b.astype(np.int64) ** 2
    up = np.where(power < 1 << 28, 4, 0)
    return np.asarray(_root_of_power(power << up) << (2 - up // 2))


LENGTH = Primitive("me_length", "me_lengths.h", _magnitude_of_pair, lambda *_: (0, ROOT_MAX))
FINE_LENGTH = Primitive(
    "me_fine_length", "me_lengths.h", _fine_magnitude, lambda *_: (0, WIDE_ROOT_MAX)
)


def magnitude_meaning(step: QuantizedNode[MagnitudeParams]) -> Nest:
    """Describe sqrt(a^2 + b^2): squares have factors, or int16 operands a common step."""
    c = step.integers

    def formula(a: Expr, b: Expr) -> Expr:
        left, right = a - c.a_zero, b - c.b_zero
        if INT16 not in step.operand_types:
            values = left, as_expr(c.a_mult), right, as_expr(c.b_mult)
            return requantised(step, Call(LENGTH, None, values))
        scaled = ((left, c.a_mult), (right, c.b_mult))
        common = tuple(rounded_shift(x * mult, COMMON_BITS) for x, mult in scaled)
        return requantised(step, Call(FINE_LENGTH, None, common))

    return pairwise_nest(step, formula)


MAGNITUDE = pairwise(
    name="magnitude",
    doc="sqrt(a^2 + b^2) of two tensors of equal shape: magnitudes of spectra",
    real=lambda attrs, a, b: np.asarray(np.hypot(a, b)),
    integer=Described(magnitude_meaning),
    constants=Constants(magnitude_quantize, kinds=(MagnitudeParams,)),
    kernels=generated(INT8_ALONE, *int16_where(NOT_ACTIVATED)),
)
