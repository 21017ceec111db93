# SPDX-License-Identifier: Apache-2.0
"""ATen calls of arithmetic, comparisons and selections that import reads without torch, with values
where IEEE 754 defines them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from myoedge.frontend.torch.known_calls import (
    CallTable,
    Given,
    empty,
    fitting,
    floats,
    require,
)
from myoedge.numerics.arrays import Array

ARITHMETIC = CallTable()
ELEMENTWISE = """
abs absolute acos asin asinh atan atanh ceil cos cosh erf exp expm1 floor hardsigmoid hardswish log
log10 log1p log2 log_sigmoid mish neg negative reciprocal relu relu6 round rsqrt selu sigmoid sign
silu sin sinh sqrt square tan tanh trunc
"""
OVERLOADS = ("Tensor", "Scalar")


@ARITHMETIC.shaped(
    *(f"{name}(self)" for name in ELEMENTWISE.split()),
    "hardtanh(self, min_val=-1, max_val=1)",
    "elu(self, alpha=1, scale=1, input_scale=1)",
    "celu(self, alpha=1.0)",
    'gelu(self, approximate="none")',
    "softplus(self, beta=1, threshold=20)",
    "leaky_relu(self, negative_slope=0.01)",
    "hardshrink(self, lambd=0.5)",
    "clamp(self, min=None, max=None)",
    "clip(self, min=None, max=None)",
    "clamp_min(self, min)",
    "clamp_max(self, max)",
    "threshold(self, threshold, value)",
    "pow.Tensor_Scalar(self, exponent)",
    "prelu(self, weight)",
)
def elementwise(a: Given) -> Array:
    require(a.get("approximate", "none") in ("none", "tanh"))
    return empty(a["self"].shape, floats(a["self"], a.get("weight")))


@ARITHMETIC.shaped("softshrink(self, lambd=0.5)")
def softshrink(a: Given) -> Array:
    require(a["lambd"] >= 0, a["lambd"] < np.inf)
    return np.asarray(elementwise(a))


def combined(a: Given) -> Array:
    x, y = a["self"], a["other"]
    return empty(np.broadcast_shapes(np.shape(x), np.shape(y)), floats(x, y))


def calculated(function: Callable[[Any, Any], Any], a: Given) -> Array:
    """Return the values of an arithmetic call, equal to torch's in the last bit without a factor of
    `other`."""
    if any(isinstance(x, bool) for x in a.values()):
        raise TypeError("a truth value as a number")
    if a.get("alpha", 1) != 1 or floats(a["self"], a["other"]) != np.float32:
        raise TypeError("a factor, or another type than float32")
    with np.errstate(all="ignore"):
        return np.asarray(function(a["self"], a["other"]))


def with_overloads(names: str, parameters: str) -> list[str]:
    """Return the signatures of calls whose second operand may be a number."""
    return [f"{name}.{kind}({parameters})" for name in names.split() for kind in OVERLOADS]


SUMS: Mapping[str, Callable[[Any, Any], Any]] = {
    "add": np.add,
    "sub subtract": np.subtract,
    "rsub": lambda x, y: np.subtract(y, x),
}
PRODUCTS: Mapping[str, Callable[[Any, Any], Any]] = {
    "mul multiply": np.multiply,
    "div divide true_divide": np.divide,
}
for names, function in SUMS.items():
    signatures = with_overloads(names, "self, other, alpha=1")
    ARITHMETIC.state(signatures, combined, partial(calculated, function))
for names, function in PRODUCTS.items():
    signatures = with_overloads(names, "self, other")
    ARITHMETIC.state(signatures, combined, partial(calculated, function))
ARITHMETIC.state(("maximum(self, other)", "minimum(self, other)"), combined)


# ---- truth values

COMPARISONS: Mapping[str, Callable[[Any, Any], Any]] = {
    "eq": np.equal,
    "ne": np.not_equal,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
}


def compared(a: Given) -> Array:
    return empty(np.broadcast_shapes(*map(np.shape, a.values())), np.bool_)


def answers(function: Callable[..., Any], a: Given) -> Array:
    """Return the values of a comparison or logic of float32 or truth values; with a number, of
    float32 alone, because torch converts numbers to the type of an integer tensor."""
    kinds = {x.dtype for x in a.values() if isinstance(x, np.ndarray)}
    are_tensors = all(isinstance(x, np.ndarray) for x in a.values())
    if kinds != {np.dtype(np.float32)} and not (kinds == {np.dtype(np.bool_)} and are_tensors):
        raise TypeError("types are promoted")
    return np.asarray(function(*a.values()))


for names, function in COMPARISONS.items():
    signatures = with_overloads(names, "self, other")
    ARITHMETIC.state(signatures, compared, partial(answers, function))
for name in ("and", "or", "xor"):
    function = getattr(np, f"logical_{name}")
    ARITHMETIC.state([f"logical_{name}(self, other)"], compared, partial(answers, function))
ARITHMETIC.state(["logical_not(self)"], compared, partial(answers, np.logical_not))


@ARITHMETIC.shaped(
    *(f"{name}.Tensor(self, other)" for name in ("__and__", "__or__", "bitwise_and", "bitwise_or")),
    "bitwise_not(self)",
)
def logic(a: Given) -> Array:
    if any(x.dtype != np.bool_ for x in a.values()):
        raise TypeError("bits of integers")
    return compared(a)


# ---- selections


def chosen(a: Given) -> Array:
    require(a["condition"].dtype == np.bool_)
    return empty(np.broadcast_shapes(*map(np.shape, a.values())), floats(a["self"], a["other"]))


def choice(a: Given) -> Array:
    kind = floats(a["self"], a["other"])
    return np.where(a["condition"], fitting(a["self"], kind), fitting(a["other"], kind))


SELECTIONS = ("where.self", "where.ScalarOther", "where.ScalarSelf")
ARITHMETIC.state((f"{name}(condition, self, other)" for name in SELECTIONS), chosen, choice)


def masked_size(a: Given) -> Array:
    require(a["mask"].dtype == np.bool_)
    return empty(np.broadcast_shapes(a["self"].shape, a["mask"].shape), floats(a["self"]))


def masked(a: Given) -> Array:
    return np.where(a["mask"], fitting(a["value"], floats(a["self"])), a["self"])


ARITHMETIC.state(["masked_fill.Scalar(self, mask, value)"], masked_size, masked)


FILLS = CallTable()
NEW = "dtype=None, layout=None, device=None, pin_memory=None"


def new(value: float, a: Given) -> Array:
    """Return a new tensor of the type and size in the arguments."""
    like = a.get("self", empty(()))
    return all_equal(a.get("size", like.shape), value, a["dtype"] or like.dtype)


def all_equal(shape: Sequence[int], value: Any, dtype: Any) -> Array:
    """Return an array of one value in the memory of one element."""
    return np.broadcast_to(fitting(value, dtype), tuple(shape))


LIKE = f"{NEW}, memory_format=None"
for name, value in (("zeros", 0), ("ones", 1)):
    fills = (
        f"{name}(size, {NEW})",
        f"new_{name}(self, size, {NEW})",
        f"{name}_like(self, {LIKE})",
    )
    FILLS.state(fills, partial(new, value), partial(new, value))


@FILLS.exact(
    f"new_full(self, size, fill_value, {NEW})",
    f"full_like(self, fill_value, {LIKE})",
)
def filled(a: Given) -> Array:
    return new(a["fill_value"], a)


@FILLS.exact(f"full(size, fill_value, {NEW})")
def filled_anew(a: Given) -> Array:
    value = np.asarray(a["fill_value"])
    kind = np.float32 if value.dtype.kind == "f" else value.dtype
    return all_equal(a["size"], value, a["dtype"] or kind)


def counts_of(a: Given) -> range:
    """Return the numbers of arange. Errors: TypeError for other types than int64, in which numbers
    or steps might be rounded."""
    limits = [a.get("start", 0), a["end"], a.get("step", 1)]
    if any(type(n) is not int for n in limits) or a["dtype"] not in (None, np.int64):
        raise TypeError("numbers that are rounded")
    start, end, step = limits
    require((end - start) * step >= 0)
    return range(start, end, step)


def counted(a: Given) -> Array:
    return np.array(counts_of(a), np.int64)


FILLS.state(
    (
        f"arange(end, {NEW})",
        f"arange.start(start, end, {NEW})",
        f"arange.start_step(start, end, step=1, {NEW})",
    ),
    lambda a: empty((len(counts_of(a)),), np.int64),
    counted,
)
