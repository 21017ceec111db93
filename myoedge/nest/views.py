# SPDX-License-Identifier: Apache-2.0
"""Views of arrays, and elements at computed indices, with one axis per loop."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.lib.stride_tricks import as_strided

from myoedge.nest.ir import Affine, Axis
from myoedge.nest.primitive import Numbers
from myoedge.nest.taken import Taken


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


def taken(part: Taken, loops: Sequence[Axis], *given: Numbers) -> Numbers:
    """Return an array's elements at computed indices, with one axis per loop, as the indices' type.

    given   an operand and the indices; of a constant the indices alone
    """
    *operands, at = given
    x, index = operands[0] if operands else part.source.array.known, []
    for d, i in enumerate(part.source.index):
        own = np.full((1,) * len(loops), i.const)
        for axis, stride in i.terms:
            shape = [axis.extent if axis == loop else 1 for loop in loops]
            own = own + stride * np.arange(axis.extent).reshape(shape)
        index.append(own + at if d == part.dimension else own)
    return np.asarray(x[tuple(index)], np.asarray(at).dtype)
