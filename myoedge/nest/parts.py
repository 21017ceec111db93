# SPDX-License-Identifier: Apache-2.0
"""Parts of formulas: their loops and places."""

from __future__ import annotations

from myoedge.nest.carried import Scan
from myoedge.nest.ir import Axis, Nest, Reduced


def all_axes(nest: Nest) -> tuple[Axis, ...]:
    """Return the loops of the result, then the other axes of reductions and scans."""
    over = (part.axis for part in nest.parts if isinstance(part, Reduced | Scan))
    return (*nest.axes, *dict.fromkeys(axis for axis in over if axis not in nest.axes))
