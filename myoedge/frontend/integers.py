# SPDX-License-Identifier: Apache-2.0
"""Integer and boolean inputs, whose type in the graph depends on how the network uses them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from myoedge.operators.graph_builder import GraphBuilder
from myoedge.operators.library.conditions import rows_by

ROWS, COMPARED, NUMBERS = "rows", "compared", "numbers"  # uses of integers
SMALL = ("bool", "uint8")  # stored as uint8 on the device
INTEGERS = ("int8", "int16", "int32", "int64")


def integer_input(
    d: GraphBuilder,
    name: str,
    shape: Sequence[int],
    dtype: str,
    uses: Iterable[str],
) -> str:
    """Return the graph's tensor for an integer or boolean input: integers, or floats if it is only
    used in arithmetic.

    Booleans are converted to ones and zeros by a table.
    dtype   input type, one of SMALL or INTEGERS
    uses    names of operations that read it
    """
    if dtype == "bool":
        return rows_by(d, d.input(name, shape, "uint8"), np.arange(2.0))
    found = {*uses}
    if NUMBERS in found and ROWS not in found:
        return d.input(name, shape)
    return d.input(name, shape, "uint8" if dtype == "uint8" else "int32")
