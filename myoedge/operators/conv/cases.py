# SPDX-License-Identifier: Apache-2.0
"""Random test cases for convolutions."""

from __future__ import annotations

from myoedge.operators.cases import Draw, DrawnUse, weight_slack

CONV = """\
x = F.pad(x0.movedim(-1, 1), sum(pads[::-1], ()))
run = (F.conv1d, F.conv2d)[len(stride) - 1]
bias = ws[1] if ws[1:] else None
run(x, w0.movedim(-1, 1), bias, stride, 0, dilation, groups).movedim(1, -1)
"""


def conv(d: Draw) -> DrawnUse:
    """Return a random test case of a convolution along one or two axes, possibly grouped or
    depthwise; the input is padded if the kernel would exceed it."""
    rank, groups, per_group = d.pick([1, 2, 2]), d.pick([1, 1, 1, 2, 3, 5]), d.pick([1, 1, 2, 3, 4])
    taps = d.pick([1, 1, 1, 2, 3, 4, 5, 7] if groups > 1 else [1, 2, 3, 4, 5, 8, 13])
    axes = [_axis(d) for _ in range(rank)]
    spatial, kernel, stride, dilation, pads = zip(*axes, strict=True)
    attrs = {"stride": stride, "dilation": dilation, "pads": pads, "groups": groups}
    shape = (d.pick([1, 1, 2]), *spatial, groups * taps)
    weights = d.weights((groups * per_group, *kernel, taps))
    common = d.common(1, act=True) | {"slack": weight_slack, "per_tensor": d.flag()}
    return DrawnUse("conv", attrs, (shape,), CONV, weights=weights, **common)


def _axis(d: Draw) -> tuple[int, int, int, int, tuple[int, int]]:
    """Draw extent, taps, stride, dilation, and pads that make all taps fit."""
    n, taps, stride, dilation = d.integer(1, 5), d.integer(1, 4), d.integer(1, 3), d.integer(1, 3)
    before, after = d.integer(0, 3), d.integer(0, 3)
    missing = max(0, (taps - 1) * dilation + 1 - n - before - after)
    return n, taps, stride, dilation, (before, after + missing)


CASES = {"conv": conv}
