# SPDX-License-Identifier: Apache-2.0
"""Drawn uses of softmax of whole numbers."""

from __future__ import annotations

from myoedge.operators.cases import Draw, DrawnUse
from myoedge.operators.requant_shift.cases import whole_numbers

POLYNOMIAL = """\
below = (x0.amax(-1, keepdim=True) - x0).round().long()
z = (below // log2).clamp(max=31)
e = (a * (b - below + z * log2) ** 2 + c) // 2 ** z
(e * (levels - 1) // e.sum(-1, keepdim=True)).double()
"""
POWERS = """\
rows = x0.round().long().reshape(-1, x0.shape[-1])
shares = torch.zeros_like(rows)
for row, y in zip(rows.tolist(), shares, strict=True):
    total, top = 0, row[0]
    for at in range(0, len(row), group):
        part = row[at : at + group]
        total = total // 2 ** ((max(*part, top, top) - top + 16) // 32)
        top = max(*part, top, top)
        total += sum(256 // 2 ** ((top - x + 16) // 32) for x in part)
    y += torch.tensor([(most * 256 // total) // 2 ** ((top - x + 16) // 32) for x in row])
shares.reshape(x0.shape).double()
"""


def whole_softmax(d: Draw) -> DrawnUse:
    shape = (*d.shape(0, 3, 9), d.pick([1, 2, 7, 64, 200]))
    log2 = d.pick([2, 64, 127, 255])
    attrs = {"a": 1, "b": d.integer(log2, 360), "c": d.pick([0, 3888, 62395]), "log2": log2}
    attrs["levels"] = d.pick([2, 16, 256])
    return DrawnUse("whole_softmax", attrs, (shape,), POLYNOMIAL, **whole_numbers(d))


def shift_softmax(d: Draw) -> DrawnUse:
    group, count = d.pick([1, 2, 5, 16]), d.pick([1, 1, 2, 7])
    shape = (*d.shape(0, 3, 9), group * count)
    attrs = {"group": group, "most": d.pick([127, 255])}
    return DrawnUse("shift_softmax", attrs, (shape,), POWERS, **whole_numbers(d))


CASES = {"whole_softmax": whole_softmax, "shift_softmax": shift_softmax}
