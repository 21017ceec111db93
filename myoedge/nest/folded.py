# SPDX-License-Identifier: Apache-2.0
"""Parts of sums that depend on one constant operand, computed at build time.

The sum over r of (x2[r] + 128) * ((x4[r] * 77 + 5) >> 9) * x0[r], with constant operands x2 and x4,
becomes the sum of c2[r] * c4[r] * x0[r], with constants of uint8 and int16.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, replace

import numpy as np

from myoedge.nest.formulas import broadcast_axes
from myoedge.nest.ir import Array, Binary, Element, Expr, Nest, Number
from myoedge.nest.primitive import Numbers
from myoedge.nest.rebuild import rebuilt, with_elements, with_operands
from myoedge.nest.reference import NestReference

TYPES = ("int8", "uint8", "int16")  # of folded constants


@dataclass(frozen=True, eq=False)
class FoldedNest:
    """A description with folded constants.

    nest    the description, without the operands that it no longer reads
    parts   id of a part of the one before -> the part in its place
    gone    ids of the operands that it no longer reads
    """

    nest: Nest
    parts: Mapping[int, Expr]
    gone: frozenset[int]

    @staticmethod
    def of(nest: Nest, values: Mapping[int, Numbers]) -> FoldedNest | None:
        """Fold the constants of a description; None if there are none.

        values   id of a constant operand -> its values
        """
        made, gone = dict[int, Expr](), set[int]()
        for inner, element in _foldable_parts(nest, values):
            each = ((x, _compute(x, element, values[id(element.array)])) for x in inner)
            for part, constant in itertools.islice(((x, y) for x, y in each if y), 1):
                made[id(part)] = Element(constant, element.index)
                gone.add(id(element.array))
        return FoldedNest._with_constants(nest, made, gone) if gone else None

    @staticmethod
    def _with_constants(nest: Nest, made: Mapping[int, Expr], gone: Set[int]) -> FoldedNest:
        """Return a description with constants in the place of parts, by their ids."""

        def change(part: Expr, before: Mapping[int, Expr]) -> Expr:
            return made[id(part)] if id(part) in made else with_operands(part, before)

        parts = rebuilt(*(value for _, value in nest.results), change=change)
        more = tuple((array, parts[id(value)]) for array, value in nest.more)
        operands = tuple(x for x in nest.operands if id(x) not in gone)
        found = replace(nest, operands=operands, value=parts[id(nest.value)], more=more)
        return FoldedNest(found, parts, frozenset(gone))


def _foldable_parts(
    nest: Nest, values: Mapping[int, Numbers]
) -> Iterator[tuple[list[Expr], Element]]:
    """Yield the summed elements of constant operands, each with the largest part that is computed
    of the element alone, and the parts in that one; without operands of which several such parts
    are read.

    values   id of a constant operand -> its values
    """
    sources = _Sources(nest, values)
    elements = [x for x in nest.parts if isinstance(x, Element)]
    reads = Counter(id(x.array) for x in elements)
    for element in elements:
        largest = sources.largest(element)
        if reads[id(element.array)] == len(largest) == 1:
            yield [*sources.inner(largest[0], element)], element


class _Sources:
    """Elements of which the parts of a description are computed.

    of      id of a part -> id of the summed element of a constant operand that alone it is computed
            of; no id for numbers, None for other parts
    outer   id of a part that others read with something else, or that is a result -> the part
    """

    def __init__(self, nest: Nest, values: Mapping[int, Numbers]) -> None:
        self.of = dict[int, frozenset[int] | None]()
        for part in nest.parts:
            self.of[id(part)] = self._source_elements(part, nest, values)
        self.outer = {id(value): value for _, value in nest.results}
        for user in nest.parts:
            self.outer |= {id(x): x for x in user.operands if self.of[id(x)] != self.of[id(user)]}

    def _source_elements(
        self, part: Expr, nest: Nest, values: Mapping[int, Numbers]
    ) -> frozenset[int] | None:
        match part:
            case Number():
                return frozenset()
            case Element(array=array) if id(array) in values and _is_summed(part, nest):
                return frozenset({id(part)})
            case Binary(_, left, right):
                own = self.of[id(left)], self.of[id(right)]
                union = frozenset[int]().union(*(x for x in own if x is not None))
                return union if None not in own and len(union) == 1 else None
        return None

    def largest(self, element: Element) -> list[Expr]:
        """Return the largest parts that are computed of an element alone."""
        own = frozenset({id(element)})
        return [part for at, part in self.outer.items() if self.of[at] == own]

    def inner(self, part: Expr, element: Element) -> Iterator[Expr]:
        """Yield a part, its only operand that is computed of the same element, and so on."""
        inner = {id(part): part}
        while len(inner) == 1:
            (part,) = inner.values()
            yield part
            inner = {id(x): x for x in part.operands if self.of[id(x)] == frozenset({id(element)})}


def _is_summed(element: Element, nest: Nest) -> bool:
    return any(axis not in nest.axes for i in element.index for axis, _ in i.terms)


def _compute(part: Expr, element: Element, values: Numbers) -> Array | None:
    """Return a constant with the values of a part for all elements of a constant operand; None if
    no type of at most 16 bits holds all."""
    array, axes = element.array, broadcast_axes(element.array.shape)
    own = Element(array, tuple(axis.at for axis in axes))
    out = Array("c", "int32", array.shape)
    whole = Nest(axes, (array,), out, own.index, with_elements(part, lambda _: own))
    found = NestReference.of(whole)(values.reshape(array.shape))
    kind = next((x for x in TYPES if np.array_equal(found.astype(x), found)), None)
    return (
        None
        if kind is None
        else Array(f"folded_{array.name}", kind, array.shape, found.astype(kind))
    )
