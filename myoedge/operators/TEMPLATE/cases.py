# SPDX-License-Identifier: Apache-2.0
"""Random test cases for the multiplication of a tensor by a number."""

from __future__ import annotations

import math

from myoedge.operators.cases import Draw, DrawnUse


def template(d: Draw) -> DrawnUse:
    shape, attrs = d.shape(1, 4, 9), {"factor": math.pi / 180}
    return DrawnUse("TEMPLATE", attrs, (shape,), "torch.deg2rad(x0)", **d.common(1, act=True))


CASES = {"TEMPLATE": template}
