# SPDX-License-Identifier: Apache-2.0
"""Random test cases for gathers by computed indices; some indices are outside the axis."""

from __future__ import annotations

from myoedge.operators.cases import Draw, DrawnUse

ORACLE = """\
rows, n = x1.long(), x0.shape[1]
rows = torch.where(rows < 0, rows + n, rows).clamp(0, n - 1)
x0.gather(1, rows.expand(x0.shape[0], -1, x0.shape[2]))
"""


def gather(d: Draw) -> DrawnUse:
    outer, count, inner = d.pick([1, 1, 3]), d.pick([1, 2, 7, 16]), d.pick([1, 3, 8, 70])
    n, kind = d.pick([1, 2, 5, 17]), d.pick(["int32", "int32", "uint8"])
    ids = (d.pick([1, outer]), count, d.pick([1, 1, inner]))
    common = d.common(2, act=False) | {
        "kinds": ("float32", kind),
        "classes": n + 2,
        "least": -n - 2,
    }
    return DrawnUse("gather", {"dtype": kind}, ((outer, n, inner), ids), ORACLE, **common)


CASES = {"gather": gather}
