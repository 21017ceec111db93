# SPDX-License-Identifier: Apache-2.0
"""Random test cases for rounding to given parameters."""

from __future__ import annotations

from myoedge.operators.cases import Draw, DrawnUse

ROUNDED = "torch.fake_quantize_per_tensor_affine(x0, scale, zero_point, low, high)"


def fake_quantize(d: Draw) -> DrawnUse:
    low, high = d.pick([(-128, 127), (0, 255), (-8, 7), (-32768, 32767)])
    attrs = {
        "scale": d.pick([2.0**-5, 0.01, 0.37]),
        "zero_point": d.integer(low, high),
        "low": low,
        "high": high,
    }
    return DrawnUse("fake_quantize", attrs, (d.shape(1, 4),), ROUNDED, **d.common(1, act=False))


CASES = {"fake_quantize": fake_quantize}
