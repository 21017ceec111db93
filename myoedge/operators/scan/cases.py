# SPDX-License-Identifier: Apache-2.0
"""Drawn uses of linear recurrences."""

from __future__ import annotations

from typing import Any

from myoedge.operators.cases import Draw, DrawnUse

SCAN = """\
state, states = torch.zeros(()), []
for a, b in zip(x0.unbind(axis), x1.unbind(axis)):
    state = a * state + b
    states.append(state)
torch.stack(states, axis)
"""


def scan(d: Draw) -> DrawnUse:
    """States that decay, or keep their size at most: all of them lie in the result's range."""
    x = d.pick([d.shape(1, 4), (d.integer(1, 12), 9), (1, 20, 3, 30)])
    common = d.common(2, act=False) | {"factors": (1.0, 0.0), "slack": scan_slack}
    common["spans"] = (d.pick([(0.0, 0.9), (0.0, 0.5), (-0.8, 0.8)]), common["spans"][1])
    return DrawnUse("scan", {"axis": d.integer(0, len(x) - 1)}, (x, x), SCAN, **common)


def scan_slack(case: Any) -> float:
    """Half a step of a state for each of two terms, 2^-15 of the state, in each step."""
    return float(0.05 + case.shapes[0][case.attrs["axis"]] * (1.0 + 255 / 2**8) / 128)


CASES = {"scan": scan}
