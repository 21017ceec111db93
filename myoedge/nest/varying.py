# SPDX-License-Identifier: Apache-2.0
"""Constants that vary between trainings of a network: the values that they may have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from myoedge.nest.ir import Array, Call, Element, Expr, Lookup
from myoedge.nest.primitive import Numbers


def of_types(parts: Sequence[Expr]) -> dict[str, tuple[int, int]]:
    """Return name -> all values of its type, for the constants that vary of those that parts of
    formulas read."""
    read = (
        part.table if isinstance(part, Call) else part.array
        for part in parts
        if isinstance(part, Element | Lookup | Call)
    )
    return {array.name: of_type(array) for array in read if array is not None and array.varies}


def ends_of_table(part: Call, known: Mapping[str, tuple[int, int]]) -> Numbers | None:
    """Return the table of a call, or the ends of the range that is known for its name."""
    limits = None if part.table is None else known.get(part.table.name)
    return part.known if limits is None else np.array(limits)


def of_type(array: Array) -> tuple[int, int]:
    """Return the smallest and the largest value of an array's type."""
    info = np.iinfo(array.dtype)
    return int(info.min), int(info.max)
