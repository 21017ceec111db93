# SPDX-License-Identifier: Apache-2.0
"""Gather of elements along an axis by computed indices; indices out of range are clamped."""

from __future__ import annotations

import numpy as np

from myoedge.graph.ir import Attrs, Shape
from myoedge.numerics.arrays import Array
from myoedge.operators.attributes import type_of_operand
from myoedge.operators.base import OpDef, register
from myoedge.operators.common_rules import as_in_floats
from myoedge.operators.format import MOVES
from myoedge.operators.gather.tiling import in_tiles
from myoedge.operators.kernel import on_cluster
from myoedge.operators.streaming_rule import OperandAxis, StreamingRule
from myoedge.operators.traits import ByHand, Kept, Operands, Result


def shape(attrs: Attrs, x: Shape, ids: Shape) -> Shape:
    return (x[0], ids[1], x[2])


def gathered(attrs: Attrs, x: Array, ids: Array) -> Array:
    """Gather elements along the middle axis: x [O, N, I], ids [O or 1, K, I or 1] -> [O, K, I].

    Indices -N .. -1 count from the end.
    """
    n, whole = x.shape[1], ids.astype(np.int64)
    rows = np.clip(np.where(whole < 0, whole + n, whole), 0, n - 1)
    return np.take_along_axis(x, np.broadcast_to(rows, (x.shape[0], ids.shape[1], x.shape[2])), 1)


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
        integer=ByHand(as_in_floats(gathered)),
        kernels=on_cluster(in_tiles, MOVES),
        result=Result(kept=Kept.SCALE),
        operands=Operands(are_indices=True),
        streaming_rule=streaming_rule,
    )
)
