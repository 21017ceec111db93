# SPDX-License-Identifier: Apache-2.0
"""Sums of squares over adjacent axes: of values (mean square, or its root), or of deviations from
the mean (variance, or standard deviation); import of variances and vector norms."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np

from myoedge.graph.ir import Attrs
from myoedge.nest.ir import Call, Expr, Nest, Reduced, as_expr
from myoedge.nest.nodes import Assumed
from myoedge.nest.primitive import Primitive
from myoedge.numerics.arrays import Array
from myoedge.numerics.element_type import INT16
from myoedge.numerics.requant import INT32_MAX
from myoedge.operators.attributes import AXES, FLAG, POSITIVE
from myoedge.operators.base import QuantizedNode, QuantizeInputs, add_operator
from myoedge.operators.cases import Draw, DrawnUse
from myoedge.operators.chains import generated
from myoedge.operators.common_rules import CentredParams, with_requant
from myoedge.operators.described import own_number, requantised, result
from myoedge.operators.format import LIMITED, int16_where
from myoedge.operators.graph_builder import GraphBuilder, Unsupported, as_tuple
from myoedge.operators.import_rows import Arguments, ImportRow, Row, first
from myoedge.operators.library.reductions import REDUCED, reduction
from myoedge.operators.pool import reduce
from myoedge.operators.qdq import Write, Writer, number, whole
from myoedge.operators.traits import Constants, Described

FLAGS = dict.fromkeys(("keepdim", "centred", "root"), FLAG)
LENGTH_MAX = 2**16  # reduced elements: the sum of their squares fits 32 bits
SQUARE_BITS, ROOT_BITS = 30, 22  # bits of the accumulator without and with a root


def real(attrs: Attrs, x: Array) -> Array:
    """Compute sum(x^2) / divisor over the reduced axes in float64.

    attrs["centred"]   whether the mean is subtracted from x
    attrs["root"]      whether the square root is returned
    """
    axes, rows = tuple(attrs["axes"]), x.astype(np.float64)
    if attrs["centred"]:
        rows = rows - rows.mean(axes, keepdims=True)
    y = np.square(rows).sum(axes, keepdims=attrs["keepdim"]) / attrs["divisor"]
    return np.asarray(np.sqrt(y) if attrs["root"] else y, x.dtype)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpreadParams(CentredParams):
    """Integer constants of a variance, mean square, standard deviation or root mean square.

    up     left shift of the sum of squares before its square root
    down   right shift of the sum of squares, without a root
    These and acc_bound follow from shapes and types.
    """

    ranges: ClassVar[Mapping[str, None]] = dict.fromkeys(("up", "down", "acc_bound"))

    up: int
    down: int


def quantize(inputs: QuantizeInputs) -> SpreadParams:
    """Return the constants of acc = spread >> down, or acc = root(spread << 2 up), which is
    requantised once.

    spread   n times the sum of squared deviations from the mean, or the sum of (x - x_zero)^2
    """
    x, attrs, n = inputs.params(0), inputs.attrs, reduce.split(inputs.attrs, inputs.shapes[0])[1]
    bits = 2 * x.element_type.bits
    largest = n * n << bits - 2 if attrs["centred"] else n * max(1 << bits, x.reach**2)
    unit = x.scale**2 / (attrs["divisor"] * (n if attrs["centred"] else 1))
    up = max(ROOT_BITS - math.ceil(math.log2(largest) / 2), 0) if attrs["root"] else 0
    down = 0 if attrs["root"] else max(largest.bit_length() - SQUARE_BITS, 0)
    # isqrt gives 2**31 for 2**16 int16 values; the root of their largest spread is just below.
    root = min(math.isqrt(largest << 2 * up), INT32_MAX)
    bound = root if attrs["root"] else largest >> down
    factor = math.sqrt(unit) / 2**up if attrs["root"] else unit * 2**down
    scalars = {"x_zero": x.zero_point, "up": up, "down": down}
    return with_requant(SpreadParams, inputs, factor / inputs.target.scale, bound, scalars)


def nest(step: QuantizedNode) -> Nest:
    """Describe the requantised variance, standard deviation, mean square or root mean square over
    the reduced axes, from 64-bit sums of squares."""
    (axes, x, over, element), c, attrs = reduce.reduced_rows(step), step.integers, step.attrs
    square = element * element

    def over_all(operation: str, value: Expr) -> Expr:
        for axis in reversed(over):
            value = Reduced(operation, axis, value)
        return value

    is_wide = step.read_type(0) == INT16
    high = over_all("int32 sum", square >> 15) if is_wide else as_expr(0)
    sums = over_all("sum", element), over_all("int32 sum", square), high
    length = math.prod(axis.extent for axis in over)
    zero = as_expr(0) if attrs["centred"] else own_number(step, "x_zero")
    places = as_expr(c.up if attrs["root"] else c.down)
    flags = (as_expr(int(attrs[name])) for name in ("centred", "root"))
    acc = Call(SPREAD, None, (*sums, as_expr(length), zero, *flags, places))
    value = requantised(step, Assumed(acc, 0, c.acc_bound), partial(own_number, step))
    return Nest(axes, (x,), result(step), tuple(axis.at for axis in axes), value)


def _spread_or_root(table: None, *values: Array) -> Array:
    """Return spread >> places, or the root of spread << 2 places, as me_spread_of in C.

    values   sum, sum of the squares modulo 2**32, sum of squares >> 15, length, zero, centred,
             root, places
    """
    total, squares, high, n, zero, centred, of_root, places = (
        np.asarray(x, np.int64) for x in values
    )
    above = (high & 0xFFFFFFFF) << 15
    sum_ = above + (squares - above & 0xFFFFFFFF)
    spread = n * sum_ - total**2 if centred else sum_ + zero * (n * zero - 2 * total)
    return root(spread << 2 * places) if of_root else np.asarray(spread >> places)


def root(x: Array) -> Array:
    """Return the square root of integers x < 2**62, rounded down to its highest 15 or 16 bits."""
    bits = np.frexp(x.astype(np.float64))[1].astype(np.int64)
    half = np.maximum(bits - 31, 0) >> 1
    mantissa = x >> 2 * half
    return np.asarray(np.floor(np.sqrt(mantissa.astype(np.float64))).astype(np.int64) << half)


SPREAD = Primitive(
    "me_spread_of", "me_spread.h", _spread_or_root, lambda table, *ranges: (0, INT32_MAX)
)

VARIANCE = add_operator(
    name="variance",
    attributes={"axes": AXES, "divisor": POSITIVE, **FLAGS},
    doc="variance, mean square, deviation or length of vectors over any axes",
    shape=reduce.shape,
    real=real,
    integer=Described(nest),
    constants=Constants(quantize, kinds=(SpreadParams,)),
    kernels=generated(*int16_where(LIMITED)),
    epilogue=True,
    streaming_rule=reduce.streaming_rule,
)


def _write_variance(w: Writer, step: QuantizedNode, x: str) -> str:
    attrs, axes = step.attrs, whole(w, *step.attrs["axes"])
    if attrs["centred"]:
        x = w.node("Sub", x, w.node("ReduceMean", x, axes, keepdims=1))
    total = w.node("ReduceSumSquare", x, axes, keepdims=int(attrs["keepdim"]))
    y = w.node("Div", total, number(w, attrs["divisor"]))
    return w.node("Sqrt", y) if attrs["root"] else y


WRITE: Mapping[str, Write] = {"variance": _write_variance}


SQUARES = """
middle = x0.mean(axes, keepdim=True) if centred else 0.0
y = (x0 - middle).square().sum(axes, keepdim=keepdim) / divisor
y.sqrt() if root else y
"""


def draw_variance(d: Draw) -> DrawnUse:
    x = d.pick([d.shape(1, 4), d.shape(1, 3, 12), (3, 200, 2), (2, 1000), (5, 37)])
    first = d.integer(0, len(x) - 1)
    axes = tuple(range(first, d.integer(first, len(x) - 1) + 1))
    n = int(np.prod([x[axis] for axis in axes]))
    attrs = {
        "axes": axes,
        "keepdim": d.flag(),
        "centred": d.flag(),
        "root": d.flag(),
        "divisor": float(d.pick([1, n, max(n - 1, 1)])),
    }
    wide, common = d.pick([(), (), (0,)]), d.common(1, act=True)
    if wide:  # values that fill int16: 30 bits of a sum of squares are few for small ones
        common["pattern"] = d.pick(["uniform", "edges", "lowest", "highest"])
    return DrawnUse("variance", attrs, (x,), SQUARES, slack=slack, int16=wide, **common)


def slack(case: Any) -> Array | float:
    """Return the largest permitted deviation in output steps.

    A root has 15 significant bits. With int16, one unit of the requantised value, the bits dropped
    before its multiplier, and half a unit of the product are added.
    """
    step, root = case.step, case.attrs["root"]
    y = np.abs(np.asarray(case.real(case.dequantized)) / case.target.scale)
    found = y * 2.0**-14 + 0.01 if root else np.zeros_like(y)
    if INT16 in step.operand_types:
        unit = step.integers.mult / 2.0 ** (step.integers.shift + step.integers.pre)
        found = found + unit * 2.0**step.integers.pre + y / (2 * max(step.integers.mult, 1))
    return np.asarray(found)


CASES = {"variance": draw_variance}


def axes_of(d: GraphBuilder, a: Arguments) -> tuple[int, ...]:
    """Return the axes that a call reduces; all axes if it does not name any."""
    rank, dims = len(d.shape(first(a))), as_tuple([] if a.get("dim") is None else a["dim"], 1)
    return tuple(sorted({axis % rank for axis in dims})) or tuple(range(rank))


def spread(
    d: GraphBuilder, a: Arguments, correction: float | None, *, centred: bool, root: bool
) -> str:
    """Add sum(x^2) / (n - correction), or sum(x^2) if correction is None; return the result's name.

    centred   whether the mean is subtracted from x
    root      whether the square root is returned
    Errors: Unsupported for too many or too few elements.
    """
    axes, x = axes_of(d, a), first(a)
    n = math.prod(d.shape(x)[axis] for axis in axes)
    divisor = 1.0 if correction is None else float(n - correction)
    if n > LENGTH_MAX:
        raise Unsupported(f"squares of {n:,} elements, at most {LENGTH_MAX:,}")
    if divisor <= 0.0:
        raise Unsupported(f"a variance of {n} elements with correction={correction:g}")
    attrs: dict[str, Any] = {
        "axes": axes,
        "keepdim": bool(a.get("keepdim", False)),
        "divisor": divisor,
    }
    return d.add("variance", x, **attrs, centred=centred, root=root)


def import_variance(*, root: bool, with_mean: bool = False) -> Row:
    """Return a function that imports torch's var or std; the divisor is n - 1, or n - correction.

    root        whether it is std
    with_mean   whether the call also returns the mean
    """

    def row(d: GraphBuilder, a: Arguments, out: Any) -> Any:
        given = a["correction"] if "correction" in a else a["unbiased"]
        y = spread(d, a, 1.0 if given is None else float(given), centred=True, root=root)
        if not with_mean:
            return y
        keepdim = bool(a.get("keepdim", False))
        return y, d.add("mean", first(a), axes=axes_of(d, a), keepdim=keepdim)

    return row


def length(*, root: bool) -> Row:
    """Return a function that imports the sum of squares, or with `root` its square root."""

    def row(d: GraphBuilder, a: Arguments, out: Any) -> str:
        if a.get("noop") and not a.get("dim"):
            return d.add("table", first(a), chain=(("abs",),) if root else (("square",),))
        return spread(d, a, None, centred=False, root=root)

    return row


def vector_norm(d: GraphBuilder, a: Arguments, out: Any) -> str:
    """Import a vector norm of any order: the root of a power sum, the maximum, the minimum, or the
    number of nonzero elements."""
    order = a.get("ord", a.get("p"))
    order = 2 if order is None else order
    if order == 2:
        return spread(d, a, None, centred=False, root=True)
    if order == -math.inf:
        least = reduction("max_pool", [("abs",), ("neg",)], [("neg",)])
        return str(least(d, a, out))
    if order in (1, math.inf):
        return str(reduction("sum" if order == 1 else "max_pool", [("abs",)])(d, a, out))
    if order == 0:
        return str(reduction("sum", [("ne", 0.0)])(d, a, out))
    powers, root = [("abs",), ("pow", float(order))], [("pow", 1.0 / order)]
    return str(reduction("sum", powers, root)(d, a, out))


ROWS = (
    ImportRow("variance", import_variance(root=False), "var var.dim var.correction"),
    ImportRow("variance", import_variance(root=True), "std std.dim std.correction"),
    *(
        ImportRow(
            "variance mean",
            import_variance(root=root, with_mean=True),
            f"{name}_mean {name}_mean.dim {name}_mean.correction",
            all_results=True,
        )
        for name, root in (("var", False), ("std", True))
    ),
    ImportRow(
        "variance",
        vector_norm,
        "linalg_vector_norm norm.Scalar norm.ScalarOpt_dim norm.ScalarOpt_dtype "
        "norm.ScalarOpt_dim_dtype",
    ),
    ImportRow("variance", length(root=True), onnx=f"ReduceL2{REDUCED}"),
    ImportRow("variance", length(root=False), onnx=f"ReduceSumSquare{REDUCED}"),
)
