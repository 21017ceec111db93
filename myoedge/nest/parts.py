# SPDX-License-Identifier: Apache-2.0
"""Parts of formulas: their loops and places."""

from __future__ import annotations

from collections.abc import Sequence

from myoedge.nest.ir import Axis, Element, Nest, Reduced


def all_axes(nest: Nest) -> tuple[Axis, ...]:
    """Return the loops of the result, then those of reductions."""
    over = (part.axis for part in nest.parts if isinstance(part, Reduced))
    return (*nest.axes, *dict.fromkeys(axis for axis in over if axis not in nest.axes))


def is_in_place(part: Element, axes: Sequence[Axis]) -> bool:
    """Return whether each iteration reads the element at its own place of an array of the result's
    shape."""
    rows = zip(part.index, axes, strict=True)
    return all(index == axis.at or axis.extent == 1 for index, axis in rows)
