# SPDX-License-Identifier: Apache-2.0
"""Random test cases for linear recurrences."""

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
    """Return a random test case of h_t = a_t h_(t-1) + b_t with |a| <= 0.9, so that the influence
    of old states decays."""
    x = d.pick([d.shape(1, 4), (d.integer(1, 12), 9), (1, 20, 3, 30)])
    common = d.common(2, act=False) | {"factors": (1.0, 0.0), "slack": scan_slack}
    wide = common["int16"] = d.pick([(), (), (0,), (1,), (0, 1)])
    spans = [(0.0, 0.45), (-0.4, 0.4)] if 0 in wide else [(0.0, 0.9), (0.0, 0.5), (-0.8, 0.8)]
    common["spans"] = (d.pick(spans), common["spans"][1])  # int16 has twice the range
    return DrawnUse("scan", {"axis": d.integer(0, len(x) - 1)}, (x, x), SCAN, **common)


def scan_slack(case: Any) -> float:
    """Return the largest permitted deviation in output steps: each iteration adds half a state step
    for both terms, 2^-15 of the state and 2^-15 of the addend."""
    levels = case.target.high - case.target.low
    return float(0.05 + case.shapes[0][case.attrs["axis"]] * (1.0 + levels / 2**8) / 128)


CASES = {"scan": scan}
