# SPDX-License-Identifier: Apache-2.0
"""Random test cases for linear recurrences."""

from __future__ import annotations

from typing import Any

from myoedge.operators.cases import Draw, DrawnUse

LAST_LINE = "torch.stack(states, axis)\n"
SCAN = (
    """\
state, states = torch.zeros(()), []
for a, b in zip(x0.unbind(axis), x1.unbind(axis)):
    state = a * state + b
    states.append(state)
"""
    + LAST_LINE
)


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


def scan_last(d: Draw) -> DrawnUse:
    """Return a random test case of the last state: as of `scan`, in int8, with states of less than
    256 steps, where its 16 bits end."""
    x = d.shape(1, 4)
    common = d.common(2, act=False) | {"factors": (1.0, 0.0), "spans": ((-0.4, 0.4), (-90.0, 90.0))}
    attrs, text = {"axis": d.integer(0, len(x) - 1)}, SCAN.replace(LAST_LINE, "state\n")
    return DrawnUse("scan_last", attrs, (x, x), text, slack=last_slack, unit=of_state, **common)


def of_state(case: Any) -> float:
    """Return the step of a state: 1/128 of a result's."""
    return float(case.target.scale / 128)


def last_slack(case: Any) -> float:
    """Return the largest permitted deviation in steps of a state: as scan_slack, before the result
    is rounded."""
    return float(case.shapes[0][case.attrs["axis"]] * 2.0 + 1.0)


CASES = {"scan": scan, "scan_last": scan_last}
