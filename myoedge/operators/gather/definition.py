# SPDX-License-Identifier: Apache-2.0
"""Gather of elements along an axis by computed indices; indices out of range are clamped."""

from __future__ import annotations

import numpy as np

from myoedge.graph.ir import Attrs, Shape
from myoedge.nest.formulas import broadcast_axes, broadcast_index, clip, where
from myoedge.nest.ir import Nest
from myoedge.nest.taken import Taken
from myoedge.numerics.arrays import Array
from myoedge.operators.attributes import type_of_operand
from myoedge.operators.base import OpDef, QuantizedNode, register
from myoedge.operators.chains import generated
from myoedge.operators.common_rules import as_in_floats
from myoedge.operators.described import operand, result
from myoedge.operators.format import MOVES
from myoedge.operators.streaming_rule import OperandAxis, StreamingRule
from myoedge.operators.traits import Described, Kept, Operands, Result


def shape(attrs: Attrs, x: Shape, ids: Shape) -> Shape:
    return (x[0], ids[1], x[2])


def gathered(attrs: Attrs, x: Array, ids: Array) -> Array:
    """Gather elements along the middle axis: x [O, N, I], ids [O or 1, K, I or 1] -> [O, K, I].

    Indices -N .. -1 count from the end.
    """
    n, whole = x.shape[1], ids.astype(np.int64)
    rows = np.clip(np.where(whole < 0, whole + n, whole), 0, n - 1)
    return np.take_along_axis(x, np.broadcast_to(rows, (x.shape[0], ids.shape[1], x.shape[2])), 1)


def nest(step: QuantizedNode) -> Nest:
    """Describe a gather: an index below 0 counts from the end, and one out of range is clamped."""
    axes, x, ids, n = (
        broadcast_axes(step.out),
        operand(step, 0),
        operand(step, 1),
        step.shapes[0][1],
    )
    given = clip(ids[broadcast_index(axes, ids.shape)], -n, n - 1)
    inside = clip(where(given < 0, given + n, given), 0, n - 1)
    value = Taken(x[axes[0], 0, axes[2]], 1, inside)
    return Nest(axes, (x, ids), result(step), tuple(axis.at for axis in axes), value)


def streaming_rule(at: OperandAxis) -> StreamingRule | None:
    """Return the rule for streaming a gather: frame by frame along an axis that elements and
    indices share; None for other axes."""
    both = [shape[at.axis] for shape in at.shapes]
    return StreamingRule(at.axis) if at.axis != 1 and both[0] == both[1] else None


GATHER = register(
    OpDef(
        name="gather",
        attributes={"dtype": type_of_operand(1)},
        doc="elements of an axis by computed indices: an input, or an argmax",
        shape=shape,
        real=gathered,
        integer=Described(nest, as_in_floats(gathered)),
        kernels=generated(MOVES),
        result=Result(kept=Kept.SCALE),
        operands=Operands(are_indices=True),
        streaming_rule=streaming_rule,
    )
)
