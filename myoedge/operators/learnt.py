# SPDX-License-Identifier: Apache-2.0
"""Parts of an operator's integer constants that follow from values of weights, and their limits.

All other integers follow from attributes, shapes and quantisation parameters, so that a build from
elsewhere can be checked: they are computed again (quantization/stored_numbers.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from myoedge.graph.ir import Shape
from myoedge.numerics.arrays import Array
from myoedge.numerics.fixed_point import INT32_MAX, MULT_MAX, PRE_MAX, SHIFT_MAX

if TYPE_CHECKING:
    from myoedge.operators.base import QuantizeInputs

Span = tuple[int, int]

INTEGERS_16: Span = (-(2**15), 2**15 - 1)
INTEGERS_32: Span = (-INT32_MAX - 1, INT32_MAX)
SYMMETRIC_32: Span = (-INT32_MAX, INT32_MAX)
BOUND: Span = (0, INT32_MAX)
SHIFT: Span = (0, SHIFT_MAX)
REQUANT: Mapping[str, Span] = {
    "pre": (0, PRE_MAX),
    "mult": (0, MULT_MAX),
    "offset": SYMMETRIC_32,
    "shift": SHIFT,
}


def always(integers: Any, site: QuantizeInputs) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Learnt:
    """Fields of an operator's QuantizedParams that depend on the values of weights.

    ranges    field -> smallest and largest integer that its kernels take
    fits      (QuantizedParams, QuantizeInputs) -> whether these fields together stay inside the
              tables and the integers of its kernels, for any operands
    optional  fields that a stream adds for the operator that keeps the state
    varying   fields whose first axis is as long as the values of weights make it
    weights   shapes of the inputs -> weights by position from which `quantize` gives the other
              fields; those it does not return are ones
    """

    ranges: Mapping[str, Span] = field(default_factory=dict)
    fits: Callable[[Any, QuantizeInputs], bool] = always
    varying: frozenset[str] = frozenset()
    optional: frozenset[str] = frozenset()
    weights: Callable[[Sequence[Shape]], Mapping[int, Array]] = lambda shapes: {}


def inside(integers: Any, ranges: Mapping[str, Span]) -> bool:
    """Return whether all values of the fields in `ranges` are in their ranges."""
    limits = ((np.asarray(getattr(integers, name)), span) for name, span in ranges.items())
    return all(low <= int(x.min()) and int(x.max()) <= high for x, (low, high) in limits if x.size)


def requantised_fits(integers: Any, bound: Array | int) -> bool:
    """Return whether ((acc >> pre) * mult) + offset stays in int32.

    bound   largest |acc| per channel, or of all channels
    """
    mult, offset = (np.abs(np.asarray(x, np.int64)) for x in (integers.mult, integers.offset))
    most = ((np.asarray(bound, np.int64) >> integers.pre) + 1) * mult + offset
    return bool(most.max(initial=0) <= INT32_MAX)


def sums_fit(mult: Array, offset: Array, reach: int) -> bool:
    """Return whether sums of products of operands and `mult` [channels, ...], and an offset
    [channels], stay in int32 in any order.

    reach   largest |operand|
    """
    rows = np.abs(mult.astype(np.int64)).reshape(len(mult), -1).sum(axis=1)
    return bool((rows * reach + np.abs(offset.astype(np.int64))).max(initial=0) <= INT32_MAX)


NOTHING_LEARNT = Learnt()
