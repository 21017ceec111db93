# SPDX-License-Identifier: Apache-2.0
"""Formulas of descriptions: limits, choices, sums and rounding; axes of broadcast arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from myoedge.nest.ir import (
    Affine,
    Array,
    Axis,
    Binary,
    Element,
    Expr,
    Reduced,
    Value,
    Where,
    as_expr,
    as_index,
)
from myoedge.nest.undecided import refuse_negative_bits


def maximum(a: Value, b: Value) -> Expr:
    return Binary("max", as_expr(a), as_expr(b))


def minimum(a: Value, b: Value) -> Expr:
    return Binary("min", as_expr(a), as_expr(b))


def clip(value: Value, low: Value, high: Value) -> Expr:
    return minimum(maximum(value, low), high)


def equal(a: Value, b: Value) -> Expr:
    """Return 1 for equal values, otherwise 0."""
    return Binary("==", as_expr(a), as_expr(b))


def quotient(a: Value, b: Value) -> Expr:
    """Return a / b rounded down; b > 0."""
    return Binary("//", as_expr(a), as_expr(b))


def remainder(a: Value, b: Value) -> Expr:
    return Binary("%", as_expr(a), as_expr(b))


def in_int32(operation: str, a: Value, b: Value) -> Expr:
    """Return a sum, difference or product ("+", "-", "*") modulo 2**32, as int32."""
    return Binary(f"int32 {operation}", as_expr(a), as_expr(b))


def where(condition: Value, then: Value, otherwise: Value) -> Expr:
    return Where(as_expr(condition), as_expr(then), as_expr(otherwise))


def total(axis: Axis, value: Expr) -> Expr:
    """Return the sum of a value over an axis."""
    return Reduced("sum", axis, value)


def shifted(value: Expr, bits: Value) -> Expr:
    """Return value / 2**bits, rounded down; the value itself for 0 bits."""
    return value if is_zero(bits) else value >> bits


def is_zero(bits: Value) -> bool:
    """Return whether a number is known to be 0."""
    return not isinstance(bits, Expr) and bits == 0


def rounded_shift(value: Expr, bits: Value) -> Expr:
    """Return value / 2**bits, rounded half up; the value itself for 0 bits."""
    refuse_negative_bits(bits, "rounded_shift(x, {})", "x << {}")
    return value if is_zero(bits) else (value + (1 << bits >> 1)) >> bits


def long_shift(value: Expr, bits: Value) -> Expr:
    """Return value / 2**bits, rounded half up, of a value that its kernel computes in 64 bits; the
    value itself for 0 bits."""
    return value if is_zero(bits) else Binary("long >>", value + (1 << bits >> 1), as_expr(bits))


def broadcast_axes(shape: Sequence[int]) -> tuple[Axis, ...]:
    """Return one axis per dimension of a result."""
    return tuple(Axis(f"i{d}", n) for d, n in enumerate(shape))


def broadcast_index(axes: Sequence[Axis], shape: Sequence[int]) -> tuple[Affine, ...]:
    """Return the index of an array that is broadcast to the axes of a result."""
    aligned = axes[len(axes) - len(shape) :]
    return tuple(as_index(0) if n == 1 else axis.at for axis, n in zip(aligned, shape, strict=True))


def index_of(axis: Axis) -> Expr:
    """Return the index of an iteration as a value."""
    return Array("at", "int32", (axis.extent,), np.arange(axis.extent, dtype=np.int32))[axis]


def in_axes(part: Element, axes: Mapping[Axis, Axis]) -> Element:
    """Return an element with its index in other axes; axes of extent 1 add 0 and are left out."""
    index = (
        Affine(tuple((axes[axis], n) for axis, n in i.terms if axis in axes), i.const)
        for i in part.index
    )
    return Element(part.array, tuple(index))
