# SPDX-License-Identifier: Apache-2.0
"""Cumulative sums of integers or booleans, modulo 2^32."""

from __future__ import annotations

import numpy as np

from myoedge.graph.ir import Attrs
from myoedge.nest.formulas import broadcast_axes, in_int32
from myoedge.nest.intervals import INT32
from myoedge.nest.ir import Nest
from myoedge.nest.scan import scan
from myoedge.numerics.arrays import Array
from myoedge.operators.attributes import AXIS
from myoedge.operators.base import OpDef, QuantizedNode, register
from myoedge.operators.chains import generated
from myoedge.operators.common_rules import axis_permuted, same_shape, stream_except_axis
from myoedge.operators.described import operand, result
from myoedge.operators.format import INTEGERS, Format
from myoedge.operators.integers.definition import (
    KIND_OF_FIRST,
    IntegerParams,
    integer,
    math_quantize,
    whole,
    wrapped,
)
from myoedge.operators.streaming_rule import OperandAxis, StreamingRule, StreamState
from myoedge.operators.traits import Constants, Described, Operands, Result


def cumsum_real(attrs: Attrs, x: Array) -> Array:
    return wrapped(np.cumsum(whole(x, attrs["kinds"][0]), axis=attrs["axis"]))


def cumsum_streaming_rule(at: OperandAxis) -> StreamingRule | None:
    """Return the rule for streaming a cumulative sum along time, with the sum of all previous
    frames as state."""
    if at.operand or at.axis != at.attrs["axis"]:
        return stream_except_axis(at)
    shape = at.shapes[0]
    sums = StreamState(1, "sum", (*shape[: at.axis], *shape[at.axis + 1 :]), None)
    return StreamingRule(at.axis, carries=(sums,))


def cumsum_meaning(step: QuantizedNode[IntegerParams]) -> Nest:
    """Describe cumulative sums of integers or int8 booleans -> int32; on a stream, with the sums
    over all frames before as second operand."""
    axes, arrays = broadcast_axes(step.out), [operand(step, at) for at in range(len(step.operands))]
    index, along = tuple(axis.at for axis in axes), axes[step.attrs["axis"]]
    number = integer(step, arrays[0][index], "a", step.attrs["kinds"][0])
    others = tuple(axis for axis in axes if axis is not along)
    before = arrays[1][others] if len(arrays) > 1 else 0
    sums = scan(along, before, lambda total: in_int32("+", total, number), INT32)
    return Nest(axes, tuple(arrays), result(step), index, sums)


CUMSUM = register(
    OpDef(
        name="integer_cumsum",
        attributes={"axis": AXIS, "kinds": KIND_OF_FIRST},
        doc="cumulative sums of integers or of a mask along an axis: positions",
        shape=same_shape,
        real=cumsum_real,
        integer=Described(cumsum_meaning),
        constants=Constants(math_quantize, kinds=(IntegerParams,)),
        kernels=generated(Format((INTEGERS,), INTEGERS)),
        result=Result(dtype="int32"),
        operands=Operands(are_indices=True),
        permute_rule=axis_permuted,
        streaming_rule=cumsum_streaming_rule,
    )
)
