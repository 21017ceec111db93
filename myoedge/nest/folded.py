# SPDX-License-Identifier: Apache-2.0
"""Parts of sums that depend on one constant operand, computed at build time.

The sum over r of (x2[r] + 128) * ((x4[r] * 77 + 5) >> 9) * x0[r], with constant operands x2 and x4,
becomes the sum of c2[r] * c4[r] * x0[r], with constants of uint8 and int16.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
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
            part, constant = next(((x, y) for x, y in each if y is not None), (element, None))
            if constant is not None:
                made[id(part)] = Element(constant, element.index)
                gone.add(id(element.array))

        def change(part: Expr, before: Mapping[int, Expr]) -> Expr:
            return made[id(part)] if id(part) in made else with_operands(part, before)

        parts = rebuilt(*(value for _, value in nest.results), change=change)
        found = replace(
            nest,
            operands=tuple(x for x in nest.operands if id(x) not in gone),
            value=parts[id(nest.value)],
            more=tuple((array, parts[id(value)]) for array, value in nest.more),
        )
        return FoldedNest(found, parts, frozenset(gone)) if gone else None


def _foldable_parts(
    nest: Nest, values: Mapping[int, Numbers]
) -> Iterator[tuple[list[Expr], Element]]:
    """Yield the summed elements of constant operands, each with the largest part that is computed
    of the element alone, and the parts in that one; without operands of which several such parts
    are read.

    values   id of a constant operand -> its values
    """
    sources = _sources(nest, values)
    outer = {id(value): value for _, value in nest.results if sources[id(value)]}
    for user in nest.parts:
        own = sources[id(user)]
        inner = (x for x in user.operands if sources[id(x)] and sources[id(x)] != own)
        outer |= {id(x): x for x in inner}
    elements = [x for x in nest.parts if isinstance(x, Element)]
    reads = Counter(id(x.array) for x in elements)
    for element in elements:
        own = frozenset({id(element)})
        largest = [x for at, x in outer.items() if sources[at] == own]
        if reads[id(element.array)] == len(largest) == 1:
            yield [*_inner_parts(largest[0], own, sources)], element


def _inner_parts(
    part: Expr, own: frozenset[int], sources: Mapping[int, frozenset[int] | None]
) -> Iterator[Expr]:
    """Yield a part, its only operand that is computed of the same element, and so on."""
    inner = {id(part): part}
    while len(inner) == 1:
        (part,) = inner.values()
        yield part
        inner = {id(x): x for x in part.operands if sources[id(x)] == own}


def _sources(nest: Nest, values: Mapping[int, Numbers]) -> dict[int, frozenset[int] | None]:
    """Return id of a part -> id of the summed element of a constant operand that it is computed of;
    no id for numbers, None for other parts."""
    found = dict[int, frozenset[int] | None]()
    for part in nest.parts:
        found[id(part)] = None
        if isinstance(part, Number):
            found[id(part)] = frozenset()
        elif isinstance(part, Element) and id(part.array) in values:
            is_summed = any(axis not in nest.axes for i in part.index for axis, _ in i.terms)
            found[id(part)] = frozenset({id(part)}) if is_summed else None
        elif isinstance(part, Binary):
            own = [found[id(x)] for x in part.operands]
            known = [x for x in own if x is not None]
            union = frozenset[int]().union(*known)
            found[id(part)] = union if known == own and len(union) == 1 else None
    return found


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
