# SPDX-License-Identifier: Apache-2.0
"""Functions of two integers, comparisons and cumulative sums, modulo 2^32.

Operands are int32, uint8, or booleans (floats; any value except 0 is true). attrs["function"] is
the function; further attributes are the operands' kinds, and for a constant its range, `span`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from myoedge.graph.ir import Attrs, Graph
from myoedge.numerics.arrays import Array
from myoedge.numerics.element_type import INT32
from myoedge.numerics.quant_params import quantize
from myoedge.operators.attributes import AXIS, NodeSite, Values, are_whole, chosen, is_tuple
from myoedge.operators.base import OpDef, QuantizedNode, QuantizedParams, QuantizeInputs, register
from myoedge.operators.common_rules import (
    axis_permuted,
    broadcast_streaming_rule,
    same_attrs,
    same_shape,
    stream_except_axis,
)
from myoedge.operators.format import INTEGERS, Format
from myoedge.operators.integers.tiling import compare_in_tiles, cumsum_in_tiles, math_in_tiles
from myoedge.operators.kernel import on_cluster
from myoedge.operators.learnt import INTEGERS_32, Learnt
from myoedge.operators.streaming_rule import OperandAxis, StreamingRule, StreamState
from myoedge.operators.traits import ByHand, Constants, Operands, Result, Weights

FUNCTIONS: Mapping[str, Callable[..., Array]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "min": np.minimum,
    "max": np.maximum,
    "floor_div": np.floor_divide,
    "mod": np.mod,
}
BY_POSITIVE = ("floor_div", "mod")  # the second operand is a positive constant
SIMPLE = [name for name in FUNCTIONS if name not in BY_POSITIVE]
COMPARED: Mapping[str, Callable[..., Array]] = {
    "lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal,
    "eq": np.equal, "ne": np.not_equal,
}  # fmt: skip


def whole(x: Array, kind: str) -> Array:
    """Convert an operand of the float graph to int64.

    kind   element type of the operand: "int32", "uint8" or "truth" (boolean)
    """
    return (x != 0).astype(np.int64) if kind == "truth" else np.rint(x).astype(np.int64)


def both(attrs: Attrs, a: Array, b: Array) -> tuple[Array, Array]:
    """Convert both operands of the float graph to int64; a `b` of one element becomes a scalar."""
    left, right = map(whole, (a, b), attrs["kinds"])
    return left, right.reshape(()) if right.size == 1 else right


def wrapped(x: Array) -> Array:
    return np.asarray(x).astype(np.int64).astype(np.int32)


def math_real(attrs: Attrs, a: Array, b: Array) -> Array:
    return wrapped(FUNCTIONS[attrs["function"]](*both(attrs, a, b)))


def compare_real(attrs: Attrs, a: Array, b: Array) -> Array:
    return np.asarray(COMPARED[attrs["function"]](*both(attrs, a, b)), np.float32)


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


@dataclass(frozen=True, slots=True, kw_only=True)
class IntegerParams(QuantizedParams):
    """Integer constants of an operator on integers or booleans.

    a_zero, b_zero   zero points of boolean operands; 0 for integers
    no, yes          integers of False and True in the result of a comparison
    b                constant int32 operand
    """

    a_zero: int
    b_zero: int | None = None
    no: int | None = None
    yes: int | None = None
    b: Array | None = None


def zeros(inputs: QuantizeInputs) -> dict[str, Any]:
    """Return the operands' zero points as fields of IntegerParams: those of quantised booleans, 0
    for integers."""
    given = zip("ab", inputs.input_params, inputs.attrs["kinds"], strict=False)
    return {
        f"{name}_zero": 0 if params is None or kind != "truth" else params.zero_point
        for name, params, kind in given
    }


def _constant(inputs: QuantizeInputs) -> Array | None:
    value = inputs.constants[1] if len(inputs.constants) > 1 else None
    return None if value is None else np.rint(value).astype(np.int32).reshape(-1)


def math_quantize(inputs: QuantizeInputs) -> IntegerParams:
    return IntegerParams(**zeros(inputs), b=_constant(inputs))


def _fits(integers: IntegerParams, site: QuantizeInputs) -> bool:
    """Return whether no integer is divided by 0 or less."""
    b = integers.b
    return site.attrs["function"] not in BY_POSITIVE or (b is not None and int(b.min()) > 0)


LEARNT = Learnt({"b": INTEGERS_32}, _fits)


def compare_quantize(inputs: QuantizeInputs) -> IntegerParams:
    no, yes = (int(n) for n in quantize(np.array([0.0, 1.0]), inputs.target))
    return IntegerParams(**zeros(inputs), no=no, yes=yes, b=_constant(inputs))


def operands(step: QuantizedNode, xs: tuple[Array, ...]) -> list[Array]:
    """Return the operands as int64 minus their zero points, broadcast."""
    kinds = step.attrs["kinds"]
    shown = [
        (x != getattr(step.integers, f"{name}_zero")) if kind == "truth" else x
        for name, x, kind in zip("ab", xs, kinds, strict=False)
    ]
    if len(xs) < len(kinds):
        b = step.integers.b
        shown.append(b.reshape(() if b.size == 1 else step.out))
    return [x.astype(np.int64) for x in shown]


def math_integer(step: QuantizedNode, *xs: Array) -> Array:
    """Compute the function of integers or int8 booleans -> int32, modulo 2^32."""
    return wrapped(FUNCTIONS[step.attrs["function"]](*operands(step, xs)))


def compare_integer(step: QuantizedNode, *xs: Array) -> Array:
    """Compare integers or int8 booleans -> int8, with the values 0.0 and 1.0."""
    holds = COMPARED[step.attrs["function"]](*operands(step, xs))
    return np.asarray(np.where(holds, step.integers.yes, step.integers.no), np.int8)


def cumsum_integer(step: QuantizedNode, x: Array, *first: Array) -> Array:
    """Compute cumulative sums of integers or int8 booleans -> int32.

    first   for a stream, the sums over all frames before x
    """
    axis = step.attrs["axis"]
    sums = np.cumsum(operands(step, (x,))[0], axis=axis)
    return wrapped(sums + (np.expand_dims(first[0].astype(np.int64), axis) if first else 0))


def truth_range(graph: Graph) -> dict[str, tuple[float, float]]:
    """Return comparison -> range (0, 1) of its result, independent of the samples."""
    compared = (node.name for node in graph.nodes if node.op.startswith("integer_compare"))
    return dict.fromkeys(compared, (0.0, 1.0))


def _kinds(value: Any, site: NodeSite) -> bool:
    """Return whether kinds are those of the operands: integers of their types, or booleans."""
    made = tuple("truth" if t == "float32" else t for t in site.dtypes)
    return isinstance(value, tuple) and value == made


def _kinds_beside_constant(value: Any, site: NodeSite) -> bool:
    return (
        is_tuple(value, 2)
        and _kinds(value[:1], replace(site, dtypes=site.dtypes[:1]))
        and (value[1] == "int32")
    )


KINDS = Values("the kinds of the operands", _kinds)
BESIDE_CONSTANT = {
    "kinds": Values("the kind of the operand, and int32", _kinds_beside_constant),
    "span": Values(
        "the range of the constant",
        lambda value, _: are_whole(value, 2, INT32.low, INT32.high),
        optional=True,
    ),
}


MATH = register(
    OpDef(
        name="integer_math",
        attributes={"function": chosen(*SIMPLE), "kinds": KINDS},
        doc="sums, differences, products, minima and maxima of integers: ids, positions",
        shape=same_shape,
        real=math_real,
        integer=ByHand(math_integer),
        constants=Constants(math_quantize, kinds=(IntegerParams,)),
        kernels=on_cluster(math_in_tiles, Format((INTEGERS,), INTEGERS)),
        result=Result(dtype="int32"),
        operands=Operands(are_indices=True),
        permute_rule=same_attrs,
        streaming_rule=broadcast_streaming_rule,
    )
)

MATH_CONSTANT = register(
    replace(
        MATH,
        name="integer_math_constant",
        attributes={"function": chosen(*FUNCTIONS), **BESIDE_CONSTANT},
        doc="the same with a constant operand; quotients and remainders by positive constants",
        weights=Weights((1,)),
        constants=replace(MATH.constants, learnt=LEARNT),
        permute_rule=None,
        streaming_rule=lambda at: None if at.shapes[1] != (1,) else broadcast_streaming_rule(at),
    )
)

COMPARE = register(
    replace(
        MATH,
        name="integer_compare",
        attributes={"function": chosen(*COMPARED), "kinds": KINDS},
        doc="comparisons of integers: ones and zeros",
        real=compare_real,
        integer=ByHand(compare_integer),
        constants=Constants(compare_quantize, kinds=(IntegerParams,)),
        kernels=on_cluster(compare_in_tiles, Format((INTEGERS,))),
        result=Result(),
    )
)

COMPARE_CONSTANT = register(
    replace(
        COMPARE,
        name="integer_compare_constant",
        attributes={"function": chosen(*COMPARED), **BESIDE_CONSTANT},
        doc="comparisons of integers with constants",
        weights=Weights((1,)),
        constants=replace(COMPARE.constants, learnt=LEARNT),
        permute_rule=None,
        streaming_rule=MATH_CONSTANT.streaming_rule,
    )
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
