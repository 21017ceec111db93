# SPDX-License-Identifier: Apache-2.0
"""Checks of what the functions of an operator's class return."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from myoedge.graph.ir import Shape
from myoedge.nest.c_arrays import C_TYPES
from myoedge.nest.ir import Expr
from myoedge.numerics.arrays import Array
from myoedge.numerics.fixed_point import INT32_MAX
from myoedge.operators.stated_class import Mistake, StatedClass, shown


class Scaled:
    """Result of a formula's `quantize`.

    unit        real value of one unit of the formula's result, > 0
    constants   integer constants by name: numbers, or arrays of one dimension: one integer per
                channel, or a table that `lookup` reads
    """

    def __init__(self, unit: float, **constants: int | Array) -> None:
        self.unit, self.constants = unit, constants


def faults_of_real(shape: Shape | None) -> Callable[[Any], Iterator[Mistake]]:
    """Return the check of a float result.

    shape   its shape; None for what model.int8.onnx is written from
    """

    def find(made: Any) -> Iterator[Mistake]:
        if shape is None:
            return
        is_array = isinstance(made, np.ndarray | np.generic) and made.dtype.kind in "fiub"
        if not (is_array and made.shape == tuple(shape)):
            wanted = f"an array of floats {list(shape)}"
            yield Mistake(
                wanted, shown(made), f"return an array of the operands' shape, {list(shape)}"
            )

    return find


def faults_of_nest(own: StatedClass) -> Callable[[Any], Iterator[Mistake]]:
    def find(made: Any) -> Iterator[Mistake]:
        if not isinstance(made, Expr):
            names = ", ".join(own.operands)
            yield Mistake(f"a formula of {names}", shown(made), "return ... before the formula")

    return find


def faults_of_quantize(own: StatedClass) -> Callable[[Any], Iterator[Mistake]]:
    def find(made: Any) -> Iterator[Mistake]:
        if not isinstance(made, Scaled):
            yield Mistake(own.scaled, shown(made), f"return {own.scaled}")
            return
        yield from _faults_of_names(own, made.constants)
        unit = made.unit
        if not (_is_number(unit) and math.isfinite(unit) and unit > 0):
            needs = "a unit above 0, the real value of one unit of nest's result"
            yield Mistake(needs, f"the unit {shown(unit)}", "Scaled(self.params(0).scale, ...)")
        for name, value in made.constants.items():
            yield from _faults_of_constant(name, value)

    return find


def _faults_of_names(own: StatedClass, given: Iterable[str]) -> Iterator[Mistake]:
    if sorted(given) != sorted(own.constants):
        has = f"Scaled({', '.join(['unit', *given])})"
        lacking = [name for name in given if name not in own.constants]
        annotated = ", ".join(f"{name}: Constant in the class" for name in lacking)
        yield Mistake(own.scaled, has, annotated or f"return {own.scaled}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)


def _faults_of_constant(name: str, value: Any) -> Iterator[Mistake]:
    values = np.asarray(value)
    if values.dtype.kind not in "iub" or not _in_int32(values):
        rounded = f"{name}=np.rint(...).astype(np.int32), of values below 2**31"
        yield Mistake(f"{name} of 32-bit integers", f"{shown(value)}", rounded)
    elif values.ndim > 1 or not values.size:
        needs = f"{name} as a number, or of one dimension"
        yield Mistake(needs, f"shape {list(values.shape)}", f"{name}=np.ravel({name})")


def _in_int32(values: Array) -> bool:
    return int(values.min(initial=0)) >= -INT32_MAX and int(values.max(initial=0)) <= INT32_MAX


def as_integers(value: Any) -> int | Array:
    """Return a checked constant as an int, or as an array of int8, int16 or int32."""
    values = np.asarray(value)
    if values.ndim == 0:
        return int(values)
    return values if values.dtype.name in C_TYPES else values.astype(np.int32)
