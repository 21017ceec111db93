# SPDX-License-Identifier: Apache-2.0
"""Import rows of networks of whole numbers: requantisation, and functions of one number.

QuantLib writes them, Deeploy runs them: their ONNX operators, under QuantLib's domain.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from myoedge.graph.ir import Shape
from myoedge.numerics.arrays import Array
from myoedge.numerics.fixed_point import INT32_MAX, SHIFT_MAX
from myoedge.numerics.integer_functions import FUNCTIONS
from myoedge.numerics.quant_params import QuantParams
from myoedge.numerics.stated_requant import LEVELS_MAX
from myoedge.operators.base import OPS
from myoedge.operators.graph_builder import GraphBuilder, Unsupported, reshape
from myoedge.operators.import_rows import Arguments, ImportRow, Row
from myoedge.operators.integers.numbers import producer
from myoedge.operators.requant_shift.whole import result_params

POWER_OF_TWO = "use a divisor of 1 to 2^30 that is a power of two"


def whole(value: Any, what: str) -> int:
    """The only number of an attribute or a constant. Errors: Unsupported for fractions."""
    (number,) = whole_numbers(np.asarray(value), what)
    return number


def whole_numbers(values: Array, what: str) -> tuple[int, ...]:
    numbers = values.reshape(-1).astype(np.float64)
    if not (np.isfinite(numbers).all() and (numbers == np.rint(numbers)).all()):
        raise Unsupported(f"{what} that is no whole number")
    if np.abs(numbers).max(initial=0) > INT32_MAX:
        raise Unsupported(f"{what} that 32 bits do not hold")
    return tuple(int(n) for n in numbers)


def shift_of(divisor: Any) -> int:
    """log2 of a divisor. Errors: Unsupported where it is no power of two."""
    shift = whole(divisor, "a divisor")
    if shift < 1 or shift & (shift - 1) or shift.bit_length() - 1 > SHIFT_MAX:
        raise Unsupported(f"a divisor of {shift}", POWER_OF_TWO)
    return shift.bit_length() - 1


def limits(a: Arguments) -> tuple[int, int]:
    """Least and largest result: of n_levels numbers, half of them below 0 where they are signed."""
    given = a["n_levels_out"] if a.get("n_levels_out") is not None else a["n_levels"]
    levels = whole(given, "a number of levels")
    if not 2 <= levels <= LEVELS_MAX:
        raise Unsupported(f"results of {levels} levels", "use 2 to 256 levels: 8 bits")
    signed = a.get("signed") is None or bool(whole(a["signed"], "a sign"))
    low = -(levels // 2) if signed else 0
    return low, low + levels - 1


def _channel_axis(x: Shape, given: Shape) -> int:
    """The axis of x that numbers of this shape belong to, one for each index of it."""
    count = math.prod(given)
    lead = len(x) - len(given)
    axes = [lead + d for d, n in enumerate(given) if n > 1]
    if len(axes) == 1 and axes[0] >= 0 and x[axes[0]] == count:
        return axes[0]
    if len(axes) <= 1 and len(x) > 1 and x[1] == count:  # [C, 1, 1] beside [N, C, L]
        return 1
    raise Unsupported(f"multipliers {list(given)} of {list(x)}", "use one, or one for each channel")


def requant_shift(b: GraphBuilder, a: Arguments, out: Shape) -> str:
    """clip((x * mult + add + half) >> log2(div))."""
    numbers = [np.asarray(a[name]) for name in ("mult", "add")]
    large = max(numbers, key=lambda v: v.size)
    if not out or not all(v.size for v in numbers):
        raise Unsupported("a requantisation of one number, or without multipliers")
    axis = _channel_axis(out, large.shape) if large.size > 1 else len(out) - 1
    if any(v.size not in (1, large.size) for v in numbers):
        raise Unsupported(f"{numbers[0].size} multipliers beside {numbers[1].size} additions")
    mult, add = (whole_numbers(v, "a multiplier or an addition") for v in numbers)
    stated = (mult, add, shift_of(a["div"]), *limits(a))
    return b.add("requant_shift", a["self"], requant=stated, axis=axis)


def no_norm(b: GraphBuilder, a: Arguments, out: Shape) -> str:
    """clip(((x * weight + bias) * mul) >> log2(D)): a multiplier for every place, no rounding."""
    given = (a["weight"], a["bias"])
    weight, bias = (np.broadcast_to(v, out[-given[0].ndim :]) for v in given)
    factor, shift = whole(a["mul"], "a multiplier"), shift_of(a["D"])
    mult = whole_numbers(weight.astype(np.float64) * factor, "a multiplier")
    half = 1 << shift >> 1
    add = whole_numbers(bias.astype(np.float64) * factor - half, "an addition")
    places = len(mult)
    rows = reshape(b, a["self"], (math.prod(out) // places, places))
    stated = (mult, add, shift, *limits(a))
    return reshape(b, b.add("requant_shift", rows, requant=stated, axis=1), out)


def mean(b: GraphBuilder, a: Arguments, out: Shape) -> str:
    """The sum, rounded behind a division by a power of two; halves up."""
    rank, x = len(b.shape(a["self"])), a["self"]
    axes = tuple(sorted(_axes(a["axes"], rank)))
    count = math.prod(b.shape(x)[d] for d in axes)
    if count & (count - 1):
        advice = "use a number of elements that is a power of two, or ReduceSum and RequantShift"
        raise Unsupported(f"a mean of {count} numbers", advice)
    params = _params_of(b, x)
    if params is None:
        raise Unsupported("a mean of numbers that no operator brings to 8 bits", "use RequantShift")
    total = b.add("sum", x, axes=axes, keepdim=bool(a["keepdims"]))
    ends = (end - params.zero_point for end in (params.low, params.high))
    stated = ((1,), (0,), count.bit_length() - 1, *ends)
    return b.add("requant_shift", total, requant=stated, axis=max(len(out) - 1, 0))


def _axes(given: Any, rank: int) -> set[int]:
    """Axes of an attribute, one of them alone too; all of them without it. Errors: ValueError for
    one that there is not."""
    axes = range(rank) if given is None else [int(d) for d in np.ravel(given)]
    if any(not -rank <= d < rank for d in axes):
        raise ValueError(f"axes {axes} of {rank}")
    return {d % rank for d in axes}


def _params_of(b: GraphBuilder, x: str) -> QuantParams | None:
    """Parameters of a tensor that an operator requantises, moved or not."""
    node = producer(b, x)
    while node is not None and OPS[node.op].same_scale:
        node = producer(b, node.inputs[0])
    return None if node is None else result_params(node)


def mean_shape(x: Shape, attrs: Mapping[str, Any]) -> Shape:
    axes = _axes(attrs.get("axes"), len(x))
    keeps = bool(attrs.get("keepdims", 1))
    return tuple(1 if d in axes else n for d, n in enumerate(x) if keeps or d not in axes)


def function_of(name: str, *parameters: str) -> Row:
    """A function of one number, its parameters whole numbers."""

    def row(b: GraphBuilder, a: Arguments, out: Shape) -> str:
        numbers = {p: whole(a[p], p) for p in parameters}
        if not 0 <= numbers.get("shift", 0) <= SHIFT_MAX:
            raise Unsupported(f"a shift by {numbers['shift']}", f"use 0 to {SHIFT_MAX}")
        if "eta" in numbers and numbers["eta"] * numbers["y"] + numbers["eps"] == 0:
            raise Unsupported("a division by 0", "use an eps of at least 1")
        _hold_results(f"integer_{name}", numbers, _params_of(b, a["self"]))
        return b.add("table", a["self"], chain=((f"integer_{name}", *numbers.values()),))

    return row


def _hold_results(name: str, numbers: Mapping[str, int], params: QuantParams | None) -> None:
    """Errors: Unsupported where a function has results of more than 32 bits."""
    low, high = (-128, 255) if params is None else (params.low, params.high)
    zero = 0 if params is None else params.zero_point
    x = np.arange(low - zero, high - zero + 1).astype(object)
    most = np.abs(FUNCTIONS[name](x, *numbers.values())).max()
    if most > INT32_MAX:
        large = max(numbers, key=lambda p: abs(numbers[p]))
        advice = f"use a {large} nearer to 0 than {numbers[large]:,}"
        raise Unsupported("a function with results of more than 32 bits", advice)


def same_shape(x: Shape, *_: Any) -> Shape:
    return x


ROWS = (
    ImportRow(
        "requant_shift sum", mean, onnx="PACTOps.IntegerMean(self, *, axes=None, keepdims=1)"
    ),
    ImportRow(
        "requant_shift",
        requant_shift,
        onnx="PACTOps.RequantShift(self, mult: array, add: array, *, div, signed=None, "
        "n_levels=None, n_levels_out=None)",
    ),
    ImportRow(
        "requant_shift",
        no_norm,
        onnx="PACTOps.iNoNorm(self, weight: array, bias: array, *, mul, D, n_levels)",
    ),
    ImportRow("table", function_of("gelu", "b", "one"), onnx="PACTOps.iGELU(self, *, b, one)"),
    ImportRow(
        "table",
        function_of("hardswish", "three", "six", "one_over_six"),
        onnx="PACTOps.iHardswish(self, *, three, six, one_over_six)",
    ),
    ImportRow(
        "table",
        function_of("quotient", "y", "Delta", "eps", "eta"),
        onnx="PACTOps.TrueIntegerDiv(self, *, y, Delta, eps, eta)",
    ),
    ImportRow(
        "table",
        function_of("leaky_relu", "mul", "shift"),
        onnx="PACTOps.iLeakyReLU(self, *, mul, shift)",
    ),
)

SAME_SHAPE = (
    *("ITAMax", "ITAPartialMax", "RequantShift", "TrueIntegerDiv", "iGELU", "iHardswish"),
    *("iLayerNorm", "iLeakyReLU", "iNoNorm", "iRMSNorm", "iSoftmax"),
)
# Shapes of results, which onnx does not know; those of other families' rows are here too.
WHOLE_SHAPES: Mapping[str, Callable[..., Shape]] = {
    **{f"PACTOps.{name}": same_shape for name in SAME_SHAPE},
    "PACTOps.IntegerMean": mean_shape,
}
