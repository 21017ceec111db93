# SPDX-License-Identifier: Apache-2.0
"""Integer arithmetic on computed indices and positions, comparisons of integers, and cumulative
sums modulo 2^32; their export as ONNX nodes in int32, and random test cases."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from myoedge.graph.ir import Attrs
from myoedge.nest.formulas import broadcast_axes, in_int32
from myoedge.nest.intervals import INT32
from myoedge.nest.ir import Nest
from myoedge.nest.scan import scan
from myoedge.numerics.arrays import Array
from myoedge.operators.attributes import AXIS
from myoedge.operators.base import QuantizedNode, add_operator
from myoedge.operators.cases import Draw, DrawnUse
from myoedge.operators.chains import generated
from myoedge.operators.common_rules import axis_permuted, same_shape, stream_except_axis
from myoedge.operators.described import operand, result
from myoedge.operators.format import INTEGERS, Format
from myoedge.operators.integers.definition import (
    KIND_OF_FIRST,
    SIMPLE,
    IntegerParams,
    integer,
    math_quantize,
    whole,
    wrapped,
)
from myoedge.operators.library.known_values import COMPARED, FUNCTIONS
from myoedge.operators.qdq import Write, Writer
from myoedge.operators.qdq import whole as constant
from myoedge.operators.streaming_rule import OperandAxis, StreamingRule, StreamState
from myoedge.operators.traits import Constants, Described, Operands, Result

OPERATORS = {
    "add": "Add", "sub": "Sub", "mul": "Mul", "min": "Min", "max": "Max", "mod": "Mod",
    "lt": "Less", "le": "LessOrEqual", "gt": "Greater", "ge": "GreaterOrEqual", "eq": "Equal",
    "ne": "Equal",
}  # fmt: skip


def _read_operands(w: Writer, step: QuantizedNode, xs: tuple[str, ...]) -> list[str]:
    kinds = step.attrs["kinds"]
    read = [
        w.cast(w.cast(x, "bool") if kind == "truth" else x, "int32")
        for x, kind in zip(xs, kinds, strict=False)
    ]
    if len(xs) < len(kinds):
        b = step.integers.b
        read.append(w.constant(b.reshape(() if b.size == 1 else step.out)))
    return read


def _write_arithmetic(w: Writer, step: QuantizedNode, *xs: str) -> str:
    a, b = _read_operands(w, step, xs)
    function = step.attrs["function"]
    if function == "floor_div":  # ONNX's Div rounds towards zero
        return w.node("Div", w.node("Sub", a, w.node("Mod", a, b)), b)
    return w.node(OPERATORS[function], a, b)


def _write_comparison(w: Writer, step: QuantizedNode, *xs: str) -> str:
    function = step.attrs["function"]
    holds = w.node(OPERATORS[function], *_read_operands(w, step, xs))
    return w.cast(w.node("Not", holds) if function == "ne" else holds, "float32")


def _write_cumsum(w: Writer, step: QuantizedNode, x: str, *first: str) -> str:
    (read,), axis = _read_operands(w, step, (x,)), step.attrs["axis"]
    sums = w.node("CumSum", read, w.constant(np.array(axis)))
    shape = (*step.out[:axis], 1, *step.out[axis + 1 :])
    return w.node("Add", sums, w.node("Reshape", *first, constant(w, *shape))) if first else sums


WRITE: Mapping[str, Write] = {
    "integer_math": _write_arithmetic,
    "integer_math_constant": _write_arithmetic,
    "integer_compare": _write_comparison,
    "integer_compare_constant": _write_comparison,
    "integer_cumsum": _write_cumsum,
}


# --- drawn uses -----------------------------------------------------------------------------------

TORCH = {
    "add": "{a} + {b}",
    "sub": "{a} - {b}",
    "mul": "{a} * {b}",
    "min": "torch.minimum({a}, {b})",
    "max": "torch.maximum({a}, {b})",
    "floor_div": "torch.div({a}, {b}, rounding_mode='floor')",
    "mod": "torch.remainder({a}, {b})",
    **{name: f"torch.{name}({{a}}, {{b}}).double()" for name in COMPARED},
}


def drawn(op: str, functions: Iterable[str], *, constant: bool) -> Callable[[Draw], DrawnUse]:
    def draw(d: Draw) -> DrawnUse:
        x, function = d.pick([(), *(d.shape(1, 3) for _ in range(3)), (70,)]), d.pick([*functions])
        kinds = (d.pick(["int32", "uint8"]), "int32" if constant else d.pick(["int32", "uint8"]))
        low = 1 if function in ("floor_div", "mod") else -50
        each = d.rng.integers(low, 50, d.pick([x, (1,)]) or (1,)).astype(float)
        common = _common_type(d, kinds[: 2 - constant])
        common["dtype"] = "float32" if function in COMPARED else "int32"
        b = "w0.reshape(x0.shape if w0.numel() > 1 else ())" if constant else "x1"
        text = TORCH[function].format(a="x0", b=b)
        attrs, weights = {"function": function, "kinds": kinds}, (each,) if constant else ()
        return DrawnUse(op, attrs, (x,) * (2 - constant), text, weights=weights, **common)

    return draw


def cumsum(d: Draw) -> DrawnUse:
    x = d.pick([d.shape(1, 5), d.shape(1, 3, 12), (3, 200, 2)])
    kinds = (d.pick(["int32", "uint8"]),)
    attrs = {"axis": d.integer(0, len(x) - 1), "kinds": kinds}
    return DrawnUse("integer_cumsum", attrs, (x,), "x0.cumsum(axis)", **_common_type(d, kinds))


def _common_type(d: Draw, kinds: tuple[str, ...]) -> dict[str, Any]:
    return {**d.common(len(kinds), act=False), "kinds": kinds, "classes": 99, "dtype": "int32"}


CASES = {
    "integer_math": drawn("integer_math", SIMPLE, constant=False),
    "integer_math_constant": drawn("integer_math_constant", FUNCTIONS, constant=True),
    "integer_compare": drawn("integer_compare", COMPARED, constant=False),
    "integer_compare_constant": drawn("integer_compare_constant", COMPARED, constant=True),
    "integer_cumsum": cumsum,
}


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


CUMSUM = add_operator(
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
