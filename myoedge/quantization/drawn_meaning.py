# SPDX-License-Identifier: Apache-2.0
"""Error bounds of integer results relative to float results: 3/4 of a step plus the test case's
slack."""

from __future__ import annotations

import math

import numpy as np

from myoedge.numerics.arrays import Array
from myoedge.numerics.quant_params import QuantParams
from myoedge.operators.base import OPS
from myoedge.quantization.drawn_case import DrawnCase

ROUNDING = 0.75  # half an output step, plus the rounding of the fixed-point factors


def is_exact(case: DrawnCase) -> bool:
    """Return whether the integer results must be exact, because the operator only moves or compares
    values."""
    op = OPS[case.op]
    return op.out_dtype == "int32" or (op.same_scale and case.op != "pad")


def allowed(case: DrawnCase) -> tuple[Array, Array]:
    """Return the minimum and maximum allowed integer for each result of a test case, as floats."""
    if is_exact(case):
        exact = np.asarray(case.real(case.data))
        return exact, exact
    before = np.asarray(case.real(case.dequantized)) / case.unit(case)
    slack = ROUNDING + np.asarray(case.slack(case)) + finer(case)
    if case.has_table:
        return _through_table(case, before, slack)
    wanted = steps_from(case.activated(case.act, before), case.params("y"))
    return wanted - slack, wanted + slack


def steps_from(expected: Array, q: QuantParams) -> Array:
    """Convert real numbers to the integer scale without rounding; values are clipped to the
    integers' range."""
    finite = np.clip(np.nan_to_num(expected, nan=0.0, posinf=1e30, neginf=-1e30), -1e30, 1e30)
    return np.asarray(np.clip(finite / q.scale + q.zero_point, q.low, q.high))


def finer(case: DrawnCase) -> float:
    """Return the error, in output steps, that rounded multipliers add to int16 results; 0 for int8.

    Accumulator and multiplier share 32 bits, so that int16 leaves fewer bits to the multiplier.
    """
    numbers = {**case.step.integers.scalars, **case.step.integers.arrays}
    if case.params("y").element_type.bits == 8 or not {"mult", "pre"}.issubset(numbers):
        return 0.0
    factors = np.asarray(numbers["mult"]) / 2.0 ** (np.asarray(numbers["shift"]) + numbers["pre"])
    return math.sqrt(OPS[case.op].acc_bound(case.step) * float(factors.max())) / 256


def _through_table(case: DrawnCase, before: Array, slack: Array) -> tuple[Array, Array]:
    """Return the minimum and maximum of the activation, as integers, over the error range of the
    requantised value before it."""
    pre, post = case.target, case.params("y")
    at = steps_from(before, pre)
    low, high = np.clip(at - slack, -128, 127), np.clip(at + slack, -128, 127)
    points = 17 + 2 * int(np.max(high - low, initial=0.0))  # a function may not be monotone
    near = [low + f * (high - low) for f in np.linspace(0.0, 1.0, points)]
    reals = [np.asarray((n - pre.zero_point) * pre.scale) for n in near]
    steps = np.stack([steps_from(case.activated(case.act, r), post) for r in reals])
    return steps.min(axis=0) - 1.0, steps.max(axis=0) + 1.0
