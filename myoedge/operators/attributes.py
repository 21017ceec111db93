# SPDX-License-Identifier: Apache-2.0
"""Values that attributes of operators may have, relative to each other and to the operands.

An operator states them for each of its attributes (OpDef.attributes). Nodes with other attributes
or values are refused: import says so, and a build folder that has them is not read. So kernels may
rely on them: index tables, strides and windows never lead outside an operand.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Integral, Real
from typing import Any

from myoedge.graph.ir import Attrs, Shape
from myoedge.numerics.element_type import INT32
from myoedge.numerics.pointwise import FUNCTIONS

MOST_TIMES = 2**15  # strides, dilations, paddings, frames
NORMAL = (2.0**-126, 2.0**127)  # normal numbers of float32


@dataclass(frozen=True, slots=True)
class NodeSite:
    """A node's attributes, and shapes and element types of its operands in the float graph."""

    attrs: Attrs
    shapes: Sequence[Shape]
    dtypes: Sequence[str]

    @property
    def extent(self) -> int:
        """The first operand's extent along attrs["axis"]; 0 if it has no such axis."""
        axis: Any = self.attrs.get("axis")
        return self.shapes[0][axis] if self.is_axis(axis) else 0

    def is_axis(self, value: Any) -> bool:
        return is_whole(value, 0, len(self.shapes[0]) - 1)


@dataclass(frozen=True, slots=True)
class Values:
    """Values that an attribute may have.

    text       in words, after "must be"
    holds      (value, NodeSite) -> whether it is one of them
    optional   whether a node may lack the attribute
    """

    text: str
    holds: Callable[[Any, NodeSite], bool]
    optional: bool = False


OTHERS = "*"  # any other attribute


def fault(schema: Mapping[str, Values], site: NodeSite) -> str:
    """Return what is wrong with a node's attributes, such as "hop=0, which must be an integer from
    1 to 32768"; "" if nothing is.

    schema   attribute -> the values that it may have; OTHERS for those that it does not name
    """
    for name, value in site.attrs.items():
        allowed = schema.get(name, schema.get(OTHERS))
        if allowed is None:
            return f"{name}={_format_value(value)}, which it does not have"
        if not allowed.holds(value, site):
            return f"{name}={_format_value(value)}, which must be {allowed.text}"
    needed = (name for name, values in schema.items() if not values.optional)
    missing = next((name for name in needed if name not in site.attrs), "")
    return f"no {missing}, which must be {schema[missing].text}" if missing else ""


def _format_value(value: Any) -> str:
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def optional(values: Values) -> Values:
    return replace(values, optional=True)


# --- single values --------------------------------------------------------------------------------


def is_whole(value: Any, low: int, high: int) -> bool:
    """Return whether a value is an integer, and no bool, from `low` to `high`."""
    return isinstance(value, Integral) and not isinstance(value, bool) and low <= int(value) <= high


def are_whole(value: Any, count: int, low: int, high: int) -> bool:
    """Return whether a value is a tuple of `count` such integers."""
    return is_tuple(value, count) and all(is_whole(x, low, high) for x in value)


def is_tuple(value: Any, count: int) -> bool:
    return isinstance(value, tuple) and len(value) == count


def is_number(value: Any, low: float = -math.inf, high: float = math.inf) -> bool:
    """Return whether a value is a number, not NaN and no bool, from `low` to `high`."""
    return isinstance(value, Real) and not isinstance(value, bool) and low <= float(value) <= high


def whole(low: int, high: int) -> Values:
    """Return the integers from `low` to `high`."""
    return Values(f"an integer from {low} to {high}", lambda value, _: is_whole(value, low, high))


def number(low: float, high: float) -> Values:
    """Return the numbers from `low` to `high`."""
    return Values(f"from {low:g} to {high:g}", lambda value, _: is_number(value, low, high))


def chosen(*words: str) -> Values:
    """Return the words of a list."""
    return Values(f"one of {', '.join(words)}", lambda value, _: value in words)


SCALAR = Values(
    "a number, a word, true or false",
    lambda value, _: isinstance(value, str | bool) or is_number(value),
)
NAME = Values("a name", lambda value, _: isinstance(value, str) and bool(value))
FLAG = Values("true or false", lambda value, _: isinstance(value, bool))
ANY_INTEGER = whole(INT32.low, INT32.high)
ANY_NUMBER = number(-(2.0**127), 2.0**127)
NOT_NEGATIVE = number(0.0, 2.0**127)
POSITIVE = number(*NORMAL)


# --- relative to the operands ---------------------------------------------------------------------


def _holds_axes(value: Any, site: NodeSite) -> bool:
    found = isinstance(value, tuple) and bool(value) and all(map(site.is_axis, value))
    return found and len({*value}) == len(value)


def per_axis(text: str, holds: Callable[[Any, int], bool], *, spatial: bool = False) -> Values:
    """Return the tuples with one entry per axis of the first operand.

    text      of one entry
    holds     (entry, extent of its axis) -> whether it is allowed
    spatial   only of the spatial axes of [N, *S, C]
    """

    def holds_all(value: Any, site: NodeSite) -> bool:
        extents = site.shapes[0][1:-1] if spatial else site.shapes[0]
        return is_tuple(value, len(extents)) and all(map(holds, value, extents))

    return Values(f"for every {'spatial ' * spatial}axis {text}", holds_all)


def padded(*, spatial: bool = False) -> Values:
    """Return the numbers of elements before and after each axis."""
    text = f"two integers from 0 to {MOST_TIMES}"
    return per_axis(text, lambda value, _: are_whole(value, 2, 0, MOST_TIMES), spatial=spatial)


AXIS = Values("an axis of the operand", lambda value, site: site.is_axis(value))
AXES = Values("different axes of the operand", _holds_axes)
PERMUTATION = Values(
    "every axis of the operand once",
    lambda value, site: (
        value == () == site.shapes[0]
        or (_holds_axes(value, site) and len(value) == len(site.shapes[0]))
    ),
)
GROUPS = Values(
    "a divisor of the extent of the axis",
    lambda value, site: is_whole(value, 1, site.extent) and site.extent % value == 0,
)
TIMES = per_axis(
    f"an integer from 1 to {MOST_TIMES}",
    lambda value, _: is_whole(value, 1, MOST_TIMES),
    spatial=True,
)
SHAPE = Values(
    "positive extents",
    lambda value, _: isinstance(value, tuple) and are_whole(value, len(value), 1, INT32.high),
)


def type_of_operand(index: int) -> Values:
    """Return the integer type of an operand, by its position."""
    return Values(
        f"the type of operand {index}, int32 or uint8",
        lambda value, site: value in ("int32", "uint8") and value == site.dtypes[index],
    )


# --- chains of functions --------------------------------------------------------------------------


def _is_chain(value: Any) -> bool:
    return isinstance(value, tuple) and all(map(_is_call, value))


def _is_call(value: Any) -> bool:
    """Return whether a value is a known function with numbers, texts and chains as parameters."""
    if not isinstance(value, tuple) or not value or value[0] not in FUNCTIONS:
        return False
    return all(is_number(x) or isinstance(x, str) or _is_chain(x) for x in value[1:])


CHAIN = Values("functions with their parameters", lambda value, _: _is_chain(value))
ACTIVATION = Values(
    "one or more functions with their parameters",
    lambda value, _: bool(value) and _is_chain(value),
    optional=True,
)
