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

from dataclasses import dataclass, field
from functools import cached_property

from myoedge.nest.primitive import Numbers, Primitive
from myoedge.nest.undecided import FACTOR, NoValue, Undecided, refuse_negative_bits
from myoedge.numerics.requant import whole_number


class Expr(NoValue):
    """A formula; combined by operators, it is a larger formula."""

    def __add__(self, other: Value) -> Expr:
        return Binary("+", self, as_expr(other))

    def __sub__(self, other: Value) -> Expr:
        return Binary("-", self, as_expr(other))

    def __mul__(self, other: Value) -> Expr:
        return Binary("*", self, as_expr(other))

    def __rshift__(self, other: Value) -> Expr:
        refuse_negative_bits(other, ">> {}", "<< {}")
        return Binary(">>", self, as_expr(other))

    def __lshift__(self, other: Value) -> Expr:
        refuse_negative_bits(other, "<< {}", ">> {}")
        return Binary("<<", self, as_expr(other))

    def __lt__(self, other: Value) -> Expr:
        return Binary("<", self, as_expr(other))

    def __gt__(self, other: Value) -> Expr:
        return Binary("<", as_expr(other), self)

    def __radd__(self, other: int) -> Expr:
        return Binary("+", as_expr(other), self)

    def __rsub__(self, other: int) -> Expr:
        return Binary("-", as_expr(other), self)

    def __rmul__(self, other: int) -> Expr:
        return Binary("*", as_expr(other), self)

    def __rlshift__(self, other: int) -> Expr:
        return Binary("<<", as_expr(other), self)

    def __neg__(self) -> Expr:
        return 0 - self

    def __abs__(self) -> Expr:
        return Binary("max", self, -self)

    @property
    def operands(self) -> tuple[Expr, ...]:
        return ()


Value = Expr | int


def as_expr(value: Value) -> Expr:
    if isinstance(value, Expr):
        return value
    try:
        return Number(whole_number(value))
    except (TypeError, ValueError):
        raise Undecided(f"a formula has integers, not {value!r}", FACTOR) from None


@dataclass(frozen=True, eq=False)
class Number(Expr):
    """A constant integer."""

    value: int


@dataclass(frozen=True, eq=False)
class Binary(Expr):
    """A formula of two operands.

    operation   "+", "-", "*", ">>", "<<", "<" and "==" (1 or 0), "max", "min", "int32 +", "int32 -"
                and "int32 *" modulo 2**32, "//" and "%" by positive numbers, rounded down,
                and "long >>", whose operand has 64 bits
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
    """A value over an axis that the result does not have.

    operation   "sum", "max" or "min" over the axis; "int32 sum" modulo 2**32; "argmax": the first
                iteration with the largest value; "last": in its last iteration
    ends        first iteration, and the one after the last, from constants, at least one apart, so
                that windows at a border are shorter; None: all iterations
    """

    operation: str
    axis: Axis
    value: Expr
    ends: tuple[Expr, Expr] | None = None

    @property
    def operands(self) -> tuple[Expr, ...]:
        return (self.value, *(self.ends or ()))


@dataclass(frozen=True, eq=False)
class Element(Expr):
    """An element of an array: one index per dimension."""

    array: Array
    index: tuple[Affine, ...]


@dataclass(frozen=True, eq=False)
class Lookup(Expr):
    """An element of a constant of one dimension, at an index that is computed.

    array   the constant
    at      its index; the ranges of its operands keep it inside
    """

    array: Array
    at: Expr

    @property
    def operands(self) -> tuple[Expr, ...]:
        return (self.at,)


@dataclass(frozen=True, eq=False)
class Call(Expr):
    """A primitive of a constant table and of values.

    primitive   the function
    table       its constant table, of one dimension; None: it has none
    values      its arguments
    """

    primitive: Primitive
    table: Array | None
    values: tuple[Expr, ...]

    @property
    def operands(self) -> tuple[Expr, ...]:
        return self.values

    @property
    def known(self) -> Numbers | None:
        """Values of the table."""
        return None if self.table is None else self.table.known


@dataclass(frozen=True)
class Axis:
    """A loop of a nest. Indices leave out an axis of one iteration.

    name     name, unique in the nest
    extent   number of iterations
    """

    name: str
    extent: int

    @property
    def at(self) -> Affine:
        return Affine(((self, 1),) if self.extent > 1 else ())


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
        return next((stride for own, stride in self.terms if own is axis or own == axis), 0)


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
    width     extent of the last dimension if an iteration reads all of it, as a record; 1 otherwise
    varies    whether another training of the network gives a constant other values: its C is the
              same for all values
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    values: Numbers | None = field(default=None, repr=False)
    outside: int | None = None
    width: int = 1
    varies: bool = False

    @property
    def known(self) -> Numbers:
        """Values of a constant."""
        assert self.values is not None, f"{self.name} is no constant"
        return self.values

    def __getitem__(self, index: Affine | Axis | int | tuple[Affine | Axis | int, ...]) -> Expr:
        given = index if isinstance(index, tuple) else (index,)
        found = tuple(map(as_index, given))
        assert len(found) == len(self.shape), (self, found)
        inside = all(i.low >= 0 and i.high < n for i, n in zip(found, self.shape, strict=True))
        assert inside or self.outside is not None, f"{self} has no elements outside"
        return Element(self, found)


@dataclass(frozen=True, eq=False)
class Nest:
    """A description: out[at] = value, for all iterations of the axes; the same for more results.

    axes       loops of the result, outermost first; each occurs in `at`
    operands   arrays that a caller passes, in its order
    out        the result
    at         index of the result in each iteration; every element is written once
    value      the formula
    more       further results of the shape of `out`, and their formulas
    """

    axes: tuple[Axis, ...]
    operands: tuple[Array, ...]
    out: Array
    at: tuple[Affine, ...]
    value: Expr
    more: tuple[tuple[Array, Expr], ...] = ()

    @property
    def results(self) -> tuple[tuple[Array, Expr], ...]:
        return (self.out, self.value), *self.more

    @cached_property
    def parts(self) -> tuple[Expr, ...]:
        """Parts of its formulas, operands first, each once."""
        return tuple(walk(*(value for _, value in self.results)))


def walk(*values: Expr) -> list[Expr]:
    """Return the parts of formulas, operands first, each once."""
    found: dict[int, Expr] = {}
    opened: set[int] = set()
    ahead = [*reversed(values)]
    while ahead:
        part = ahead[-1]
        at = id(part)
        if at in found:
            ahead.pop()
        elif at in opened or not (operands := part.operands):
            found[at] = ahead.pop()
        else:
            opened.add(at)
            ahead += reversed(operands)
    return [*found.values()]
