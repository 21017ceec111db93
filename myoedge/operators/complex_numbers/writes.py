# SPDX-License-Identifier: Apache-2.0
"""Import of selections between complex tensors and of writes into them, as products with constant
masks."""

from __future__ import annotations

from typing import Any

import numpy as np

from myoedge.graph.ir import Shape
from myoedge.numerics.arrays import Array
from myoedge.operators.complex_numbers import (
    Complex,
    constant_of,
    on_parts,
    pair_of,
    product_of,
    sum_of,
)
from myoedge.operators.graph_builder import GraphBuilder, weights
from myoedge.operators.import_rows import Arguments, Row
from myoedge.operators.layout.import_rows import fill
from myoedge.operators.library.conditions import logical_not, truth


def filled(b: GraphBuilder, a: Arguments, out: Shape) -> Complex:
    """Import calls that fill a complex tensor with one number (fill, zeros_like and similar)."""
    pair = pair_of(b, a.get("value", a.get("fill_value", 0.0)))
    real, imaginary = (fill(b, {"value": part or 0.0}, out) for part in pair.parts)
    return Complex(real, imaginary if pair.imaginary != "" else "")


def chosen(b: GraphBuilder, condition: str, x: Any, y: Any, out: Shape) -> Complex:
    """Import where(condition, x, y) of complex tensors, as condition * x + (1 - condition) * y."""
    holds = truth(b, condition)
    fails = (
        b.constant(1.0 - b.array(holds))
        if holds in b.constants
        else str(logical_not(b, {"self": holds}, out))
    )
    sides = [(pair_of(b, x), holds), (pair_of(b, y), fails)]
    kept = [product_of(b, z, Complex(mask), out) for z, mask in sides if not _is_zero(b, z)]
    if len(kept) == 2:
        return sum_of(b, kept[0], kept[1], 1.0, out)
    return kept[0] if kept else filled(b, {}, out)


def _is_zero(b: GraphBuilder, x: Complex) -> bool:
    values = [constant_of(b, part) for part in x.parts]
    return all(value is not None and not value.any() for value in values)


def where(b: GraphBuilder, a: Arguments, out: Shape) -> Complex:
    return chosen(b, a["condition"], a["self"], a["other"], out)


def masked_fill(b: GraphBuilder, a: Arguments, out: Shape) -> Complex:
    return chosen(b, a["mask"], a["value"], a["self"], out)


def _by_parts(row: Row, b: GraphBuilder, a: Arguments, out: Shape) -> Complex:
    made: Complex = on_parts(row)(b, a, out)
    return made


def index_put(row: Row) -> Row:
    """Return a function that imports a write into a complex tensor at constant indices or a
    constant mask.

    row   import function of the same write for real tensors
    """

    def pair_row(b: GraphBuilder, a: Arguments, out: Shape) -> Complex:
        if a["accumulate"] or not _is_number(b, a["values"]):
            return _by_parts(row, b, a, out)
        where = tuple(slice(None) if x is None else weights(b, x, "an index") for x in a["indices"])
        number = _one(b, a["values"])
        return chosen(b, _places(b, out, where), number, a["self"], out)

    return pair_row


def _places(b: GraphBuilder, out: Shape, where: tuple[Any, ...]) -> str:
    """Add a constant mask with ones at an index and zeros elsewhere; axes along which it is
    constant have extent 1."""
    mask = np.zeros(out, np.float32)
    mask[where] = 1.0
    return b.constant(_thinned(mask))


def _thinned(mask: Array) -> Array:
    """Reduce axes along which all elements are equal to extent 1."""
    for axis in range(mask.ndim):
        first = mask.take([0], axis)
        mask = first if (mask == first).all() else mask
    return mask


def _is_number(b: GraphBuilder, value: Any) -> bool:
    """Return whether a value is constant with equal elements."""
    parts = [constant_of(b, part) for part in pair_of(b, value).parts]
    return all(part is not None and (part == part.reshape(-1)[0]).all() for part in parts)


def scattered(row: Row) -> Row:
    """Return a function that imports a write into a slice of a complex tensor: by a mask if the
    written values are constant, otherwise separately for real and imaginary part.

    row   import function of the same write for real tensors
    """

    def pair_row(b: GraphBuilder, a: Arguments, out: Shape) -> Complex:
        if not _is_number(b, a["src"]):
            return _by_parts(row, b, a, out)
        axis = a["dim"] % len(out)
        place = a["index"] if "index" in a else slice(a["start"], a["end"], a["step"])
        mask = _places(b, out, (*[slice(None)] * axis, place))
        return chosen(b, mask, _one(b, a["src"]), a["self"], out)

    return pair_row


def _one(b: GraphBuilder, value: Any) -> complex:
    """Return the value of a constant whose elements are all equal."""
    real, imaginary = (constant_of(b, part) for part in pair_of(b, value).parts)
    assert real is not None
    assert imaginary is not None
    return complex(float(real.reshape(-1)[0]), float(imaginary.reshape(-1)[0]))
