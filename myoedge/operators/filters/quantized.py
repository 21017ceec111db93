# SPDX-License-Identifier: Apache-2.0
"""Integer constants of filters along time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from myoedge.graph.ir import Shape
from myoedge.numerics.arrays import Array
from myoedge.numerics.quant_params import QuantParams
from myoedge.operators.base import QuantizedParams, QuantizeInputs
from myoedge.operators.filters.sections import gain, stored_sections
from myoedge.operators.learnt import BOUND, SYMMETRIC_32, Learnt

SHIFT_MAX = 50  # largest shift of the output factor, whose products have 64 bits


def factor(real: float, y: QuantParams, most: int = 62) -> dict[str, Any]:
    """Return mult, offset and shift that convert integers of scale `real` to y; mult has up to 30
    bits.

    most   maximum shift; mult gets fewer bits if necessary
    """
    shift = min(30 - math.frexp(real)[1], most)
    offset = (1 << (shift - 1)) + (y.zero_point << shift)
    return {"mult": round(math.ldexp(real, shift)), "offset": offset, "shift": shift}


@dataclass(frozen=True, slots=True, kw_only=True)
class BiquadParams(QuantizedParams):
    """Integer constants of a biquad cascade.

    fraction    fraction bits of the coefficients
    guard       fraction bits added to samples for the intermediate results
    acc_bound   largest |intermediate result|
    mult, offset, shift   conversion of the last section's results to output steps
    sections    coefficients b0, b1, b2, a1, a2 of each section, int32 [S, 5]
    """

    fraction: int
    guard: int
    acc_bound: int
    mult: int
    offset: int
    shift: int
    sections: Array


def biquads_quantize(inputs: QuantizeInputs) -> BiquadParams:
    """Return the constants of a biquad cascade.

    Coefficients use all of int32; samples get guard bits as long as they stay below 2**29.
    """
    return _scaled(inputs, *stored_sections(inputs.constant(1)))


def _scaled(inputs: QuantizeInputs, integers: Array, fraction: int) -> BiquadParams:
    """Return the constants of a biquad cascade with these coefficients."""
    largest = gain(np.ldexp(integers.astype(np.float64), -fraction))
    assert math.isfinite(largest), "passes refuse others: is_stable"
    guard = max(14 - max(math.ceil(math.log2(largest)), 0), 0)
    x, y = inputs.params(0), inputs.target
    bound = math.ceil(largest * 2 ** (15 + guard)) + 2**guard
    real = min(x.scale / y.scale * 2.0**-guard, 2.0**31 / bound)
    numbers: dict[str, Any] = {"fraction": fraction, "guard": guard, **factor(real, y, SHIFT_MAX)}
    return BiquadParams(**numbers, acc_bound=bound, sections=integers)


def _fits(integers: BiquadParams, site: QuantizeInputs) -> bool:
    """Return whether the filter is stable, with guard bits for its gain, and results times their
    factor stay in int64."""
    if not math.isfinite(gain(np.ldexp(integers.sections.astype(np.float64), -integers.fraction))):
        return False
    again = _scaled(site, integers.sections, integers.fraction)
    return (integers.guard, integers.acc_bound) == (again.guard, again.acc_bound)


def _weights(shapes: Sequence[Shape]) -> Mapping[int, Array]:
    """Return sections that change nothing."""
    return {1: np.tile(np.array([1, 0, 0, 1, 0, 0], np.float32), (shapes[1][0], 1))}


LEARNT = Learnt(
    {
        "fraction": (1, 29),
        "guard": (0, 14),
        "mult": BOUND,
        "offset": (-(2**62), 2**62),
        "shift": (1, SHIFT_MAX),
        "acc_bound": BOUND,
        "sections": SYMMETRIC_32,
    },
    _fits,
    weights=_weights,
)
