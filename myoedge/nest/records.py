# SPDX-License-Identifier: Apache-2.0
"""Constants that are read at one index, side by side in one array.

bias[k], mult[k] and shift[k] become constants[k, 0], constants[k, 1] and constants[k, 2]: one
pointer and one transfer instead of three.
"""

from __future__ import annotations

from collections.abc import Sequence, Set

import numpy as np

from myoedge.nest.ir import Affine, Array, Axis, Element, Expr, Nest, as_index
from myoedge.nest.rebuild import with_elements_of
from myoedge.nest.taken import Taken

Key = tuple[str, tuple[int, ...], tuple[Affine, ...], bool]


def records(nest: Nest) -> dict[int, Expr]:
    """Return id of a part -> the part, for formulas that read constants of one type, shape and
    index as records; constants that are summed, or read at computed indices, stay as they are."""
    groups: dict[Key, list[Element]] = {}
    tables = {id(part.element) for part in nest.parts if isinstance(part, Taken)}
    for part in nest.parts:
        if isinstance(part, Element) and _is_plain_constant(part, nest.axes, tables):
            key = part.array.dtype, part.array.shape, part.index, part.array.varies
            groups.setdefault(key, []).append(part)
    made = {
        id(part): element
        for group in groups.values()
        if len(group) > 1
        for part, element in zip(group, _record(group), strict=True)
    }
    values = [value for _, value in nest.results]
    return with_elements_of(values, lambda part: made.get(id(part), part), {})


def _is_plain_constant(part: Element, axes: Sequence[Axis], tables: Set[int]) -> bool:
    """Return whether an element is of a constant, and the result's loops alone index it.

    tables   ids of elements with a computed index
    """
    is_constant = part.array.values is not None and id(part) not in tables
    return is_constant and all(axis in axes for index in part.index for axis, _ in index.terms)


def _record(parts: Sequence[Element]) -> list[Expr]:
    """Return the elements of one array in which elements of several arrays lie side by side."""
    arrays = {id(part.array): part.array for part in parts}
    values = np.stack([array.known for array in arrays.values()], axis=-1)
    varies = parts[0].array.varies
    kind, width = values.dtype.name, len(arrays)
    array = Array("constants", kind, values.shape, values, width=width, varies=varies)
    at = {known: number for number, known in enumerate(arrays)}
    return [Element(array, (*part.index, as_index(at[id(part.array)]))) for part in parts]
