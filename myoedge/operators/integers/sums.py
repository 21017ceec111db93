# SPDX-License-Identifier: Apache-2.0
"""Cumulative sums of integers or booleans, modulo 2^32."""

from __future__ import annotations

import numpy as np

from myoedge.graph.ir import Attrs
from myoedge.numerics.arrays import Array, outer_inner
from myoedge.operators.attributes import AXIS
from myoedge.operators.base import OpDef, QuantizedNode, register
from myoedge.operators.common_rules import axis_permuted, same_shape, stream_except_axis
from myoedge.operators.elementwise.channels import rows_tile
from myoedge.operators.format import INTEGERS, Format
from myoedge.operators.integers.definition import (
    KINDS,
    IntegerParams,
    math_quantize,
    whole,
    wrapped,
)
from myoedge.operators.kernel import OUT, AffineExpr, Operand, TiledKernel, on_cluster
from myoedge.operators.streaming_rule import OperandAxis, StreamingRule, StreamState
from myoedge.operators.traits import ByHand, Constants, Operands, Result
from myoedge.targets.chip import Engine

TYPES = {"int32": 4, "uint8": 1, "truth": 0}  # ME_INT32, ME_UINT8, ME_TRUTH


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


def cumsum_integer(step: QuantizedNode, x: Array, *first: Array) -> Array:
    """Compute cumulative sums of integers or int8 booleans -> int32.

    first   for a stream, the sums over all frames before x
    """
    axis = step.attrs["axis"]
    numbers = x != step.integers.a_zero if step.attrs["kinds"] == ("truth",) else x
    sums = np.cumsum(numbers.astype(np.int64), axis=axis)
    return wrapped(sums + (np.expand_dims(first[0].astype(np.int64), axis) if first else 0))


def cumsum_in_tiles(step: QuantizedNode, engine: Engine) -> TiledKernel:
    """Return the tiled kernel for x and y [outer, n, inner]; tiles divide outer and inner, but
    never the summed axis n."""
    outer, n, inner = outer_inner(step.out, step.attrs["axis"])
    shape, dims = (outer, n, inner), tuple[AffineExpr, ...](((("o", 1),), (), (("i", 1),)))
    first = Operand("first", 1, (outer, inner), (dims[0], dims[2]), itemsize=4)
    carried = len(step.operands) > 1  # on streams
    return TiledKernel(
        function="me_integer_cumsum_s32",
        axes={"o": outer, "i": inner},
        split=("o", "i"),
        operands=(
            Operand("x", 0, shape, dims, itemsize=step.read_type(0).size_bytes),
            *((first,) if carried else ()),
            Operand("y", OUT, shape, dims, itemsize=4),
        ),
        op={"n": n, "x_type": TYPES[step.attrs["kinds"][0]], "x_zero": step.integers.a_zero},
        tile=lambda regions: {**rows_tile(regions), **({"first": "@first"} if carried else {})},
        work=lambda sizes: np.ceil(sizes["o"] * sizes["i"] / engine.cores) * n,
    )


CUMSUM = register(
    OpDef(
        name="integer_cumsum",
        attributes={"axis": AXIS, "kinds": KINDS},
        doc="cumulative sums of integers or of a mask along an axis: positions",
        shape=same_shape,
        real=cumsum_real,
        integer=ByHand(cumsum_integer),
        constants=Constants(math_quantize, kinds=(IntegerParams,)),
        kernels=on_cluster(cumsum_in_tiles, Format((INTEGERS,), INTEGERS)),
        result=Result(dtype="int32"),
        operands=Operands(are_indices=True),
        permute_rule=axis_permuted,
        streaming_rule=cumsum_streaming_rule,
    )
)
