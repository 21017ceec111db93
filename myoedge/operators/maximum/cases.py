# SPDX-License-Identifier: Apache-2.0
"""Random test cases for the maximum of two tensors."""

from __future__ import annotations

from typing import Any

from myoedge.operators.cases import Draw, DrawnUse


def maximum(d: Draw) -> DrawnUse:
    shapes, common = d.broadcast(1, 5), d.common(2, act=True)
    common |= {"int16": d.pick([(), (), (0,), (1,), (0, 1)])}
    return DrawnUse("maximum", {}, shapes, "torch.maximum(x0, x1)", slack=slack, **common)


def slack(case: Any) -> float:
    """Return the largest permitted deviation in output steps, from 15-bit factors, or from int16
    operands rounded to steps of 2**-shift."""
    largest = max(case.params(name).scale for name in case.names) / case.target.scale
    if case.step.has_int16:
        return float(
            max(2.0 ** (16 - getattr(case.step.integers, f"{name}_shift")) for name in "ab")
        )
    return 255 * max(float(largest), 1.0) / 2**15


CASES = {"maximum": maximum}
