# SPDX-License-Identifier: Apache-2.0
"""Import of integer arithmetic on tensors such as indices and positions."""

from __future__ import annotations

from typing import Any

from myoedge.graph.ir import Shape
from myoedge.operators.cumsum import cumulative
from myoedge.operators.graph_builder import GraphBuilder, Unsupported, reshape, slice_axis
from myoedge.operators.import_rows import Arguments, ImportRow, Row, first, one_by_one
from myoedge.operators.library.conditions import truth
from myoedge.operators.library.import_moves import cat, stack
from myoedge.operators.library.known_values import calculated, constant_like, kind, whole_numbers
from myoedge.operators.library.reductions import REDUCED, reduced_axes

SYMMETRIC = ("add", "mul", "min", "max")
MATH = "integer_math"


def function_of(name: str) -> Row:
    return lambda d, a, out: combined(d, name, a["self"], a["other"], out, a.get("alpha", 1))


def combined(d: GraphBuilder, name: str, x: Any, y: Any, out: Shape, alpha: Any = 1) -> str:
    """Import a function of integers x and alpha * y, each a number, a constant or a tensor.

    name   the function
    out    shape of the result
    """
    if alpha != 1:
        shape = d.shape(y) if isinstance(y, str) else ()
        y = combined(d, "mul", y, alpha, shape) if isinstance(y, str) else y * alpha
    if isinstance(x, str) and x not in d.constants:
        return calculated(d, MATH, name, x, y, out)
    if name == "sub":
        return combined(d, "add", combined(d, "mul", y, -1, d.shape(y)), x, out)
    if name not in SYMMETRIC:
        raise Unsupported("a constant divided by integers")
    return calculated(d, MATH, name, y, x, out)


def divided(name: str) -> Row:
    """Return a function that imports floor division, or the remainder, by a positive constant.

    name   "floor_div" or "mod"
    """

    def row(d: GraphBuilder, a: Arguments, out: Shape) -> str:
        if a.get("rounding_mode", "floor") != "floor" or a.get("fmod"):
            raise Unsupported("a division of integers that is not rounded down")
        by = a["other"]
        value = whole_numbers(d.array(by)) if by in d.constants else by
        if isinstance(value, str) or not (value > 0 if isinstance(value, int) else value.all()):
            raise Unsupported("integers divided by anything but a positive constant")
        return calculated(d, MATH, name, first(a), by, out)

    return row


def negated(d: GraphBuilder, a: Arguments, out: Shape) -> str:
    return combined(d, "mul", first(a), -1, out)


def clamped(d: GraphBuilder, a: Arguments, out: Shape) -> str:
    y = first(a)
    for name, function in (("min", "max"), ("max", "min")):
        limit = a.get(name)
        y = y if limit is None else combined(d, function, y, limit, out)
    return y


def sums(d: GraphBuilder, x: str, axis: int) -> str:
    return d.add("integer_cumsum", x, axis=axis, kinds=(kind(d, x),))


def added_up(d: GraphBuilder, a: Arguments, out: Shape) -> str:
    """Import a cumulative sum of integers; for ONNX's `exclusive`, elements are subtracted."""
    y = str(cumulative(sums)(d, {**a, "exclusive": False}, out))
    return combined(d, "sub", y, first(a), out) if a.get("exclusive") else y


def chosen(d: GraphBuilder, a: Arguments, out: Shape) -> str:
    """Import where(condition, x, y) of integers as y + condition * (x - y), exact modulo 2^32."""
    x, y, condition = a["self"], a["other"], truth(d, a["condition"])
    if all(not isinstance(side, str) or side in d.constants for side in (x, y)):
        raise Unsupported("a choice between constant integers")
    apart = combined(d, "sub", x, y, out)
    return combined(d, "add", combined(d, "mul", condition, apart, out), y, out)


def total(d: GraphBuilder, a: Arguments, out: Shape) -> str:
    """Import a sum of integers over axes, as the last element of a cumulative sum."""
    x = first(a)
    for axis in reduced_axes(d, a):
        n = d.shape(x)[axis]
        x = slice_axis(d, sums(d, x, axis), axis, n - 1, n)
    return reshape(d, x, out)


def joined(row: Row) -> Row:
    """Return a function that imports the concatenation of integer tensors and constants; mixed
    types become int32.

    row   import function for operands of one type
    """

    def whole(d: GraphBuilder, a: Arguments, out: Shape) -> str:
        names = [x for x in a["tensors"] if 0 not in d.shape(x)]
        model = next(x for x in names if x not in d.constants)
        parts = [constant_like(d, model, d.array(x)) if x in d.constants else x for x in names]
        if len({*map(d.dtype, parts)}) > 1:
            parts = [
                x if d.dtype(x) == "int32" else combined(d, "add", x, 0, d.shape(x)) for x in parts
            ]
        return str(row(d, {**a, "tensors": parts}, out))

    return whole


def row_of(ops: str, row: Row, aten: str = "", onnx: str = "") -> ImportRow:
    return ImportRow(ops, row, aten, onnx, integers=True)


BOTH = "integer_math integer_math_constant"
ROWS = (
    row_of(BOTH, function_of("add"), "add.Tensor add.Scalar", "Add(self, other)"),
    row_of(BOTH, function_of("sub"), "sub.Tensor sub.Scalar", "Sub(self, other)"),
    row_of(
        BOTH,
        lambda d, a, out: combined(d, "sub", a["other"], a["self"], out, a["alpha"]),
        "rsub.Tensor rsub.Scalar",
    ),
    row_of(BOTH, function_of("mul"), "mul.Tensor mul.Scalar", "Mul(self, other)"),
    row_of(BOTH, function_of("max"), "maximum max.other"),
    row_of(BOTH, function_of("min"), "minimum min.other"),
    row_of(BOTH, one_by_one(function_of("max")), onnx="Max(*tensors)"),
    row_of(BOTH, one_by_one(function_of("min")), onnx="Min(*tensors)"),
    row_of(
        BOTH,
        clamped,
        "clamp clip clamp_min clamp_max clamp.Tensor clamp_min.Tensor clamp_max.Tensor",
        "Clip(self, min, max)",
    ),
    row_of(BOTH, negated, "neg negative", "Neg(self)"),
    row_of(
        "integer_math_constant",
        divided("floor_div"),
        "floor_divide floor_divide.Scalar div.Tensor_mode div.Scalar_mode",
    ),
    row_of(
        "integer_math_constant",
        divided("mod"),
        "remainder.Scalar remainder.Tensor",
        "Mod(self, other, *, fmod=0)",
    ),
    row_of(
        BOTH,
        chosen,
        "where.self where.ScalarSelf where.ScalarOther",
        "Where(condition, self, other)",
    ),
    row_of(
        BOTH,
        lambda d, a, out: chosen(
            d, {"condition": a["mask"], "self": a["value"], "other": a["self"]}, out
        ),
        "masked_fill.Scalar masked_fill.Tensor",
    ),
    row_of("concat", joined(cat), "cat concat concatenate", "Concat(*tensors, dim: axis)"),
    row_of("concat", joined(stack), "stack"),
    row_of("integer_cumsum", total, "sum sum.dim_IntList", f"ReduceSum{REDUCED}"),
    row_of(
        "integer_cumsum",
        added_up,
        "cumsum",
        "CumSum(self, dim: ints, *, reverse=False, exclusive=False)",
    ),
)
