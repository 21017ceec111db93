# SPDX-License-Identifier: Apache-2.0
"""Random test cases for attention and rotary position embeddings."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from myoedge.operators.attention.operands import FINE_BITS, exponentials_of
from myoedge.operators.attention.wide import is_wide
from myoedge.operators.cases import Draw, DrawnUse

# A row whose keys the mask hides sees all of its window: with equal weights (flat), or by scores.
ATTENTION = """\
scores = torch.einsum("bnhd,bmhd->bhnm", x0, x1) * scale + bias
rows, keys = scores.shape[-2:]
before, after = window or (rows, keys)
away = torch.arange(keys) - torch.arange(rows)[:, None]
outside = (away < -before) | (away > after)
seen = (mask >= 0.5) & ~outside
blind = ~seen.any(-1, keepdim=True) & ~outside
scores = scores.masked_fill(blind & flat, 0.0).masked_fill(~seen & ~blind, -math.inf)
torch.einsum("bhnm,bhem->bnhe", scores.softmax(-1), x2[..., :keys])
"""
ROTARY = """\
length, pairs = x0.shape[axis], w0.shape[1]
factor = torch.complex(w0, w1).repeat(length // len(w0), 1)
factor = factor.reshape(length, *[1] * (x0.ndim - axis - 2), pairs)
x = x0.unflatten(-1, (2, pairs)).mT if halves else x0.unflatten(-1, (pairs, 2))
y = torch.view_as_real(torch.view_as_complex(x.contiguous()) * factor)
(y.mT if halves else y).flatten(-2)
"""


def attention(d: Draw) -> DrawnUse:
    """Return a random test case of attention, optionally with a sliding window, with a bias of the
    scores' magnitude, and with a mask that heads and batches may share."""
    rows, heads, width = d.integer(1, 9), d.integer(1, 3), d.pick([4, 8, 12, 64])
    lead, columns = d.integer(1, 2), d.pick([4, 8, 12])
    window = d.pick([None, None, (2**20, 0), (1, 1), (3, 2**20)])
    keys = max(d.pick([1, 2, 3, 5, 8, 13, 16]), rows if window else 0)  # every row sees a key
    attrs: dict[str, Any] = {"scale": d.pick([0.125, 1.0, 1e-3]), "window": window}
    biased, masked, flat = d.flag(), d.flag(), d.flag()
    attrs |= {"masked": True, "flat": flat} if masked else {}
    v = (lead, heads, columns, -(-keys // 4) * 4)
    scores = (d.pick([1, lead]), d.pick([1, heads]), rows, keys)
    q, k = (lead, rows, heads, width), (lead, keys, heads, width)
    shapes = (q, k, v, *[scores] * (biased + masked))
    common = d.common(len(shapes), act=False) | {"slack": attention_slack}
    spans = common["spans"][:3]
    if biased:
        reach = math.prod(max(map(abs, span)) for span in spans[:2]) * width
        factor = reach * attrs["scale"] * d.pick([0.05, 1.0, 4.0])
        low, high = d.pick([(-1.0, 1.0), (0.0, 1.0), (-1.0, 0.0)])
        spans = (*spans, (low * factor, high * factor))
    common["spans"] = (*spans, (0.0, 1.0)) if masked else spans
    mask = f"x{len(shapes) - 1}" if masked else "torch.ones(())"
    wide = [(0, 1, 2), (0, 1), (2,), (1,), (3,) if biased else (0,)]
    common["int16"] = d.pick([*[()] * 2 * len(wide), *wide])
    attrs |= d.pick([{}, {}, {"exp_bits": FINE_BITS}])
    operands = f"bias, mask, flat = {'x3' if biased else '0.0'}, {mask}, {flat}\n"
    return DrawnUse("attention", attrs, shapes, operands + ATTENTION, **common)


def attention_slack(case: Any) -> float:
    """Return the largest permitted deviation from the float oracle, in output steps.

    An 8-bit exponential is off by up to one table entry plus half a unit (1.3 %) and by half of
    1/255 of the maximum; a 12-bit one by 0.3 % and half of 1/4095.
    """
    v, keys, of = case.params("x2"), case.shapes[1][1], exponentials_of(case.step.attrs)
    near = 0.005 if of.is_fine else 0.025
    relative = near + keys * 0.5 / of.one + (0.01 if len(case.shapes) > 3 else 0.0)
    if is_wide(case.step):
        relative = _int16_exponential_error(case) + keys * 2.0**-14
    shares = min(2 * relative, 1.0) * (v.high - v.low)
    values = 2.0**case.step.integers.v_drop if is_wide(case.step) else 0.0  # each value is rounded
    return float((shares + values) * v.scale / case.target.scale)


def _int16_exponential_error(case: Any) -> float:
    """Return the relative error of 16-bit exponentials: one table entry, plus the error of scores
    from low bits dropped of q and k."""
    away = 0.0
    for name, other in (("q", "k"), ("k", "q")):
        at = "qk".index(name)
        step = 2.0 ** getattr(case.step.integers, f"{name}_drop") * case.params(f"x{at}").scale / 2
        away += step * float(np.abs(case.dequantized["qk".index(other)]).sum(axis=-1).max())
    return min(2.0**-10 + 2 * away * float(case.attrs["scale"]), 1.0)


def rotary(d: Draw) -> DrawnUse:
    """Return a random test case of a rotary embedding, with repeated positions and with axes before
    and after the position axis."""
    period, pairs, lead = d.integer(1, 6), d.pick([1, 2, 3, 8, 32]), d.shape(0, 2, 3)
    x = (*lead, period * d.integer(1, 3), *d.shape(0, 1, 3), 2 * pairs)
    angle = d.rng.normal(size=(period, pairs)) * 3
    common = d.common(1, act=False) | {"weights": (np.cos(angle), np.sin(angle))}
    halves = d.flag()
    attrs = {"axis": len(lead), **({"halves": True} if halves else {})}
    body = f"halves = {halves}\n{ROTARY}"
    wide = d.pick([(), (), (0,)])
    return DrawnUse("rotary", attrs, (x,), body, slack=rotary_slack, int16=wide, **common)


def rotary_slack(case: Any) -> float:
    """Return the largest permitted deviation from the float oracle, in output steps: cosine and
    sine have 15 bits, or fewer if the output's range is far smaller than the input's.

    If one input step exceeds 2**15 output steps, any result is permitted.
    """
    x, y = case.params("x0"), case.target
    if x.scale / y.scale > 2.0**15:
        return float(y.high - y.low)
    return float(2 * x.reach * 2.0 ** -(1 + case.step.integers.shift))


CASES = {"attention": attention, "rotary": rotary}
