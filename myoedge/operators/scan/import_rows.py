# SPDX-License-Identifier: Apache-2.0
"""Import of cumulative products as linear recurrences in which only the first element is added."""

from __future__ import annotations

import numpy as np

from myoedge.operators.cumsum import cumulative
from myoedge.operators.graph_builder import GraphBuilder, slice_axis
from myoedge.operators.import_rows import ImportRow


def products(b: GraphBuilder, x: str, axis: int) -> str:
    """Add cumulative products along an axis, as the recurrence h_t = x_t h_(t-1), h_0 = x_0."""
    shape = b.shape(x)
    if shape[axis] < 2:
        return x
    rest = tuple(n - (d == axis) for d, n in enumerate(shape))
    zeros = b.constant(np.zeros(rest, np.float32))
    first = b.add("concat", slice_axis(b, x, axis, 0, 1), zeros, axis=axis)
    return b.add("scan", x, first, axis=axis)


ROWS = (
    ImportRow(
        "scan",
        cumulative(products, 1.0),
        "cumprod",
        "CumProd(self, dim: ints, *, reverse=False, exclusive=False)",
    ),
)
