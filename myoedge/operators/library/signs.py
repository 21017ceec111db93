# SPDX-License-Identifier: Apache-2.0
"""Signs that all elements of a tensor have, and arguments of this sign."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import numpy as np

from myoedge.graph.ir import Node
from myoedge.numerics.arrays import Array
from myoedge.numerics.pointwise import Chain, evaluate
from myoedge.operators.base import OPS

ANY, NOT_NEGATIVE, POSITIVE = range(3)  # signs of all elements of a tensor
MAGNITUDES = ("softmax", "variance", "magnitude")  # never negative
KEEP_POSITIVE = frozenset(
    ("concat", "cumsum", "expand", "max_pool", "mean", "mul", "reshape", "slice", "sum")
) | {"transpose", "where"}
ONE_POSITIVE = ("add", "maximum")  # positive if one operand is, and none is negative
KEEP_SIGN = frozenset(("avg_pool", "conv", "linear", "matmul", *ONE_POSITIVE)) | KEEP_POSITIVE
IMPOSSIBLE = {ANY: (), NOT_NEGATIVE: ("lt",), POSITIVE: ("lt", "eq")}  # comparisons with 0
# Arguments that stand for all: integers, halves, quarters and eighths up to 64, and values near 0.
# Beyond, a function overflows rather than being undefined.
POINTS: Array = np.unique(np.concatenate([np.arange(-512, 513) / 8, [-1e-30, -1e-6, 1e-6, 1e-30]]))


@functools.cache
def arguments(sign: int) -> Array:
    """Return the arguments POINTS that a tensor may have, whose elements have this sign."""
    least = {ANY: -math.inf, NOT_NEGATIVE: 0.0, POSITIVE: np.nextafter(0.0, 1.0)}[sign]
    return np.asarray(POINTS[least <= POINTS])


@functools.cache
def results(chain: Chain, sign: int) -> Array:
    """Return a chain's results for `arguments(sign)`."""
    return evaluate(chain, arguments(sign))


def sign_of(values: Array) -> int:
    """Return the sign that all values have."""
    low = np.min(values, initial=math.inf)
    return POSITIVE if low > 0.0 else NOT_NEGATIVE if low >= 0.0 else ANY


def sign_of_result(node: Node, read: Sequence[int]) -> int:
    """Return the sign of a result, given the signs of the operands."""
    least, most = min(read, default=ANY), max(read, default=ANY)
    if node.op in KEEP_POSITIVE:
        found = least
    elif node.op in ONE_POSITIVE:
        found = most if least >= NOT_NEGATIVE else ANY
    else:
        keeps = node.op in KEEP_SIGN or OPS[node.op].is_data_movement
        found = min(least, NOT_NEGATIVE) if keeps and node.attrs.get("value", 0) >= 0 else ANY
    is_square = node.op == "mul" and len({*node.inputs}) == 1
    return max(found, NOT_NEGATIVE) if is_square or node.op in MAGNITUDES else found
