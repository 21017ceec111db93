# SPDX-License-Identifier: Apache-2.0
"""Parts that the descriptions of several operators share: operands and results of a quantised node,
their constants, and requantisation.

Numbers of a description that follow from scales may be constants that generated C reads: another
training of a network, whose scales differ, then has the same C. With the sum of a layer `add`,
whose multipliers are fields of its constants, the formula

    (a * 12 + b * 3 + 77) >> 5    is    (a * a_mult + b * b_mult + offset) >> shift
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from functools import partial
from typing import Any, cast

import numpy as np

from myoedge.graph.ir import Shape
from myoedge.nest.formulas import broadcast_axes, broadcast_index, clip, maximum, minimum, shifted
from myoedge.nest.intervals import INT32, Interval
from myoedge.nest.ir import Affine, Array, Axis, Expr, Nest, Value, as_expr
from myoedge.nest.nodes import Assumed
from myoedge.numerics.element_type import INT8, INT16
from myoedge.numerics.requant import PRE_MAX, SHIFT_MAX
from myoedge.operators.base import OPS, QuantizedNode

# End of a field's name -> the numbers that any training may have; zero points and limits are those
# of a type, other fields int32.
RANGES: dict[str, Interval | None] = {
    "pre": (0, PRE_MAX),
    "shift": (0, SHIFT_MAX),
    "bits": (0, SHIFT_MAX),
    "acc_bound": None,  # is proven, not read
}

OPERANDS = {"x_zero": 0, "a_zero": 0, "b_zero": 1, "y_zero": -1, "zero": -1}  # of zero points


def numbers_as_data(step: QuantizedNode) -> QuantizedNode:
    """Return a layer whose constants that are numbers, and whose limits that follow from a scale,
    are formulas that read them. Numbers that decide what a formula is stay numbers, as do those
    outside of the range that any training may have: then trainings have the same C only if they
    share them."""
    if not step.as_data:
        return step
    named = {x.name: getattr(step.integers, x.name) for x in fields(step.integers)}
    numbers = {name: int(x) for name, x in named.items() if isinstance(x, int | np.integer)}
    read = {name: read_as_data(step, name, x) for name, x in numbers.items()}
    made = replace(step, integers=replace(step.integers, **cast(Any, read)))
    if "act" not in step.attrs or step.table is not None:
        return made
    limits = {name: read_as_data(step, name, getattr(step, name)) for name in ("low", "high")}
    return replace(made, **cast(Any, limits))


def read_as_data(step: QuantizedNode, name: str, number: Value, at: int = 0) -> Value:
    """Return a formula that reads a number of a layer from a constant; the number itself if it is
    one already, decides what the formula is, is outside of the range of its name, or the only one
    there.

    at   place of the number, if the field has several
    """
    limits = step.integers.ranges.get(name, _usual_range(step, name, at))
    if isinstance(number, Expr) or limits is None or not limits[0] <= number <= limits[1]:
        return number
    if limits[0] == limits[1]:
        return number
    dtype = "int32" if max(limits) <= INT32[1] else "int64"
    values = np.array([number], dtype)
    return Assumed(Array(name, dtype, (1,), values, varies=True)[0], *limits)


def _usual_range(step: QuantizedNode, name: str, at: int) -> Interval | None:
    """Return the range of numbers with such a name; None for those that stay numbers."""
    if name in ("low", "high"):
        return step.element_type.low, step.element_type.high
    if name.endswith(("zero", "zeros")):
        # The range of an operand's zero points, or of the result's for -1: that of int16 is 0
        # (docs/developers/integer-semantics.md)
        operand = OPERANDS.get(name, at)
        kinds = [*map(step.read_type, range(len(step.operands))), step.element_type]
        is_wide = operand < len(kinds) and kinds[operand] == INT16
        return (0, 0) if is_wide else (INT8.low, INT8.high)
    return next((x for end, x in RANGES.items() if name.endswith(end)), INT32)


def operand(step: QuantizedNode, at: int) -> Array:
    """Return the array of an operand, by its position."""
    return Array(f"x{at}", step.read_type(at).dtype.name, step.shapes[at])


def operands(step: QuantizedNode) -> tuple[Array, ...]:
    """Return the arrays of all operands."""
    return tuple(operand(step, at) for at in range(len(step.operands)))


def axes_along(shape: Sequence[int], axis: int) -> tuple[tuple[Axis, ...], tuple[Axis, ...]]:
    """Return one axis per dimension, and those of a result without one of them, whose name no axis
    of a result has."""
    axes = broadcast_axes(shape)
    others = tuple(x for at, x in enumerate(axes) if at != axis % len(shape))
    along = Axis("along", shape[axis])
    return tuple(x if x in others else along for x in axes), others


def result(step: QuantizedNode) -> Array:
    return Array("y", step.element_type.dtype.name, step.out)


def written_shape(step: QuantizedNode) -> Shape:
    """Return the shape of what a layer writes: of a sequence in a loop, a row."""
    own = step.members[-1] if step.members else step
    meaning = OPS[own.node.op].meaning
    return own.out if meaning is None else meaning(own).out.shape


def constant(step: QuantizedNode, name: str, index: Sequence[Axis | Affine | int] = ()) -> Value:
    """Return a field of the node's constants: a number, or the element of an array at an index."""
    value = getattr(step.integers, name)
    if isinstance(value, Expr):
        return value
    if np.ndim(value) == 0 or all(isinstance(i, int) for i in index):
        number = int(value[tuple(index)] if np.ndim(value) else value)
        at = next((i for i in index if isinstance(i, int)), 0)
        return read_as_data(step, name, number, at) if step.as_data else number
    return nest_constant(name, value)[tuple(index)]


def nest_constant(name: str, values: np.ndarray[Any, np.dtype[Any]]) -> Array:
    """Return a constant as an array of a description."""
    return Array(name, values.dtype.name, values.shape, values)


def own_number(step: QuantizedNode, name: str) -> Expr:
    """Return a number of the node's constants as an expression: a literal of the C, or data where
    as_data says so."""
    return as_expr(constant(step, name, (0,)))


def saturated(step: QuantizedNode, value: Expr) -> Expr:
    """Clip a value to the node's saturation limits."""
    return clip(value, step.low, step.high)


def requantised(
    step: QuantizedNode, acc: Expr, number: Callable[[str], Value] | None = None
) -> Expr:
    """Return clip(((acc >> pre) * mult + offset) >> shift) with the node's constants, which are
    RequantParams.

    number   name -> mult, offset or shift of an iteration; None: they are numbers
    """
    each = number or partial(constant, step)
    scaled = shifted(acc, step.integers.pre) * each("mult") + each("offset")
    return saturated(step, scaled >> each("shift"))


def requantised_channel(step: QuantizedNode, acc: Expr, channel: Axis) -> Expr:
    """Return clip(((acc >> pre) * mult + offset) >> shift) with a channel's constants, all of which
    are data, so that another training of the network has the same formula."""

    def each(name: str, value: Any) -> Expr:
        if isinstance(value, Expr):
            return value
        values = np.broadcast_to(np.asarray(value, np.int32), (channel.extent,))
        return as_expr(nest_constant(name, np.ascontiguousarray(values))[channel])

    c = step.integers
    scaled = (acc >> each("pre", c.pre)) * each("mult", c.mult) + each("offset", c.offset)
    value = scaled >> each("shift", c.shift)
    if "act" not in step.attrs or step.table is not None:
        return saturated(step, value)
    return minimum(maximum(value, each("low", step.low)), each("high", step.high))


def pairwise_nest(step: QuantizedNode, formula: Callable[[Expr, Expr], Expr]) -> Nest:
    """Return the description of a function of two broadcast operands, element by element.

    formula   (a, b) -> the saturated result
    """
    axes, arrays = broadcast_axes(step.out), (operand(step, 0), operand(step, 1))
    a, b = (array[broadcast_index(axes, array.shape)] for array in arrays)
    return Nest(axes, arrays, result(step), tuple(axis.at for axis in axes), formula(a, b))


def unary_nest(step: QuantizedNode, formula: Callable[[Expr, tuple[Axis, ...]], Expr]) -> Nest:
    """Return the description of a function of the first operand, which has the result's shape;
    later ones only order execution.

    formula   (x, axes) -> the saturated result
    """
    axes = broadcast_axes(step.out)
    arrays = operands(step)
    index = tuple(axis.at for axis in axes)
    return Nest(axes, arrays, result(step), index, formula(arrays[0][index], axes))
