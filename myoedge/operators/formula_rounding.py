# SPDX-License-Identifier: Apache-2.0
"""Effect of rounded constants on the results of a formula, in checks of its operator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from myoedge.nest.reference import NestReference
from myoedge.numerics.arrays import Array
from myoedge.operators.base import QuantizedNode
from myoedge.operators.formula import FORMULAS, Formula, field_of

FACTOR_BITS = 8  # that a formula's constants keep of its range, at least


def constants_slack(case: Any) -> Array:
    """Return by how much the rounding of a formula's constants moves each result, in output steps.
    Integers that `quantize` returns are exact; of what it leaves to be rounded, no more is excused
    than `excused`."""
    numbers = case.step.integers
    moved = np.minimum(_moved(case, rounded_off(case)), excused(case))
    factor = numbers.mult / 2.0 ** (numbers.shift + numbers.pre)
    rounded = np.where(numbers.pre, 2.0**numbers.pre, 0.0)  # by the pre-shift
    return np.asarray((moved + rounded / 2) * factor)


def rounded_off(case: Any) -> dict[str, Array]:
    """Return what rounding took from each constant of a formula."""
    formula, numbers = FORMULAS[case.op], case.step.integers
    stated = formula.scaled(case.site).constants
    return {name: np.asarray(x) - getattr(numbers, field_of(name)) for name, x in stated.items()}


def _moved(case: Any, rounded: Mapping[str, Array]) -> Array:
    """Return by how much the formula's results move, if so much was taken from its constants."""
    step, formula = case.step, FORMULAS[case.op]
    exact = _compute_accumulators(formula, step, case.data)
    moved = np.zeros(step.out)
    for name, less in rounded.items():
        field = field_of(name)
        other = getattr(step.integers, field) + np.where(np.asarray(less) < 0, -1, 1)
        near = replace(step, integers=replace(step.integers, **{field: other}))
        share = np.abs(less) if np.shape(less) in ((), (1,), step.out[-1:]) else np.abs(less).max()
        moved += np.abs(_compute_accumulators(formula, near, case.data) - exact) * share
    return moved


def excused(case: Any) -> Array:
    """Return what half a step of an operand does to each result; at least an 8-bit step of the
    formula's range, as factors of two terms may share their bits."""
    step, formula, data = case.step, FORMULAS[case.op], [x.astype(np.int64) for x in case.data]
    exact = _compute_accumulators(formula, step, data)
    least = np.full(step.out, step.integers.acc_bound / 2.0**FACTOR_BITS)
    changed = (
        _compute_accumulators(formula, step, [x + (i == at) for i, x in enumerate(data)]) - exact
        for at in range(len(data))
    )
    return np.asarray(np.max([least, *(np.abs(x) / 2 for x in changed)], axis=0))


def rounding_advice(case: Any, distance: Array) -> str:
    """Return what to change in `quantize` if the rounding of its constants explains a difference;
    "" if it does not.

    distance   of each result from what the float function gives, in output steps
    """
    if case.op not in FORMULAS:
        return ""
    rounded, most = rounded_off(case), excused(case)
    coarse = [x for x, less in rounded.items() if np.any(_moved(case, {x: less}) > most)]
    if coarse:
        return f"; a smaller unit in quantize, so that rounding {coarse[0]} loses less"
    integers = [x for x, less in rounded.items() if not np.any(less)]
    moved = np.minimum(_moved(case, dict.fromkeys(integers, np.array(0.5))), most)
    numbers = case.step.integers
    if np.any(distance > moved * numbers.mult / 2.0 ** (numbers.shift + numbers.pre)):
        return ""
    return f"; {', '.join(integers)} unrounded in quantize: myoedge rounds, and knows by how much"


def _compute_accumulators(formula: Formula, step: QuantizedNode, data: Sequence[Array]) -> Array:
    nest = formula.accumulator(step)
    return NestReference.of(replace(nest, out=replace(nest.out, dtype="int64")))(*data)
