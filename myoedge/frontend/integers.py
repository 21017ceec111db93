# SPDX-License-Identifier: Apache-2.0
"""Inputs of integers and truth values: what the network does with them decides their type."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from myoedge.operators.elementwise.conditions import rows_by
from myoedge.operators.graph_builder import GraphBuilder

ROWS, COMPARED, NUMBERS = "rows", "compared", "numbers"  # uses of integers
SMALL = ("bool", "uint8")  # types that are uint8 on the device
INTEGERS = ("int8", "int16", "int32", "int64")


def integer_input(
    d: GraphBuilder,
    name: str,
    shape: Sequence[int],
    dtype: str,
    uses: Iterable[str],
) -> str:
    """The tensor of an input that is not floating point: integers, or floats if it is read as
    numbers only; truth values are ones and zeros by a table.

    dtype   of SMALL or INTEGERS     uses   what becomes of it
    """
    if dtype == "bool":
        return rows_by(d, d.input(name, shape, "uint8"), np.arange(2.0))
    found = {*uses}
    if NUMBERS in found and ROWS not in found:
        return d.input(name, shape)
    return d.input(name, shape, "uint8" if dtype == "uint8" else "int32")
