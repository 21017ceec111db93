# SPDX-License-Identifier: Apache-2.0
"""Drawn uses of norms of whole numbers."""

from __future__ import annotations

from myoedge.operators.cases import Draw, DrawnUse
from myoedge.operators.requant_shift.cases import whole_numbers

NORM = """\
x, n = x0.round().long(), x0.shape[-1]
if centred:
    x = x - torch.div(x.sum(-1, keepdim=True), n, rounding_mode="trunc")
square = x.square().sum(-1, keepdim=True) // n + 1
root = torch.tensor([math.isqrt(v) for v in square.flatten().tolist()]).reshape(square.shape)
y = torch.div(x * w0.long(), root, rounding_mode="trunc") + w1.long()
y = y // 2**shift
y = (y + 128) % 256 - 128 if centred else y.clamp(-128, 127)
y.double()
"""


def whole_norm(d: Draw) -> DrawnUse:
    """Gains for which some results leave 8 bits."""
    length, shift = d.pick([1, 2, 3, 7, 64, 192, 1000]), d.pick([1, 8, 16])
    most = d.pick([1, 40, 400]) << shift
    gain = d.rng.integers(-min(most, 2**22), min(most, 2**22) + 1, length)
    offset = d.rng.integers(-(2**shift) * 64, 2**shift * 64, length) * d.flag()
    attrs = {"shift": shift, "centred": d.flag()}
    if not attrs["centred"]:
        offset = 0 * offset
    weights = (gain.astype(float), offset.astype(float))
    common = whole_numbers(d) | {"weights": weights}
    return DrawnUse("whole_norm", attrs, ((*d.shape(0, 3, 4), length),), NORM, **common)


CASES = {"whole_norm": whole_norm}
