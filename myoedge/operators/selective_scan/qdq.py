# SPDX-License-Identifier: Apache-2.0
"""Export of selective scans as ONNX nodes: decays and addends of all time steps at once, then the
states step by step."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from myoedge.numerics.arrays import Array
from myoedge.operators.base import QuantizedNode
from myoedge.operators.qdq import Write, Writer, number, reshaped, sliced, whole
from myoedge.operators.selective_scan import wide
from myoedge.operators.selective_scan.tiling import DECAY_BITS


def _selective_scan(
    w: Writer, step: QuantizedNode, delta: str, x: str, b: str, c: str, *before: str
) -> str:
    """Write a selective scan as ONNX nodes; return the ONNX name of the result.

    delta, x, b, c   ONNX names of the operands
    before           that of the states of the pass before, if there is one

    Intermediate tensors with states are [..., T, D, N].
    """
    rank, time = len(step.out), len(step.out) - 2
    by_channel, by_state = (whole(w, axis) for axis in (rank, time + 1))
    states = _states(w, step, (delta, x, b), before)
    read = w.node("Mul", w.node("Concat", *states, axis=time), w.node("Unsqueeze", c, by_state))
    y = w.node("ReduceSum", read, by_channel, keepdims=0)
    skip = [w.float_constant(name) for name in step.node.inputs[5:6]]
    return w.node("Add", y, w.node("Mul", x, skip[0])) if skip else y


def _states(
    w: Writer, step: QuantizedNode, operands: Sequence[str], before: Sequence[str]
) -> list[str]:
    """Write the states after every step."""
    shape, (delta, x, b) = step.shapes[0], operands
    rank, time = len(shape), len(shape) - 2
    by_channel, by_state = (whole(w, axis) for axis in (rank, time + 1))
    now = w.node("Unsqueeze", delta, by_channel)
    decay = w.node("Exp", w.node("Mul", now, w.float_constant(step.node.inputs[4])))
    term = w.node("Unsqueeze", w.node("Mul", delta, x), by_channel)
    term = w.node("Mul", term, w.node("Unsqueeze", b, by_state))
    state = "".join(_first(w, step, name) for name in before)
    states: list[str] = []
    for t in range(shape[time]):
        more = sliced(w, term, t, t + 1, time)
        if state:
            decayed = w.node("Mul", sliced(w, decay, t, t + 1, time), state)
            more = w.node("Add", decayed, more)
        states.append(state := more)
    return states


def _first(w: Writer, step: QuantizedNode, before: str) -> str:
    """Write the states of the pass before as reals [..., 1, D, N]."""
    *around, _, channels = step.shapes[0]
    count = step.shapes[2][-1]
    states = sliced(w, before, 0, count, len(around) + 1)
    states = w.node("Mul", states, w.constant(_unit(w, step)))
    return reshaped(w, states, *around, 1, channels, count)


def _unit(w: Writer, step: QuantizedNode) -> Array:
    """Return the real value of 1 in a state, float32 [D, 1]: what the addend's multiplier converts
    to."""
    scale = math.prod(w.params[name].scale for name in step.node.inputs[:3])
    integers = step.integers
    if wide.is_wide(step):
        exponent = 96 - sum(getattr(integers, f"{n}_up") for n in ("delta", "x", "v", "b"))
    else:
        exponent = DECAY_BITS - integers.b_shift + integers.term_shift
    unit = math.ldexp(scale, exponent) / np.maximum(integers.term.astype(np.float64), 1.0)
    return np.asarray(unit[:, None], np.float32)


def _last(w: Writer, step: QuantizedNode, delta: str, x: str, b: str, c: str, *before: str) -> str:
    """Write the states after the last step as ONNX nodes, as last_real gives them."""
    *around, steps, channels = step.shapes[0]
    count, axis = step.shapes[2][-1], len(around) + 1
    *_, state = _states(w, step, (delta, x, b), before)
    shape = (*around, channels, count)
    states = w.node("Div", reshaped(w, state, *shape), w.constant(_unit(w, step)))
    odd = w.constant(np.full((*around, channels, 1), steps % 2, np.float32))
    for name in before:
        total = w.node("Add", odd, sliced(w, name, count, count + 1, axis))
        odd = w.node("Mod", total, number(w, 2.0), fmod=1)
    return w.node("Concat", states, odd, axis=axis)


WRITE: Mapping[str, Write] = {"selective_scan": _selective_scan, "selective_scan_last": _last}
