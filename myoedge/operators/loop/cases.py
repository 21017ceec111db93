# SPDX-License-Identifier: Apache-2.0
"""Random test cases for the operators of a loop, in loops with one iteration."""

from __future__ import annotations

from collections.abc import Callable

from myoedge.operators.cases import Draw, DrawnUse
from myoedge.operators.loop.turns import LAST, NEXT, READ, STATE, WRITE


def _moved(op: str, oracle: str, operands: int = 1, rows: int = 0) -> Callable[[Draw], DrawnUse]:
    """Return a function that draws a test case of a loop operator.

    operands   number of operands, all of one shape
    rows       leading axes of extent 1
    """

    def drawn(d: Draw) -> DrawnUse:
        shape = (*[1] * rows, *d.shape(1, 4, 9))
        common = d.common(operands, act=False)
        return DrawnUse(op, {"loop": "l", "steps": 1}, (shape,) * operands, oracle, **common)

    return drawn


CASES = {
    STATE: _moved(STATE, "x0.clone()"),
    READ: _moved(READ, "x0[0].clone()", rows=1),
    NEXT: _moved(NEXT, "x0.clone()", operands=2),
    WRITE: _moved(WRITE, "x0[None].clone()"),
    LAST: _moved(LAST, "x0.clone()"),
}
