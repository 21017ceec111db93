# SPDX-License-Identifier: Apache-2.0
"""Values of tensors that are known at import: kinds, ranges and operations of integers and
booleans, and signs that all elements of a tensor have."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from myoedge.graph.ir import Graph, Node, Shape
from myoedge.numerics.arrays import Array
from myoedge.numerics.element_type import INT32
from myoedge.numerics.pointwise import COMPARISONS, Chain, evaluate
from myoedge.operators.base import OPS
from myoedge.operators.graph_builder import GraphBuilder, Unsupported, expand, reshape, slice_axis

FUNCTIONS: Mapping[str, Callable[..., Array]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "min": np.minimum,
    "max": np.maximum,
    "floor_div": np.floor_divide,
    "mod": np.mod,
}
COMPARED: Mapping[str, Callable[..., Array]] = {
    "lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal,
    "eq": np.equal, "ne": np.not_equal,
}  # fmt: skip
NOT = (("affine", -1.0, 1.0),)
EXACT = 2**24  # floats represent all integers up to it
Span = tuple[int, int]  # smallest and largest value


def truth_range(graph: Graph) -> dict[str, tuple[float, float]]:
    """Return comparison -> range (0, 1) of its result, independent of the samples."""
    compared = (node.name for node in graph.nodes if node.op.startswith("integer_compare"))
    return dict.fromkeys(compared, (0.0, 1.0))


def producer(d: GraphBuilder, x: str) -> Node | None:
    return next((node for node in reversed(d.nodes) if node.name == x), None)


def is_truth(d: GraphBuilder, x: str) -> bool:
    """Return whether a tensor's values can only be 0 and 1."""
    if x in d.constants:
        return bool(np.isin(d.array(x), (0, 1)).all())
    node = producer(d, x)
    if node is None or node.op in ("integer_compare", "integer_compare_constant"):
        return node is not None
    if node.op == "embedding":
        return is_truth(d, node.inputs[1])
    if node.op == "table":
        chain = node.attrs["chain"]
        return chain[-1][0] in COMPARISONS or (chain == NOT and is_truth(d, node.inputs[0]))
    moved = node.op in ("reshape", "slice", "transpose", "expand", "concat", "mul", "maximum")
    return moved and all(is_truth(d, name) for name in node.inputs)


def kind(d: GraphBuilder, x: str) -> str:
    """Return the kind of a tensor: "int32", "uint8", "truth" for booleans, or "" for floats."""
    dtype = d.dtype(x)
    if dtype != "float32":
        return dtype
    return "truth" if x not in d.constants and is_truth(d, x) else ""


OF_KINDS: Mapping[str, Span] = {"truth": (0, 1), "uint8": (0, 255)}


def span_of(d: GraphBuilder, x: str) -> Span | None:
    """Return the (smallest, largest) possible value of an integer tensor for any input; None if
    only its type limits it."""
    node, found = producer(d, x), kind(d, x)
    if found in OF_KINDS:
        return OF_KINDS[found]
    if node is None:
        return None
    if node.op in ("reshape", "transpose", "slice", "expand"):
        return span_of(d, node.inputs[0])
    if node.op == "argmax":
        return 0, d.shape(node.inputs[0])[node.attrs["axis"]] - 1
    spans = [_range_of_constant(d, name) or span_of(d, name) for name in node.inputs]
    if node.op.startswith("integer_math"):
        return _range_of_function(node, spans)
    if node.op == "integer_cumsum" and spans[0] is not None:
        (low, high), n = spans[0], d.shape(node.inputs[0])[node.attrs["axis"]]
        return min(low, n * low), max(high, n * high)
    return None


def _range_of_constant(d: GraphBuilder, name: str) -> Span | None:
    value = d.find_array(name)
    return None if value is None else (int(value.min()), int(value.max()))


def _range_of_function(node: Node, known: Sequence[Span | None]) -> Span | None:
    """Return the value range of a function of two integers, from the function's values at the ends
    of the operands' ranges."""
    function = FUNCTIONS[node.attrs["function"]]
    spans = [span or (INT32.low, INT32.high) for span in known]
    if node.attrs["function"] == "mod":
        return 0, spans[1][1] - 1
    ends = [int(function(np.int64(a), np.int64(b))) for a in spans[0] for b in spans[1]]
    inside = INT32.low <= min(ends) and max(ends) <= INT32.high
    return (min(ends), max(ends)) if inside else None


def calculated(d: GraphBuilder, op: str, function: str, a: str, b: Any, out: Shape) -> str:
    """Add a function of two integers; return the result's name.

    op         operator: "integer_math" or "integer_compare"
    function   the operator's function
    a, b       tensors of integers or truth values; b may be a number or a constant
    out        shape of the result
    Errors: Unsupported for floats, and for constants beyond 24 bits.
    """
    if not isinstance(b, str):
        b = d.constant(np.array([b]))
    if a in d.constants:
        raise Unsupported("a constant as the first operand of integers")
    if kind(d, a) == "" or (b not in d.constants and kind(d, b) == ""):
        raise Unsupported("integers of an input together with floats")
    x = expand(d, reshape_to(d, a, out), out)
    if b not in d.constants:
        y = expand(d, reshape_to(d, b, out), out)
        return d.add(op, x, y, function=function, kinds=(kind(d, a), kind(d, b)))
    value = whole_numbers(d.array(b))
    flat = value.reshape(1) if value.size == 1 else np.broadcast_to(value, out)
    kinds = (kind(d, a), "int32")
    span = (int(value.min()), int(value.max()))
    constant = d.constant(flat)
    return d.add(f"{op}_constant", x, constant, function=function, kinds=kinds, span=span)


def constant_like(d: GraphBuilder, x: str, value: Array) -> str:
    """Add a constant as if it were computed from x, for operators without constant operands: 0 * x
    + value."""
    rank = len(d.shape(x))
    for axis in range(rank):
        x = slice_axis(d, x, axis, 0, 1)
    zero = calculated(d, "integer_math", "mul", x, 0, (1,) * rank)
    spread = expand(d, reshape(d, zero, (1,) * value.ndim), value.shape)
    return calculated(d, "integer_math", "add", spread, d.constant(value), value.shape)


def constant_behind(d: GraphBuilder, x: str) -> Array | None:
    """Return the constant that `constant_like` turned into this tensor; None for other tensors."""
    node = producer(d, x)
    if node is None or node.op != "integer_math_constant" or node.attrs["function"] != "add":
        return None
    value = d.array(node.inputs[1])
    is_zero = span_of(d, node.inputs[0]) == (0, 0)
    return np.broadcast_to(whole_numbers(value), d.shape(x)) if is_zero else None


def reshape_to(d: GraphBuilder, x: str, out: Shape) -> str:
    """Reshape x to as many axes as `out` has, with leading axes of size 1."""
    shape = d.shape(x)
    return reshape(d, x, (*(1,) * (len(out) - len(shape)), *shape))


def whole_numbers(value: Array) -> Array:
    """Convert a float constant with integer values to integers. Errors: Unsupported for
    fractions."""
    if not (np.isfinite(value).all() and (value == np.rint(value)).all()):
        raise Unsupported("a fractional constant together with integers")
    if value.size and np.abs(value.astype(np.float64)).max() > EXACT:
        raise Unsupported(f"a constant beyond {EXACT:,} together with integers")
    return value.astype(np.int64)


ANY, NOT_NEGATIVE, POSITIVE = range(3)  # signs of all elements of a tensor
MAGNITUDES = ("softmax", "variance", "magnitude")  # never negative
KEEP_POSITIVE = frozenset(
    ("concat", "cumsum", "expand", "max_pool", "mean", "mul", "reshape", "slice", "sum")
) | {"transpose", "where"}
ONE_POSITIVE = ("add", "maximum")  # positive if one operand is, and none is negative
KEEP_SIGN = frozenset(("avg_pool", "conv", "linear", "matmul", *ONE_POSITIVE)) | KEEP_POSITIVE
IMPOSSIBLE = {ANY: (), NOT_NEGATIVE: ("lt",), POSITIVE: ("lt", "eq")}  # comparisons with 0
# Arguments that stand for all: integers, halves, quarters and eighths up to 64, and values near 0.
# Beyond, a function overflows rather than being undefined.
POINTS: Array = np.unique(np.concatenate([np.arange(-512, 513) / 8, [-1e-30, -1e-6, 1e-6, 1e-30]]))


@functools.cache
def arguments(sign: int) -> Array:
    """Return the arguments POINTS that a tensor may have, whose elements have this sign."""
    least = {ANY: -math.inf, NOT_NEGATIVE: 0.0, POSITIVE: np.nextafter(0.0, 1.0)}[sign]
    return np.asarray(POINTS[least <= POINTS])


@functools.cache
def results(chain: Chain, sign: int) -> Array:
    """Return a chain's results for `arguments(sign)`."""
    return evaluate(chain, arguments(sign))


def sign_of(values: Array) -> int:
    """Return the sign that all values have."""
    low = np.min(values, initial=math.inf)
    return POSITIVE if low > 0.0 else NOT_NEGATIVE if low >= 0.0 else ANY


def sign_of_result(node: Node, read: Sequence[int]) -> int:
    """Return the sign of a result, given the signs of the operands."""
    least, most = min(read, default=ANY), max(read, default=ANY)
    if node.op in KEEP_POSITIVE:
        found = least
    elif node.op in ONE_POSITIVE:
        found = most if least >= NOT_NEGATIVE else ANY
    else:
        keeps = node.op in KEEP_SIGN or OPS[node.op].is_data_movement
        found = min(least, NOT_NEGATIVE) if keeps and node.attrs.get("value", 0) >= 0 else ANY
    is_square = node.op == "mul" and len({*node.inputs}) == 1
    return max(found, NOT_NEGATIVE) if is_square or node.op in MAGNITUDES else found
