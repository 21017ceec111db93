# SPDX-License-Identifier: Apache-2.0
"""Views of arrays with one axis per loop."""

from __future__ import annotations

from collections.abc import Sequence

from numpy.lib.stride_tricks import as_strided

from myoedge.nest.ir import Affine, Axis
from myoedge.nest.primitive import Numbers


def view_of(
    x: Numbers, index: Sequence[Affine], loops: Sequence[Axis], *, writeable: bool = False
) -> Numbers:
    """Return a view of an array with one axis per loop; loops that the index does not use have
    extent 1."""
    used = [any(i.stride(axis) for i in index) for axis in loops]
    shape = [axis.extent if is_used else 1 for axis, is_used in zip(loops, used, strict=True)]
    strides = [
        sum(i.stride(axis) * step for i, step in zip(index, x.strides, strict=True))
        for axis in loops
    ]
    first = x[tuple(slice(i.const, None) for i in index)] if x.size else x
    return as_strided(first, shape, strides, writeable=writeable)
