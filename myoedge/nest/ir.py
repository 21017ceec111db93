# SPDX-License-Identifier: Apache-2.0
"""Description of an operator: for each element of the result, an index map and a formula in
integers.

    c, i = Axis("c", 8), Axis("i", 40)
    x, y = (Array(name, "int8", (8, 40)) for name in "xy")
    mult = Array("mult", "int32", (8,), values)
    Nest((c, i), (x,), y, (c.at, i.at), clip((x[c, i] * mult[c] + 64) >> 7, -128, 127))

Shifts are arithmetic (toward minus infinity), as in C; all intermediates must fit in 64 bits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Numbers = np.ndarray[Any, np.dtype[Any]]


class Expr:
    """A formula; combined by operators, it is a larger formula."""

    def __add__(self, other: Value) -> Expr:
        return Binary("+", self, as_expr(other))

    def __sub__(self, other: Value) -> Expr:
        return Binary("-", self, as_expr(other))

    def __mul__(self, other: Value) -> Expr:
        return Binary("*", self, as_expr(other))

    def __rshift__(self, other: Value) -> Expr:
        return Binary(">>", self, as_expr(other))

    def __lshift__(self, other: Value) -> Expr:
        return Binary("<<", self, as_expr(other))

    def __lt__(self, other: Value) -> Expr:
        return Binary("<", self, as_expr(other))

    @property
    def operands(self) -> tuple[Expr, ...]:
        return ()


Value = Expr | int


def as_expr(value: Value) -> Expr:
    return value if isinstance(value, Expr) else Number(int(value))


@dataclass(frozen=True, eq=False)
class Number(Expr):
    """A constant integer."""

    value: int


@dataclass(frozen=True, eq=False)
class Binary(Expr):
    """A formula of two operands.

    operation   "+", "-", "*", ">>", "<<", "<" (1 or 0), "max", "min"
    """

    operation: str
    left: Expr
    right: Expr

    @property
    def operands(self) -> tuple[Expr, ...]:
        return self.left, self.right


@dataclass(frozen=True, eq=False)
class Where(Expr):
    """One of two values, by a condition that is 1 or 0."""

    condition: Expr
    then: Expr
    otherwise: Expr

    @property
    def operands(self) -> tuple[Expr, ...]:
        return self.condition, self.then, self.otherwise


@dataclass(frozen=True, eq=False)
class Reduced(Expr):
    """A value over an axis that the result does not have, or a running value along one that it has.

    operation   "sum", "max" or "min" over the axis; "running sum" along it
    """

    operation: str
    axis: Axis
    value: Expr

    @property
    def operands(self) -> tuple[Expr, ...]:
        return (self.value,)


@dataclass(frozen=True, eq=False)
class Element(Expr):
    """An element of an array: one index per dimension."""

    array: Array
    index: tuple[Affine, ...]


# --- index maps -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Axis:
    """A loop of a nest.

    name     name, unique in the nest
    extent   number of iterations
    """

    name: str
    extent: int

    @property
    def at(self) -> Affine:
        return Affine(((self, 1),))


@dataclass(frozen=True)
class Affine:
    """An index: a sum of axes times strides, plus a constant.

    terms   (axis, stride), each axis once
    """

    terms: tuple[tuple[Axis, int], ...] = ()
    const: int = 0

    def __add__(self, other: Affine | Axis | int) -> Affine:
        added = as_index(other)
        strides = dict(self.terms)
        for axis, stride in added.terms:
            strides[axis] = strides.get(axis, 0) + stride
        kept = tuple((axis, stride) for axis, stride in strides.items() if stride)
        return Affine(kept, self.const + added.const)

    def __mul__(self, factor: int) -> Affine:
        terms = tuple((axis, stride * factor) for axis, stride in self.terms if factor)
        return Affine(terms, self.const * factor)

    @property
    def low(self) -> int:
        """Return the smallest index of all iterations."""
        return self.const + sum(min(stride, 0) * (axis.extent - 1) for axis, stride in self.terms)

    @property
    def high(self) -> int:
        """Return the largest index of all iterations."""
        return self.const + sum(max(stride, 0) * (axis.extent - 1) for axis, stride in self.terms)

    def stride(self, axis: Axis) -> int:
        return dict(self.terms).get(axis, 0)


def as_index(value: Affine | Axis | int) -> Affine:
    if isinstance(value, Axis):
        return value.at
    return value if isinstance(value, Affine) else Affine(const=value)


@dataclass(frozen=True, eq=False)
class Array:
    """An operand, a constant or the result.

    name      its name
    dtype     NumPy's name of its integer type
    shape     its shape
    values    values of a constant; None for operands and the result
    outside   value of the elements outside the array (padding); None: there are none
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    values: Numbers | None = field(default=None, repr=False)
    outside: int | None = None

    def __getitem__(self, index: Affine | Axis | int | tuple[Affine | Axis | int, ...]) -> Expr:
        given = index if isinstance(index, tuple) else (index,)
        found = tuple(map(as_index, given))
        assert len(found) == len(self.shape), (self, found)
        inside = all(i.low >= 0 and i.high < n for i, n in zip(found, self.shape, strict=True))
        assert inside or self.outside is not None, f"{self} has no elements outside"
        return Element(self, found)


@dataclass(frozen=True, eq=False)
class Nest:
    """A description: out[at] = value, for all iterations of the axes.

    axes       loops of the result, outermost first; each occurs in `at`
    operands   arrays that a caller passes, in its order
    out        the result
    at         index of the result in each iteration; every element is written once
    value      the formula
    """

    axes: tuple[Axis, ...]
    operands: tuple[Array, ...]
    out: Array
    at: tuple[Affine, ...]
    value: Expr


def walk(value: Expr) -> Iterator[Expr]:
    """Yield the parts of a formula, operands first, each once."""
    seen = set[int]()

    def visit(part: Expr) -> Iterator[Expr]:
        if id(part) in seen:
            return
        seen.add(id(part))
        for operand in part.operands:
            yield from visit(operand)
        yield part

    yield from visit(value)


# --- formulas -------------------------------------------------------------------------------------


def maximum(a: Value, b: Value) -> Expr:
    return Binary("max", as_expr(a), as_expr(b))


def minimum(a: Value, b: Value) -> Expr:
    return Binary("min", as_expr(a), as_expr(b))


def clip(value: Value, low: int, high: int) -> Expr:
    return minimum(maximum(value, low), high)


def where(condition: Expr, then: Value, otherwise: Value) -> Expr:
    return Where(condition, as_expr(then), as_expr(otherwise))


def total(axis: Axis, value: Expr) -> Expr:
    """Return the sum of a value over an axis."""
    return Reduced("sum", axis, value)


def running_total(axis: Axis, value: Expr) -> Expr:
    """Return the sum of a value over all iterations of an axis up to this one."""
    return Reduced("running sum", axis, value)


def rounded_shift(value: Expr, bits: int) -> Expr:
    """Return value / 2**bits, rounded half up; the value itself for 0 bits."""
    return (value + (1 << bits >> 1)) >> bits if bits else value


def broadcast_axes(shape: Sequence[int]) -> tuple[Axis, ...]:
    """Return one axis per dimension of a result."""
    return tuple(Axis(f"i{d}", n) for d, n in enumerate(shape))


def broadcast_index(axes: Sequence[Axis], shape: Sequence[int]) -> tuple[Affine, ...]:
    """Return the index of an array that is broadcast to the axes of a result."""
    aligned = axes[len(axes) - len(shape) :]
    return tuple(as_index(0) if n == 1 else axis.at for axis, n in zip(aligned, shape, strict=True))
