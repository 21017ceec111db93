# SPDX-License-Identifier: Apache-2.0
"""Sizes and limits of selective scans with int8 operands, and what both forms of a scan take from
their weights."""

from __future__ import annotations

from typing import Any

import numpy as np

from myoedge.numerics.fixed_point import INT32_MAX
from myoedge.operators.base import QuantizeInputs
from myoedge.operators.learnt import (
    BOUND,
    INTEGERS_32,
    REQUANT,
    SHIFT,
    SYMMETRIC_32,
    Learnt,
    Span,
    inside,
)
from myoedge.operators.selective_scan import wide

ENTRIES = 1 << 13  # entries of the table of powers of 1/2
DROP = 12  # fraction bits of a table index, the product of delta and decay
MOST_HALVINGS = 12.0  # range of the table's exponents; beyond, nothing is left of 8 bits
EVEN_RATES = 16.0  # from the fastest to the slowest decay; the table has two entries per delta step
UP_MAX = 8  # maximum left shift of delta
DECAY_MAX = (1 << 16) - 1
DECAY_BITS = 15  # fraction bits of a decay, and of the addend of a state
STATE_MAX = 32000  # largest state by its bound; int16 is the limit
INT16_MAX = (1 << 15) - 1
FINEST = 16  # largest ratio of the channels' state steps: multipliers then keep 10 of 14 bits
SKIP_MAX = 1 << 21  # times 255 it is a quarter of int32
HALF = 1 << DECAY_BITS >> 1

NARROW: dict[str, Span] = {
    **REQUANT,
    "term": (0, 1 << 14),
    "term_shift": SHIFT,
    "skip": SYMMETRIC_32,
    "limited": (0, 1),
    "delta_up": (0, UP_MAX),
    "decay": (0, DECAY_MAX),
    "powers": (0, INT16_MAX),
}


def _fits(integers: Any, site: QuantizeInputs) -> bool:
    """Return whether the products of delta and decay stay inside the table of powers, and sums in
    int32."""
    if isinstance(integers, wide.WideScanParams):
        return wide.fits(integers, site)
    if not inside(integers, NARROW):
        return False
    delta, x, _, c = (site.params(i) for i in range(4))
    moved = np.int64(wide.highest(delta)) << integers.delta_up.astype(np.int64)
    last = (moved[:, None] * integers.decay.astype(np.int64)) >> DROP
    sums = site.shapes[3][-1] * c.reach * (INT16_MAX + 1)
    mult, skip, offset = (
        np.abs(v.astype(np.int64)) for v in (integers.mult, integers.skip, integers.offset)
    )
    most = ((sums >> integers.pre) + 1) * mult + skip * x.reach + offset
    return bool(
        (integers.limited or last.max(initial=0) < ENTRIES)
        and max(sums, int(most.max(initial=0))) <= INT32_MAX
    )


LEARNT = Learnt(
    {
        **dict.fromkeys((*NARROW, *wide.LEARNT), INTEGERS_32),
        "acc_bound": BOUND,
    },
    _fits,
)
