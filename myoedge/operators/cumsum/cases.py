# SPDX-License-Identifier: Apache-2.0
"""Random test cases for cumulative sums."""

from __future__ import annotations

from myoedge.operators.cases import Draw, DrawnUse


def cumsum(d: Draw) -> DrawnUse:
    x = d.pick([d.shape(1, 5), d.shape(1, 3, 12), (3, 200, 2)])
    attrs, common = {"axis": d.integer(0, len(x) - 1)}, d.common(1, act=True)
    wide = d.pick([(), (), (0,)])
    return DrawnUse("cumsum", attrs, (x,), "x0.cumsum(axis)", int16=wide, **common)


CASES = {"cumsum": cumsum}
