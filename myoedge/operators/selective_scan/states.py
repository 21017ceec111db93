# SPDX-License-Identifier: Apache-2.0
"""States of selective scans between the passes of a stream."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from myoedge.graph.ir import Attrs, Shape
from myoedge.numerics.arrays import Array
from myoedge.numerics.element_type import INT32
from myoedge.numerics.quant_params import QuantParams
from myoedge.operators.base import QuantizedNode
from myoedge.operators.streaming_rule import OperandAxis, StreamingRule, StreamState

STATE = QuantParams(1.0, 0, INT32)  # in the steps of each channel's states


def with_parity(state: Array, count: int, before: Sequence[Array]) -> Array:
    """Return states with the number of steps behind them, modulo 2, on which the rounding of int16
    operands depends."""
    parity = (count + (before[0][..., -1:] if before else np.zeros((*state.shape[:-1], 1)))) % 2
    return np.concatenate([state, parity.astype(state.dtype)], -1)


def first_states(step: QuantizedNode, x: Array, before: Sequence[Array]) -> Array:
    """Return the states before the first step, int64 [..., D, N]."""
    if before:
        return np.asarray(before[0][..., :-1].astype(np.int64))
    return np.zeros((*x.shape[:-2], *step.integers.decay.shape), np.int64)


def last_shape(attrs: Attrs, delta: Shape, x: Shape, b: Shape, c: Shape, *more: Shape) -> Shape:
    """Return the shape of the states [..., D, N + 1] for delta, x [..., T, D] and b, c [..., T, N].

    more   of a, and of d and the states before the first step, if any
    Errors: ValueError for operands of other shapes, which C does not broadcast.
    """
    shape = (*x[:-2], x[-1], b[-1] + 1)
    known = (x[-1], b[-1]), x[-1:], shape
    if delta != x or b != c or b[:-1] != x[:-1] or more != known[: len(more)]:
        raise ValueError(f"delta {list(delta)}, x {list(x)}, B {list(b)} and C {list(c)}")
    return shape


def scan_shape(attrs: Attrs, *operands: Shape) -> Shape:
    """Return the shape of the readouts, that of x. Errors: as last_shape."""
    last_shape(attrs, *operands)
    return operands[1]


def streaming_rule(at: OperandAxis) -> StreamingRule | None:
    """Return the rule for streaming a selective scan: along time with the states, along the axes
    before it frame by frame; None along others."""
    time = len(at.shapes[0]) - 2
    if at.operand > 3 or at.axis > time:
        return None
    if at.axis < time:
        return StreamingRule(at.axis)
    shape = last_shape(at.attrs, *at.shapes)
    state = StreamState(6, "h", shape, STATE, last="selective_scan_last")
    return StreamingRule(at.axis, carries=(state,))
