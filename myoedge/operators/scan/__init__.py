# SPDX-License-Identifier: Apache-2.0
"""Linear recurrences along an axis, element by element: h_t = a_t h_(t-1) + b_t, h_0 = 0.

On a stream, h_0 is an operand: the state s of the previous pass, in its own steps. Cumulative
products are imported as recurrences in which only the first element is added.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from myoedge.graph.ir import Attrs, Shape
from myoedge.nest.formulas import broadcast_axes, broadcast_index, clip, long_shift, rounded_shift
from myoedge.nest.ir import Array as Operand
from myoedge.nest.ir import Axis, Expr, Nest
from myoedge.nest.scan import last, scan
from myoedge.numerics.arrays import Array
from myoedge.numerics.element_type import INT32, INT64
from myoedge.numerics.quant_params import QuantParams
from myoedge.operators.attributes import AXIS
from myoedge.operators.base import QuantizedNode, QuantizedParams, QuantizeInputs, add_operator
from myoedge.operators.cases import Draw, DrawnUse
from myoedge.operators.chains import generated
from myoedge.operators.common_rules import (
    all_beside_axis,
    axis_permuted,
    final_state,
    without_time,
)
from myoedge.operators.cumsum import cumulative
from myoedge.operators.described import axes_along, operands, result, saturated
from myoedge.operators.format import EIGHT, EITHER, EITHER_WIDTH, Format
from myoedge.operators.graph_builder import GraphBuilder, slice_axis
from myoedge.operators.import_rows import ImportRow
from myoedge.operators.qdq import Write, Writer, number, reshaped, sliced
from myoedge.operators.streaming_rule import OperandAxis, StreamingRule, StreamState
from myoedge.operators.traits import Constants, Described, Operands

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

    a, b     operands, one slice per iteration; a may have axes of extent 1
    step     (a_t, state, b_t) -> next state
    before   initial state; (): 0
    """
    moved_a, moved_b = (np.moveaxis(x, attrs["axis"], 0) for x in (np.broadcast_to(a, b.shape), b))
    state, states = before[0] if before else np.zeros_like(moved_b[0]), []
    for at, more in zip(moved_a, moved_b, strict=True):
        state = step(at, state, more)
        states.append(state)
    return np.ascontiguousarray(np.moveaxis(np.stack(states), 0, attrs["axis"]))


def real(attrs: Attrs, a: Array, b: Array, *before: Array) -> Array:
    """Compute the states h_t = a_t h_(t-1) + b_t of a linear recurrence in floats.

    a, b     factors, of the shape of b or with axes of extent 1, and terms
    before   optional initial state, without the axis
    """
    return along(attrs, a, b, lambda a, state, b: a * state + b, before)


def last_real(attrs: Attrs, a: Array, b: Array, *before: Array) -> Array:
    """Compute the state after the last iteration in floats. Arguments as in real."""
    return np.asarray(np.moveaxis(real(attrs, a, b, *before), attrs["axis"], 0)[-1])


def is_wide(step: QuantizedNode) -> bool:
    """Return whether states have 24 bits: for int16 operands or results, also of the scan whose
    last state a step returns."""
    return step.has_int16 or step.element_type == INT64


def _multiplier_and_shift(factor: float, bits: int = 15) -> tuple[int, int]:
    """Return (mult, shift) with factor = mult / 2^shift, mult of the given number of bits."""
    shift = int(np.clip(bits - math.frexp(factor)[1], 0, 30))
    return min(round(math.ldexp(factor, shift)), (1 << bits) - 1), shift


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanParams(QuantizedParams):
    """Integer constants of a linear recurrence h_t = a_t h_(t-1) + b_t.

    a_zero, b_zero, y_zero   zero points of operands and result
    a_mult, a_shift   conversion of a to `bits` fraction bits
    b_mult, b_shift   conversion of b to state steps
    """

    a_zero: int
    a_mult: int
    a_shift: int
    bits: int
    b_zero: int
    b_mult: int
    b_shift: int
    y_zero: int


def quantize(site: QuantizeInputs) -> ScanParams:
    """Return the constants of s = clip16((w s + half >> bits) + (b b_mult + half >> b_shift)) and y
    = s + half >> 7.

    w = a a_mult + half >> a_shift has `bits` fraction bits. If an operand or the result is int16, s
    has 24 bits and its products have 64.
    """
    a, b, y = site.params(0), site.params(1), site.target
    is_wide = site.has_int16(2)
    bits = int(np.clip(15 - math.frexp(a.scale * a.reach)[1], 0, 15))
    a_mult, a_shift = _multiplier_and_shift(math.ldexp(a.scale, bits))
    b_bits = 30 - b.reach.bit_length() if is_wide else 15
    b_mult, b_shift = _multiplier_and_shift(math.ldexp(b.scale / y.scale, STATE_BITS), b_bits)
    numbers: dict[str, Any] = {
        "a_zero": a.zero_point, "a_mult": a_mult, "a_shift": a_shift, "bits": bits,
        "b_zero": b.zero_point, "b_mult": b_mult, "b_shift": b_shift, "y_zero": y.zero_point,
    }  # fmt: skip
    return ScanParams(**numbers)


def _states_of_iterations(
    step: QuantizedNode[ScanParams], axes: Sequence[Axis], arrays: Sequence[Operand]
) -> Expr:
    """Return the state after each iteration.

    axes     of a and b
    arrays   a, b, and optionally the state before, without the axis
    """
    wide, along = is_wide(step), axes[step.attrs["axis"]]
    c, most = step.integers, WIDE_MOST if wide else MOST
    a, b = (array[broadcast_index(axes, array.shape)] for array in arrays[:2])
    others = tuple(axis for axis in axes if axis is not along)
    weight = clip(rounded_shift((a - c.a_zero) * c.a_mult, c.a_shift), -MOST - 1, MOST)
    more = rounded_shift((b - c.b_zero) * c.b_mult, c.b_shift)
    start = arrays[2][others] if len(arrays) > 2 else 0

    def moved(state: Expr) -> Expr:
        kept = (long_shift if wide else rounded_shift)(weight * state, c.bits)
        return clip(kept + more, -most - 1, most)

    return scan(along, start, moved, (-most - 1, most))


def meaning(step: QuantizedNode[ScanParams]) -> Nest:
    """Describe the states along attrs["axis"] in output steps; a, b and the result are int8 or
    int16, a third operand is the state before."""
    axes, arrays = broadcast_axes(step.out), operands(step)
    y = rounded_shift(_states_of_iterations(step, axes, arrays), STATE_BITS) + step.integers.y_zero
    return Nest(axes, arrays, result(step), tuple(axis.at for axis in axes), saturated(step, y))


def last_meaning(step: QuantizedNode[ScanParams]) -> Nest:
    """Describe the state after the last iteration, int32 or int64, without the axis."""
    (axes, others), arrays = axes_along(step.shapes[1], step.attrs["axis"]), operands(step)
    state = last(axes[step.attrs["axis"]], _states_of_iterations(step, axes, arrays))
    return Nest(others, arrays, result(step), tuple(axis.at for axis in others), state)


def streaming_rule(at: OperandAxis) -> StreamingRule | None:
    """Return the rule for streaming a scan: along its axis with the state, along other axes frame
    by frame."""
    if at.operand > 1 or at.axis != at.attrs["axis"] % len(at.shapes[0]):
        return all_beside_axis(at)
    shape = _last_shape(at.attrs, *at.shapes)
    state = StreamState(2, "h", shape, STATE, last="scan_last", by_step=_state_of_types)
    return StreamingRule(at.axis, carries=(state,))


def _state_of_types(state: StreamState, step: QuantizedNode) -> StreamState:
    """Return the state for the types of a step."""
    return replace(state, params=WIDE_STATE) if step.has_int16 else state


def _last_shape(attrs: Attrs, a: Shape, b: Shape, *before: Shape) -> Shape:
    """Return the shape of a state, without the axis."""
    return without_time(attrs, b)


SCAN = add_operator(
    name="scan",
    attributes={"axis": AXIS},
    doc="linear recurrence along an axis: h_t = a_t * h_(t-1) + b_t, 16-bit states",
    shape=lambda attrs, a, b, *before: b,
    real=real,
    integer=Described(meaning),
    constants=Constants(quantize, kinds=(ScanParams,)),
    kernels=generated(EITHER_WIDTH, ON_STREAMS),
    permute_rule=axis_permuted,
    streaming_rule=streaming_rule,
    operands=Operands(broadcast={0: None}),
)

SCAN_LAST = final_state(
    SCAN,
    name="scan_last",
    doc="state of scan after the last step: on streams",
    shape=_last_shape,
    real=last_real,
    integer=Described(last_meaning),
    kernels=generated(*KEPT),
    fixed_params=STATE,
)


def _make_scan_writer(*, kept: bool) -> Write:
    """Return the function that exports a scan to ONNX.

    kept   whether it exports scan_last, which returns the final state
    """

    def node(w: Writer, step: QuantizedNode, a: str, b: str, *before: str) -> str:
        axis, states, shape = step.attrs["axis"], list[str](), [*step.shapes[1]]
        steps, shape[axis] = shape[axis], 1
        is_one = step.shapes[0][axis] == 1  # factor of all iterations
        # The step of a scan's states, to which b's multiplier converts
        factor = math.ldexp(step.integers.b_mult, -step.integers.b_shift)
        unit = w.params[step.node.inputs[1]].scale / factor if factor else 1.0
        state = ""
        for first in before:
            state = w.node("Mul", reshaped(w, first, *shape), number(w, unit))
        for t in range(steps):
            more = sliced(w, b, t, t + 1, axis)
            factor_now = a if is_one else sliced(w, a, t, t + 1, axis)
            decayed = w.node("Mul", factor_now, state) if state else ""
            state = w.node("Add", decayed, more) if decayed else more
            states.append(state)
        if not kept:
            return w.node("Concat", *states, axis=axis)
        return reshaped(w, w.node("Div", state, number(w, unit)), *step.out)

    return node


WRITE: Mapping[str, Write] = {
    "scan": _make_scan_writer(kept=False),
    "scan_last": _make_scan_writer(kept=True),
}


LAST_LINE = "torch.stack(states, axis)\n"
LOOP = (
    """\
state, states = torch.zeros(()), []
for a, b in zip(x0.unbind(axis), x1.unbind(axis)):
    state = a * state + b
    states.append(state)
"""
    + LAST_LINE
)


def draw_scan(d: Draw) -> DrawnUse:
    """Return a random test case of h_t = a_t h_(t-1) + b_t with |a| <= 0.9, so that the influence
    of old states decays."""
    x = d.pick([d.shape(1, 4), (d.integer(1, 12), 9), (1, 20, 3, 30)])
    common = d.common(2, act=False) | {"factors": (1.0, 0.0), "slack": scan_slack}
    wide = common["int16"] = d.pick([(), (), (0,), (1,), (0, 1)])
    spans = [(0.0, 0.45), (-0.4, 0.4)] if 0 in wide else [(0.0, 0.9), (0.0, 0.5), (-0.8, 0.8)]
    common["spans"] = (d.pick(spans), common["spans"][1])  # int16 has twice the range
    return DrawnUse("scan", {"axis": d.integer(0, len(x) - 1)}, (x, x), LOOP, **common)


def scan_slack(case: Any) -> float:
    """Return the largest permitted deviation in output steps: each iteration adds half a state step
    for both terms, 2^-15 of the state and 2^-15 of the addend."""
    levels = case.target.high - case.target.low
    return float(0.05 + case.shapes[0][case.attrs["axis"]] * (1.0 + levels / 2**8) / 128)


def draw_scan_last(d: Draw) -> DrawnUse:
    """Return a random test case of the last state: as of `scan`, in int8, with states of less than
    256 steps, where its 16 bits end."""
    x = d.shape(1, 4)
    common = d.common(2, act=False) | {"factors": (1.0, 0.0), "spans": ((-0.4, 0.4), (-90.0, 90.0))}
    attrs, text = {"axis": d.integer(0, len(x) - 1)}, LOOP.replace(LAST_LINE, "state\n")
    return DrawnUse("scan_last", attrs, (x, x), text, slack=last_slack, unit=of_state, **common)


def of_state(case: Any) -> float:
    """Return the step of a state: 1/128 of a result's."""
    return float(case.target.scale / 128)


def last_slack(case: Any) -> float:
    """Return the largest permitted deviation in steps of a state: as scan_slack, before the result
    is rounded."""
    return float(case.shapes[0][case.attrs["axis"]] * 2.0 + 1.0)


CASES = {"scan": draw_scan, "scan_last": draw_scan_last}


def products(b: GraphBuilder, x: str, axis: int) -> str:
    """Add cumulative products along an axis, as the recurrence h_t = x_t h_(t-1), h_0 = x_0."""
    shape = b.shape(x)
    if shape[axis] < 2:
        return x
    rest = tuple(n - (d == axis) for d, n in enumerate(shape))
    zeros = b.constant(np.zeros(rest, np.float32))
    first = b.add("concat", slice_axis(b, x, axis, 0, 1), zeros, axis=axis)
    return b.add("scan", x, first, axis=axis)


ROWS = (
    ImportRow(
        "scan",
        cumulative(products, 1.0),
        "cumprod",
        "CumProd(self, dim: ints, *, reverse=False, exclusive=False)",
    ),
)
