# SPDX-License-Identifier: Apache-2.0
"""Magnitudes of complex tensors, of int8 or int16."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from myoedge.graph.ir import Attrs, Shape
from myoedge.numerics.arrays import Array
from myoedge.numerics.element_type import INT16
from myoedge.numerics.quant_params import QuantParams
from myoedge.operators.base import QuantizedNode, QuantizeInputs, RequantParams, register
from myoedge.operators.common_rules import same_shape, with_requant
from myoedge.operators.elementwise import tiling as flat
from myoedge.operators.elementwise.definition import pairwise
from myoedge.operators.format import NOT_ACTIVATED, int16_where
from myoedge.operators.kernel import on_cluster
from myoedge.operators.traits import ByHand, Constants, Operands

ROOT_MAX = 2**16 - 1  # largest integer root
WIDE_ROOT_MAX = 4 * 46341  # largest root of int16 operands, sqrt(2^31) in quarter steps
COMMON_BITS = 14  # fraction bits of factors that convert operands to a common step


@dataclass(frozen=True, slots=True, kw_only=True)
class MagnitudeParams(RequantParams):
    """Integer constants of sqrt(a^2 + b^2), and the requantisation of the root.

    a_zero, b_zero   zero points of the operands
    a_mult, b_mult   factors of the squares, or of int16 operands
    acc_bound        largest |requantised root| before its shift
    """

    a_zero: int
    b_zero: int
    a_mult: int
    b_mult: int
    acc_bound: int


def magnitude_shape(attrs: Attrs, a: Shape, b: Shape) -> Shape:
    assert a == b
    return same_shape(attrs, a)


def magnitude_quantize(inputs: QuantizeInputs) -> MagnitudeParams:
    """Return the constants of sqrt(a^2 + b^2).

    a_mult and b_mult are as large as a uint32 sum of squares allows; int16 operands are instead
    converted to one common scale.
    """
    a, b, y = inputs.params(0), inputs.params(1), inputs.target
    if INT16 in (a.element_type, b.element_type):
        return _wide_magnitude(inputs, a, b)
    most = sum((p.reach * p.scale) ** 2 for p in (a, b))
    unit = (2.0**32 - 2.0**18) / most
    a_mult, b_mult = (round(unit * p.scale**2) for p in (a, b))
    zeros = {"a_zero": a.zero_point, "b_zero": b.zero_point}
    mults = {"a_mult": a_mult, "b_mult": b_mult}
    factor = 1 / (math.sqrt(unit) * y.scale)
    return with_requant(MagnitudeParams, inputs, factor, ROOT_MAX, {**zeros, **mults})


def _wide_magnitude(inputs: QuantizeInputs, a: QuantParams, b: QuantParams) -> MagnitudeParams:
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


def _wide_root(step: QuantizedNode, a: Array, b: Array) -> Array:
    """Return sqrt(a^2 + b^2) of int16 operands, in quarters of their common step."""
    power = np.zeros(np.shape(a), np.int64)
    for name, x in (("a", a), ("b", b)):
        centred = (x.astype(np.int64) - getattr(step.integers, f"{name}_zero")) * getattr(
            step.integers, f"{name}_mult"
        )
        power += ((centred + (1 << COMMON_BITS >> 1)) >> COMMON_BITS) ** 2
    up = np.where(power < 1 << 28, 4, 0)
    root = np.floor(np.sqrt((power << up).astype(np.float64))).astype(np.int64)  # as below
    return np.asarray(root << (2 - up // 2))


def magnitude_integer(step: QuantizedNode, a: Array, b: Array) -> Array:
    """Compute sqrt(a^2 + b^2) of operands of equal shape, int8 or int16 -> int8 or int16; the sum
    of squares is uint32 and the root is rounded down."""
    if INT16 in step.operand_types:
        return step.requantize(_wide_root(step, a, b))
    squares = [
        (x.astype(np.int64) - getattr(step.integers, f"{name}_zero")) ** 2
        * getattr(step.integers, f"{name}_mult")
        for name, x in (("a", a), ("b", b))
    ]
    total = squares[0] + squares[1]
    root = np.floor(np.sqrt(total.astype(np.float64))).astype(np.int64)  # exact below 2**52
    return step.requantize(root)


MAGNITUDE = register(
    pairwise(
        name="magnitude",
        doc="sqrt(a^2 + b^2) of two tensors of equal shape: magnitudes of spectra",
        shape=magnitude_shape,
        real=lambda attrs, a, b: np.asarray(np.hypot(a, b)),
        integer=ByHand(magnitude_integer),
        constants=Constants(magnitude_quantize, kinds=(MagnitudeParams,)),
        kernels=on_cluster(flat.magnitude, *int16_where(NOT_ACTIVATED)),
        operands=Operands(),
    )
)
