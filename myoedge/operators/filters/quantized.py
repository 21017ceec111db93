# SPDX-License-Identifier: Apache-2.0
"""Integer constants of filters along time; second-order sections of a filter: their gain, their
stability, and their form in integers."""

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
from myoedge.operators.traits import BOUND, SYMMETRIC_32, Learnt

Pair = tuple[float, float]  # the last two samples

DECAYED = 2.0**-40  # fraction of an impulse response below which it has decayed
LONGEST = 1 << 17  # maximum number of samples for that


def normalized(sections: Array) -> Array:
    """Normalise sections to float64 [S, 5]: b0, b1, b2, a1, a2 divided by a0."""
    rows = sections.astype(np.float64)
    return np.asarray(np.delete(rows, 3, axis=1) / rows[:, 3:4])


def gain(coefficients: Array) -> float:
    """Return the largest gain from the input to any section's output: the sum of |impulse
    response|; infinity if it has not decayed after 2**17 samples."""
    rows, now = coefficients.tolist(), 1.0
    past = [(0.0, 0.0)] * (len(rows) + 1)
    sums = [0.0] * len(past)
    for _ in range(LONGEST):
        past = _filter_impulse_sample(rows, past, now)
        sums = [total + abs(latest) for total, (latest, _) in zip(sums, past, strict=True)]
        now = 0.0
        if max(abs(x) for pair in past[1:] for x in pair) <= DECAYED * max(sums):
            return max(sums)
        if not math.isfinite(sum(sums)):
            break
    return math.inf


def stored_sections(sections: Array) -> tuple[Array, int]:
    """Return the coefficients as int32 with as many fraction bits as fit, and the number of these
    bits."""
    floats = normalized(sections)
    fraction = 30 - max(int(np.frexp(np.abs(floats).max())[1]), 1)
    return np.rint(np.ldexp(floats, fraction)).astype(np.int32), fraction


def is_stable(sections: Array) -> bool:
    """Return whether the filter with int32 coefficients is stable and decays within 2**17
    samples."""
    integers, fraction = stored_sections(sections)
    return math.isfinite(gain(np.ldexp(integers.astype(np.float64), -fraction)))


def _filter_impulse_sample(rows: list[list[float]], past: list[Pair], now: float) -> list[Pair]:
    """Filter one sample of one signal, as `_sample` does, in Python floats, ten times as fast as
    with arrays; return the new state."""
    latest = []
    for (b0, b1, b2, a1, a2), (x1, x2), (y1, y2) in zip(rows, past, past[1:], strict=False):
        latest.append((now, x1))
        now = b0 * now + b1 * x1 + b2 * x2 - a1 * y1 - a2 * y2
    return [*latest, (now, past[-1][0])]


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
    return _scale_coefficients(inputs, *stored_sections(inputs.constant(1)))


def _scale_coefficients(inputs: QuantizeInputs, integers: Array, fraction: int) -> BiquadParams:
    """Return the constants of a biquad cascade with these coefficients."""
    largest = gain(np.ldexp(integers.astype(np.float64), -fraction))
    assert math.isfinite(largest), "passes refuse others: is_stable"
    guard = max(14 - max(math.ceil(math.log2(largest)), 0), 0)
    x, y = inputs.params(0), inputs.target
    bound = math.ceil(largest * 2 ** (15 + guard)) + 2**guard
    real = min(x.scale / y.scale * 2.0**-guard, 2.0**31 / bound)
    numbers: dict[str, Any] = {"fraction": fraction, "guard": guard, **factor(real, y, SHIFT_MAX)}
    return BiquadParams(**numbers, acc_bound=bound, sections=integers)


def _filter_fits(integers: BiquadParams, site: QuantizeInputs) -> bool:
    """Return whether the filter is stable, with guard bits for its gain, and results times their
    factor stay in int64."""
    if not math.isfinite(gain(np.ldexp(integers.sections.astype(np.float64), -integers.fraction))):
        return False
    again = _scale_coefficients(site, integers.sections, integers.fraction)
    return (integers.guard, integers.acc_bound) == (again.guard, again.acc_bound)


def _identity_sections(shapes: Sequence[Shape]) -> Mapping[int, Array]:
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
    _filter_fits,
    weights=_identity_sections,
)
