# SPDX-License-Identifier: Apache-2.0
"""Linear recurrences along an axis, element by element: h_t = a_t h_(t-1) + b_t, h_0 = 0.

On a stream, h_0 is an operand: the state s of the previous pass, in its own steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from myoedge.graph.ir import Attrs
from myoedge.numerics.arrays import Array
from myoedge.numerics.element_type import INT32, INT64
from myoedge.numerics.quant_params import QuantParams
from myoedge.operators.attributes import AXIS
from myoedge.operators.base import OpDef, QuantizedNode, QuantizedParams, QuantizeInputs, register
from myoedge.operators.common_rules import (
    all_beside_axis,
    axis_permuted,
    final_state,
    same_shape,
    without_time,
)
from myoedge.operators.format import EIGHT, EITHER, EITHER_WIDTH, Format
from myoedge.operators.kernel import on_cluster
from myoedge.operators.scan.tiling import in_tiles, is_wide
from myoedge.operators.streaming_rule import OperandAxis, StreamingRule, StreamState
from myoedge.operators.traits import ByHand, Constants

STATE_BITS = 7  # fraction bits of a state, in output steps: 255 << 7 fits 16 bits
MOST = (1 << 15) - 1
WIDE_MOST = (1 << 23) - 1  # largest state for int16, with 8 more bits
STATE = QuantParams(1.0, 0, INT32)  # in 1/128 of output steps; its type tells which kernel
WIDE_STATE = QuantParams(1.0, 0, INT64)
STATES = (INT32, INT64)
ON_STREAMS = Format((EITHER, EITHER, STATES), EITHER)
KEPT = Format((EIGHT, EIGHT, (INT32,)), (INT32,)), Format((EITHER, EITHER, (INT64,)), (INT64,))


def along(
    attrs: Attrs,
    a: Array,
    b: Array,
    step: Callable[[Array, Array, Array], Array],
    before: Sequence[Array] = (),
) -> Array:
    """Run a recurrence along attrs["axis"]; return the states after all iterations.

    a, b     operands, one slice per iteration
    step     (a_t, state, b_t) -> next state
    before   initial state; (): 0
    """
    moved_a, moved_b = (np.moveaxis(x, attrs["axis"], 0) for x in (a, b))
    state, states = before[0] if before else np.zeros_like(moved_b[0]), []
    for at, more in zip(moved_a, moved_b, strict=True):
        state = step(at, state, more)
        states.append(state)
    return np.ascontiguousarray(np.moveaxis(np.stack(states), 0, attrs["axis"]))


def real(attrs: Attrs, a: Array, b: Array, *before: Array) -> Array:
    """Compute the states h_t = a_t h_(t-1) + b_t of a linear recurrence in floats; a and b have the
    same shape.

    before   optional initial state, without the axis
    """
    return along(attrs, a, b, lambda a, state, b: a * state + b, before)


def last_real(attrs: Attrs, a: Array, b: Array, *before: Array) -> Array:
    """Compute the state after the last iteration in floats. Arguments as in real."""
    return np.asarray(np.moveaxis(real(attrs, a, b, *before), attrs["axis"], 0)[-1])


def _multiplier(factor: float, bits: int = 15) -> tuple[int, int]:
    """Return (mult, shift) with factor = mult / 2^shift, mult of the given number of bits."""
    shift = int(np.clip(bits - math.frexp(factor)[1], 0, 30))
    return min(round(math.ldexp(factor, shift)), (1 << bits) - 1), shift


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanParams(QuantizedParams):
    """Integer constants of a linear recurrence h_t = a_t h_(t-1) + b_t.

    a_zero, b_zero, y_zero   zero points of operands and result
    a_mult, a_shift   conversion of a to `bits` fraction bits
    b_mult, b_shift   conversion of b to state steps
    acc_bound         largest |int32 intermediate|
    """

    a_zero: int
    a_mult: int
    a_shift: int
    bits: int
    b_zero: int
    b_mult: int
    b_shift: int
    y_zero: int
    acc_bound: int


def quantize(site: QuantizeInputs) -> ScanParams:
    """Return the constants of s = clip16((w s + half >> bits) + (b b_mult + half >> b_shift)) and y
    = s + half >> 7.

    w = a a_mult + half >> a_shift has `bits` fraction bits. If an operand or the result is int16, s
    has 24 bits and its products have 64.
    """
    a, b, y = site.params(0), site.params(1), site.target
    is_wide = site.has_int16(2)
    bits = int(np.clip(15 - math.frexp(a.scale * a.reach)[1], 0, 15))
    a_mult, a_shift = _multiplier(math.ldexp(a.scale, bits))
    b_bits = 30 - b.reach.bit_length() if is_wide else 15
    b_mult, b_shift = _multiplier(math.ldexp(b.scale / y.scale, STATE_BITS), b_bits)
    numbers: dict[str, Any] = {
        "a_zero": a.zero_point, "a_mult": a_mult, "a_shift": a_shift, "bits": bits,
        "b_zero": b.zero_point, "b_mult": b_mult, "b_shift": b_shift, "y_zero": y.zero_point,
    }  # fmt: skip
    if not is_wide:
        return ScanParams(**numbers, acc_bound=(MOST + 1) ** 2 + (1 << 15))
    bound = max(a.reach * a_mult + (1 << a_shift >> 1), b.reach * b_mult + (1 << b_shift >> 1))
    return ScanParams(**numbers, acc_bound=bound)


def _states(step: QuantizedNode, a: Array, b: Array, before: Sequence[Array]) -> Array:
    """Run the recurrence in integers; return the states after all iterations."""
    most = WIDE_MOST if is_wide(step) else MOST

    def scaled(x: Array, name: str) -> Array:
        half = (1 << getattr(step.integers, f"{name}_shift")) >> 1
        centred = x.astype(np.int64) - getattr(step.integers, f"{name}_zero")
        return np.asarray(
            (centred * getattr(step.integers, f"{name}_mult") + half)
            >> getattr(step.integers, f"{name}_shift")
        )

    half = (1 << step.integers.bits) >> 1

    def moved(w: Array, state: Array, more: Array) -> Array:
        return np.asarray(
            np.clip(((w * state + half) >> step.integers.bits) + more, -most - 1, most)
        )

    weights = np.clip(scaled(a, "a"), -MOST - 1, MOST)
    first = [state.astype(np.int64) for state in before]
    return along(step.attrs, weights, scaled(b, "b"), moved, first)


def integer(step: QuantizedNode, a: Array, b: Array, *before: Array) -> Array:
    """Run the recurrence in integers along attrs["axis"]; a, b and the result are int8 or int16.

    before   optional initial state from last_integer
    """
    states = _states(step, a, b, before)
    y = ((states + (1 << STATE_BITS >> 1)) >> STATE_BITS) + step.integers.y_zero
    return np.asarray(np.clip(y, step.low, step.high), step.element_type.dtype)


def last_integer(step: QuantizedNode, a: Array, b: Array, *before: Array) -> Array:
    """Return the state after the last iteration, int32 or int64, without the axis. Arguments as in
    integer."""
    states = np.moveaxis(_states(step, a, b, before), step.attrs["axis"], 0)
    return np.asarray(states[-1], step.element_type.dtype)


def streaming_rule(at: OperandAxis) -> StreamingRule | None:
    """Return the rule for streaming a scan: along its axis with the state, along other axes frame
    by frame."""
    if at.operand > 1 or at.axis != at.attrs["axis"] % len(at.shapes[0]):
        return all_beside_axis(at)
    shape = without_time(at.attrs, *at.shapes)
    state = StreamState(2, "h", shape, STATE, last="scan_last", by_step=_wide_state)
    return StreamingRule(at.axis, carries=(state,))


def _wide_state(state: StreamState, step: QuantizedNode) -> StreamState:
    """Return the state for the types of a step."""
    return replace(state, params=WIDE_STATE) if step.has_int16 else state


SCAN = register(
    OpDef(
        name="scan",
        attributes={"axis": AXIS},
        doc="linear recurrence along an axis: h_t = a_t * h_(t-1) + b_t, 16-bit states",
        shape=same_shape,
        real=real,
        integer=ByHand(integer),
        constants=Constants(quantize, kinds=(ScanParams,)),
        kernels=on_cluster(in_tiles, EITHER_WIDTH, ON_STREAMS),
        permute_rule=axis_permuted,
        streaming_rule=streaming_rule,
    )
)

SCAN_LAST = register(
    final_state(
        SCAN,
        name="scan_last",
        doc="state of scan after the last step: on streams",
        shape=without_time,
        real=last_real,
        integer=ByHand(last_integer),
        kernels=on_cluster(in_tiles, *KEPT),
        fixed_params=STATE,
    )
)
