# SPDX-License-Identifier: Apache-2.0
"""A description computed by NumPy: a list of calls, each for all elements at once."""

from __future__ import annotations

import math
import operator
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from myoedge.nest.intervals import in_int32
from myoedge.nest.ir import (
    Affine,
    Array,
    Axis,
    Binary,
    Call,
    Element,
    Expr,
    Lookup,
    Nest,
    Number,
    Reduced,
    Where,
    walk,
)
from myoedge.nest.nodes import Assumed, CallResult, Scan, Taken, all_axes, called
from myoedge.nest.primitive import Numbers
from myoedge.nest.scan import ScanReference, carrying
from myoedge.nest.windows import LoopView, taken
from myoedge.numerics.requant import exact_matmul

PAIRS: dict[str, tuple[Callable[..., Any], Callable[[int, int], int]]] = {  # of arrays, of numbers
    "+": (np.add, operator.add),
    "-": (np.subtract, operator.sub),
    "*": (np.multiply, operator.mul),
    ">>": (np.right_shift, operator.rshift),
    "<<": (np.left_shift, operator.lshift),
    "//": (np.floor_divide, operator.floordiv),
    "%": (np.mod, operator.mod),
    "<": (np.less, operator.lt),
    "==": (np.equal, operator.eq),
    "long >>": (np.right_shift, operator.rshift),
    "max": (np.maximum, max),
    "min": (np.minimum, min),
}
REDUCED: dict[str, Callable[..., Any]] = {
    "sum": np.sum,
    "max": np.max,
    "min": np.min,
    "argmax": np.argmax,
}

Slots = list[Any]  # values of a run: operands, constants, then the result of each call


@dataclass(frozen=True, eq=False)
class NumpyCall:
    """One NumPy call.

    compute   values -> value
    slots     slots of its arguments
    """

    compute: Callable[..., Any]
    slots: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class NestReference:
    """A nest as NumPy calls.

    constants   values that do not depend on the operands
    calls       calls in order; each fills the next slot
    store       last value -> result
    """

    constants: tuple[Any, ...]
    calls: tuple[NumpyCall, ...]
    store: Callable[[Any], Numbers]

    @staticmethod
    def of(nest: Nest) -> NestReference:
        """Prepare a nest: in int32 if the intervals of all values prove that it is exact, otherwise
        in int64."""
        return _NestCompiler(nest).reference()

    def __call__(self, *operands: Numbers) -> Numbers:
        """Return the result for integer operands of the shapes and types of the description."""
        values = [*operands, *self.constants]
        for call in self.calls:
            values.append(call.compute(*[values[slot] for slot in call.slots]))
        return self.store(values[-1])


class _NestCompiler:
    """Translation of a nest's formula into calls.

    loops       loops of the result, then those of reductions
    constants   values of constants and numbers, by id of their part
    """

    def __init__(self, nest: Nest) -> None:
        self.nest, self.parts = nest, walk(nest.value)
        self.loops = all_axes(nest)
        self.dtype: type[np.signedinteger[Any]] = np.int32 if in_int32(nest) else np.int64
        self.constants: dict[int, Any] = {}
        self.computed: list[Expr] = []
        self.products = products_of(nest.value)
        self.factors = _product_factors(nest.value, self.products)
        summed = {id(x) for part in self.parts if id(part) in self.products for x in part.operands}
        inside = carrying(self.parts)
        for part in self.parts:
            if id(part) in summed or id(part) in inside:
                continue
            if (value := self._constant_value(part)) is None:
                self.computed.append(part)
            else:
                self.constants[id(part)] = value

    def reference(self) -> NestReference:
        count = len(self.nest.operands)
        slots = {id(array): at for at, array in enumerate(self.nest.operands)}
        slots |= {part: count + at for at, part in enumerate(self.constants)}
        calls = []
        for at, part in enumerate(self.computed):
            arguments = self.products.get(id(part), _call_arguments(part))
            call = self._compile_call(part)
            arguments = call.given if isinstance(call, ScanReference) else arguments
            calls.append(NumpyCall(call, tuple(slots[id(x)] for x in arguments)))
            slots[id(part)] = count + len(self.constants) + at
        return NestReference(tuple(self.constants.values()), tuple(calls), self._compile_store())

    def _constant_value(self, part: Expr) -> Any:
        """Return the value of a part that depends on no operand: a number, or a constant's
        elements; otherwise None."""
        match part:
            case Number():
                return part.value
            case Element(array=Array(values=values)) if values is not None:
                return self._compile_load(part)(values)
            case Binary():
                left, right = (self.constants.get(id(x)) for x in part.operands)
                if isinstance(left, int) and isinstance(right, int) and part.operation in PAIRS:
                    return int(PAIRS[part.operation][1](left, right))
        return None

    def _compile_call(self, part: Expr) -> Callable[..., Any]:
        match part:
            case Element():
                return self._compile_load(part)
            case Binary():
                return self._compile_binary(part.operation)
            case Where():
                return np.where
            case Scan():
                at, count = self.loops.index(part.axis), len(self.loops)
                return ScanReference.of(part, at, count, self._compile_call)
            case Reduced():
                is_product = id(part) in self.products
                of_axis = partial(self._compile_matrix_product, part.axis)
                return of_axis if is_product else partial(self._compile_reduction, part)
            case Lookup():
                values = part.array.known.astype(self.dtype)
                return lambda at: values.take(at)
            case Taken():
                return partial(taken, part, self.loops)
            case Call() | CallResult() | Assumed():
                return called(part)
        raise TypeError(part)

    def _compile_binary(self, operation: str) -> Callable[..., Any]:
        if operation in ("<", "=="):  # 1 or 0, a number like any other
            return lambda a, b: PAIRS[operation][0](a, b).astype(self.dtype)
        if operation.startswith("int32 "):
            return partial(self._check_int32, PAIRS[operation[-1]][0])
        return PAIRS[operation][0]

    def _compile_load(self, part: Element) -> Callable[[Numbers], Numbers]:
        """Return a function from an operand to its elements in each iteration, as the dtype of the
        calculation."""
        array, index, loops = part.array, part.index, self.loops
        dtype = array.dtype if id(part) in self.factors else self.dtype
        if (shape := _plain_shape(array, index, loops)) is not None:
            return lambda x: x.reshape(shape).astype(dtype)
        before = [max(-i.low, 0) for i in index]
        after = [max(i.high - n + 1, 0) for i, n in zip(index, array.shape, strict=True)]
        if not any(before) and not any(after):
            view = LoopView.of(index, loops)
            return lambda x: view(x).astype(dtype)
        around, fill = [*zip(before, after, strict=True)], array.outside or 0
        inside = tuple(i + n for i, n in zip(index, before, strict=True))
        padded = LoopView.of(inside, loops)
        return lambda x: padded(np.pad(x, around, constant_values=fill)).astype(dtype)

    def _check_int32(self, compute: Callable[..., Any], a: Any, b: Any) -> Any:
        return compute(a, b, dtype=np.int64).astype(np.int32).astype(self.dtype)

    def _compile_reduction(self, part: Reduced, value: Numbers, *ends: Any) -> Any:
        at = self.loops.index(part.axis)
        if ends:  # outside of them, a value that changes no reduction
            shape = [part.axis.extent if axis == part.axis else 1 for axis in self.loops]
            each, limits = np.arange(part.axis.extent).reshape(shape), np.iinfo(self.dtype)
            rest = {"sum": 0, "max": limits.min, "min": limits.max}[part.operation]
            is_inside = (each >= ends[0]) & (each < ends[1])
            value = np.where(is_inside, value, self.dtype(rest))
        own = np.shape(value)
        whole = [*(1,) * (len(self.loops) - len(own)), *own]
        value = np.reshape(value, whole)
        if whole[at] != part.axis.extent:  # the same value in every iteration
            whole[at] = part.axis.extent
            value = np.broadcast_to(value, whole)
        if part.operation == "last":
            return value.take([-1], axis=at)
        if part.operation == "int32 sum":
            total = np.sum(value, axis=at, keepdims=True, dtype=np.int64)
            return total.astype(np.int32).astype(self.dtype)
        kind = {"dtype": self.dtype} if part.operation == "sum" else {}
        return REDUCED[part.operation](value, axis=at, keepdims=True, **kind)

    def _compile_matrix_product(self, axis: Axis, a: Numbers, b: Numbers) -> Numbers:
        """Return the sum over an axis of a * b, as one matrix product: rows are the loops that only
        a has, columns those that only b has, and the others have a product each."""
        at = self.loops.index(axis)
        each = [n for n in range(len(self.loops)) if n != at]
        rows = [n for n in each if a.shape[n] > b.shape[n]]  # extents are equal, or one is 1
        columns = [n for n in each if a.shape[n] < b.shape[n]]
        batch = [n for n in each if a.shape[n] == b.shape[n]]
        order = [*batch, *rows, *columns, at]
        count, extents = len(batch), [max(a.shape[n], b.shape[n]) for n in order]
        sizes = [math.prod(extents[:count]), -1, axis.extent]
        left = a.transpose(*batch, *rows, at, *columns).reshape(sizes)
        right = b.transpose(*batch, *columns, at, *rows).reshape(sizes)
        acc = exact_matmul(left, right.transpose(0, 2, 1), self.dtype)
        return acc.reshape(*extents[:-1], 1).transpose(np.argsort(order))

    def _compile_store(self) -> Callable[[Any], Numbers]:
        """Return the function from the last value to the result."""
        nest, axes = self.nest, self.nest.axes
        extents, dtype = tuple(axis.extent for axis in axes), np.dtype(nest.out.dtype)
        if nest.at == tuple(axis.at for axis in axes) and extents == nest.out.shape:

            def store(value: Any) -> Numbers:
                whole = np.asarray(value, dtype)
                rest = whole.shape[: len(extents)]
                return (
                    whole.reshape(rest) if rest == extents else _repeat_along_loops(whole, extents)
                )

            return store

        view = LoopView.of(nest.at, axes)

        def place(value: Any) -> Numbers:
            out = np.empty(nest.out.shape, dtype)
            view(out, writeable=True)[...] = _repeat_along_loops(value, extents)
            return out

        return place


def _call_arguments(part: Expr) -> Sequence[Array | Expr]:
    """Return what the call of a part reads: operands, and results of other calls."""
    if isinstance(part, Element):
        return [part.array]
    if isinstance(part, Taken) and part.source.array.values is None:
        return part.source.array, part.at
    return (part.at,) if isinstance(part, Taken) else part.operands


def products_of(value: Expr) -> dict[int, tuple[Expr, ...]]:
    """Return id of a sum -> the two elements whose products it adds, for sums of products that
    nothing else reads."""
    parts = walk(value)
    uses = Counter(id(x) for part in parts for x in part.operands)
    found: dict[int, tuple[Expr, ...]] = {}
    for part in parts:
        match part:
            case Reduced("sum", axis, Binary("*", Element() as a, Element() as b) as product, None):
                if uses[id(product)] == 1 and _has_axis(a, axis) and _has_axis(b, axis):
                    found[id(part)] = a, b
    return found


def _product_factors(value: Expr, products: Mapping[int, tuple[Expr, ...]]) -> set[int]:
    """Return the elements, by id, that only sums of products read, as the type of their array."""
    read = Counter(id(x) for part in walk(value) for x in part.operands)
    own = Counter(id(x) for pair in products.values() for x in pair)
    return {part for part, count in own.items() if read[part] == count}


def _has_axis(part: Element, axis: Axis) -> bool:
    return any(i.stride(axis) for i in part.index)


def _repeat_along_loops(value: Any, extents: tuple[int, ...]) -> Numbers:
    """Return a value with one axis per loop of the result, repeated along loops that do not change
    it."""
    x = np.asarray(value)
    kept = x.reshape(x.shape[: len(extents)]) if x.ndim else x
    return np.ascontiguousarray(np.broadcast_to(kept, extents))


def _plain_shape(
    array: Array, index: Sequence[Affine], loops: Sequence[Axis]
) -> tuple[int, ...] | None:
    """Return the shape that an array's elements have with one axis per loop if reshaping is enough:
    each dimension is a loop of its own, in the order of the loops; otherwise None."""
    shape, last = [1] * len(loops), -1
    for i, n in zip(index, array.shape, strict=True):
        if not i.terms and i.const == 0 and n == 1:
            continue
        if len(i.terms) != 1 or i.const != 0 or i.terms[0][1] != 1 or i.terms[0][0].extent != n:
            return None
        at = loops.index(i.terms[0][0])
        if at <= last:
            return None
        shape[at], last = n, at
    return tuple(shape)
