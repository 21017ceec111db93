# SPDX-License-Identifier: Apache-2.0
"""Functions of two integers, comparisons and cumulative sums, modulo 2^32.

Operands are int32, uint8, or booleans (floats; any value except 0 is true). attrs["function"] is
the function; further attributes are the operands' kinds, and for a constant its range, `span`.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from myoedge.graph.ir import Attrs
from myoedge.nest.formulas import (
    broadcast_axes,
    broadcast_index,
    equal,
    in_int32,
    maximum,
    minimum,
    quotient,
    remainder,
    where,
)
from myoedge.nest.ir import Expr, Nest, Value
from myoedge.numerics.arrays import Array
from myoedge.numerics.element_type import INT32
from myoedge.numerics.quant_params import quantize
from myoedge.operators.attributes import NodeSite, Values, are_whole, chosen, is_tuple
from myoedge.operators.base import (
    QuantizedNode,
    QuantizedParams,
    QuantizeInputs,
    add_operator,
    add_variant,
)
from myoedge.operators.chains import generated
from myoedge.operators.common_rules import (
    broadcast,
    broadcast_streaming_rule,
    same_attrs,
    same_shape,
)
from myoedge.operators.described import constant, nest_constant, operand, result
from myoedge.operators.format import INTEGERS, Format
from myoedge.operators.library.known_values import COMPARED, FUNCTIONS
from myoedge.operators.traits import (
    INTEGERS_32,
    Constants,
    Described,
    Learnt,
    Operands,
    Result,
    Weights,
)

BY_POSITIVE = ("floor_div", "mod")  # the second operand is a positive constant
SIMPLE = [name for name in FUNCTIONS if name not in BY_POSITIVE]
COMPUTED: Mapping[str, Callable[[Expr, Value], Expr]] = {
    **{name: partial(in_int32, sign) for name, sign in (("add", "+"), ("sub", "-"), ("mul", "*"))},
    "min": minimum,
    "max": maximum,
    "floor_div": quotient,
    "mod": remainder,
}
HOLDS: Mapping[str, Callable[[Expr, Value], Expr]] = {
    "lt": operator.lt, "gt": operator.gt, "eq": equal,
}  # fmt: skip
OPPOSITES = {"ge": "lt", "le": "gt", "ne": "eq"}


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


def _integer_constants(inputs: QuantizeInputs) -> Array | None:
    value = inputs.constants[1] if len(inputs.constants) > 1 else None
    return None if value is None else np.rint(value).astype(np.int32).reshape(-1)


def math_quantize(inputs: QuantizeInputs) -> IntegerParams:
    return IntegerParams(**zeros(inputs), b=_integer_constants(inputs))


def _divisor_is_positive(integers: IntegerParams, site: QuantizeInputs) -> bool:
    """Return whether no integer is divided by 0 or less."""
    b = integers.b
    return site.attrs["function"] not in BY_POSITIVE or (b is not None and int(b.min()) > 0)


LEARNT = Learnt({"b": INTEGERS_32}, _divisor_is_positive)


def compare_quantize(inputs: QuantizeInputs) -> IntegerParams:
    no, yes = (int(n) for n in quantize(np.array([0.0, 1.0]), inputs.target))
    return IntegerParams(**zeros(inputs), no=no, yes=yes, b=_integer_constants(inputs))


def integer(step: QuantizedNode, x: Expr, name: str, kind: str) -> Expr:
    """Return an operand as an integer: a boolean is 0 where it is its zero point, otherwise 1."""
    return where(equal(x, getattr(step.integers, f"{name}_zero")), 0, 1) if kind == "truth" else x


def pair(step: QuantizedNode[IntegerParams], formula: Callable[[Expr, Value], Expr]) -> Nest:
    """Return the description of a function of two integers, the second of which may be constant.

    formula   (a, b) -> the result
    """
    axes, arrays = broadcast_axes(step.out), [operand(step, at) for at in range(len(step.operands))]
    index = tuple(axis.at for axis in axes)
    named = zip("ab", arrays, step.attrs["kinds"], strict=False)
    values: list[Any] = [
        integer(step, x[broadcast_index(axes, x.shape)], name, kind) for name, x, kind in named
    ]
    if len(arrays) == 1:
        b = np.asarray(step.integers.b)
        values.append(nest_constant("b", b.reshape(step.out))[index] if b.size > 1 else int(b[0]))
    return Nest(axes, tuple(arrays), result(step), index, formula(*values))


def math_meaning(step: QuantizedNode[IntegerParams]) -> Nest:
    return pair(step, COMPUTED[step.attrs["function"]])


def compare_meaning(step: QuantizedNode[IntegerParams]) -> Nest:
    """Describe a comparison, whose results are the integers of 0.0 and 1.0."""
    function = step.attrs["function"]
    yes, no = constant(step, "yes"), constant(step, "no")
    if function in OPPOSITES:
        function, yes, no = OPPOSITES[function], no, yes
    return pair(step, lambda a, b: where(HOLDS[function](a, b), yes, no))


def _match_operand_types(value: Any, site: NodeSite) -> bool:
    """Return whether kinds are those of the operands: integers of their types, or booleans."""
    made = tuple("truth" if t == "float32" else t for t in site.dtypes)
    return isinstance(value, tuple) and value == made


def _matches_first_operand(value: Any, site: NodeSite) -> bool:
    return _match_operand_types(value, replace(site, dtypes=site.dtypes[:1]))


def _match_nonconstant_operand(value: Any, site: NodeSite) -> bool:
    return is_tuple(value, 2) and _matches_first_operand(value[:1], site) and value[1] == "int32"


KINDS = Values("the kinds of the operands", _match_operand_types)
KIND_OF_FIRST = Values("the kind of the first operand", _matches_first_operand)
BESIDE_CONSTANT = {
    "kinds": Values("the kind of the operand, and int32", _match_nonconstant_operand),
    "span": Values(
        "the range of the constant",
        lambda value, _: are_whole(value, 2, INT32.low, INT32.high),
        optional=True,
    ),
}


MATH = add_operator(
    name="integer_math",
    attributes={"function": chosen(*SIMPLE), "kinds": KINDS},
    doc="sums, differences, products, minima and maxima of integers: ids, positions",
    shape=broadcast,
    real=math_real,
    integer=Described(math_meaning),
    constants=Constants(math_quantize, kinds=(IntegerParams,)),
    kernels=generated(Format((INTEGERS,), INTEGERS)),
    result=Result(dtype="int32"),
    operands=Operands(are_indices=True),
    permute_rule=same_attrs,
    streaming_rule=broadcast_streaming_rule,
)

MATH_CONSTANT = add_variant(
    MATH,
    name="integer_math_constant",
    attributes={"function": chosen(*FUNCTIONS), **BESIDE_CONSTANT},
    doc="the same with a constant operand; quotients and remainders by positive constants",
    shape=same_shape,
    weights=Weights((1,)),
    constants=replace(MATH.constants, learnt=LEARNT),
    permute_rule=None,
    streaming_rule=lambda at: None if at.shapes[1] != (1,) else broadcast_streaming_rule(at),
)

COMPARE = add_variant(
    MATH,
    name="integer_compare",
    attributes={"function": chosen(*COMPARED), "kinds": KINDS},
    doc="comparisons of integers: ones and zeros",
    real=compare_real,
    integer=Described(compare_meaning),
    constants=Constants(compare_quantize, kinds=(IntegerParams,)),
    kernels=generated(Format((INTEGERS,))),
    result=Result(),
)

COMPARE_CONSTANT = add_variant(
    COMPARE,
    name="integer_compare_constant",
    attributes={"function": chosen(*COMPARED), **BESIDE_CONSTANT},
    doc="comparisons of integers with constants",
    shape=same_shape,
    weights=Weights((1,)),
    constants=replace(COMPARE.constants, learnt=LEARNT),
    permute_rule=None,
    streaming_rule=MATH_CONSTANT.streaming_rule,
)
