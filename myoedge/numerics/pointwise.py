# SPDX-License-Identifier: Apache-2.0
"""Pointwise functions of one operand; for int8 each can be a table of 256 entries."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

from myoedge.numerics.arrays import Array

Call = tuple[Any, ...]  # (name, parameter, ...)
Chain = tuple[Call, ...]  # functions, the first one first

IDENTITY: Chain = (("affine", 1.0, 0.0),)  # the table that only requantises

_erf = np.frompyfunc(math.erf, 1, 1)


FLOAT_MAX = float(np.finfo(np.float32).max)
BLOCK = 8192  # minimum elements per evaluation of a chain: they stay in the CPU's cache
ERF_EXACT = 4096  # up to this many elements, math.erf is called for each
_ERF_STEP, _ERF_END = 2.0**-10, 6.0  # beyond the end, erf is 1 in double precision


def erf(x: Array) -> Array:
    """Return the error function of every element: math.erf for few elements, otherwise interpolated
    to 1e-13 (cubic, by values and derivatives)."""
    if x.size <= ERF_EXACT:
        return np.asarray(_erf(x), dtype=np.float64)
    value, slope, square, cube = _erf_curves()
    t = np.fmin(np.abs(x), _ERF_END) / _ERF_STEP
    left = np.minimum(t.astype(np.intp), len(value) - 1)
    t -= left
    # value + t * (slope + t * square + t * t * cube), in place because that takes half the time
    cubic = cube.take(left)
    cubic *= t * t
    y = square.take(left)
    y *= t
    y += slope.take(left)
    y += cubic
    y *= t
    y += value.take(left)
    np.copysign(y, x, out=y)
    return np.asarray(np.where(np.isnan(x), np.nan, y))


@cache
def _erf_curves() -> tuple[Array, Array, Array, Array]:
    """Return the coefficients of cubics between grid points from 0 to _ERF_END."""
    at = np.arange(round(_ERF_END / _ERF_STEP) + 1) * _ERF_STEP
    slope = 2.0 / math.sqrt(math.pi) * np.exp(-np.square(at)) * _ERF_STEP
    value = np.asarray(_erf(at), dtype=np.float64)
    (v, w), (a, b) = (value[:-1], value[1:]), (slope[:-1], slope[1:])
    return v, a, 3 * (w - v) - 2 * a - b, 2 * (v - w) + a + b


def _sigmoid(x: Array) -> Array:
    """Return 1 / (1 + exp(-x)), to the last bits also where it is close to 0, without overflow."""
    return np.asarray(np.exp(np.minimum(x, 0.0)) / (1.0 + np.exp(-np.abs(x))))


def _hardsigmoid(x: Array) -> Array:
    return np.clip(x + 3.0, 0.0, 6.0) / 6.0


# Functions whose results are 0 or 1.
COMPARISONS: Mapping[str, Callable[..., Array]] = {
    "lt": lambda x, limit: (x < limit) * 1.0,
    "le": lambda x, limit: (x <= limit) * 1.0,
    "gt": lambda x, limit: (x > limit) * 1.0,
    "ge": lambda x, limit: (x >= limit) * 1.0,
    "eq": lambda x, value: (x == value) * 1.0,
    "ne": lambda x, value: (x != value) * 1.0,
    "is_finite": lambda x: np.isfinite(x) * 1.0,
    "is_inf": lambda x: np.isinf(x) * 1.0,
    "is_nan": lambda x: np.isnan(x) * 1.0,
}


def _zero_safe_product(a: Array, b: Array) -> Array:
    """Return a * b, or 0 if either factor is 0 and the other infinite: `where` is computed as a sum
    of such products."""
    return np.where((a == 0.0) | (b == 0.0), 0.0, a * b)


def listed(values: Array) -> str:
    """Encode a table's float values as text, the parameter of "lookup" in a chain of functions."""
    return values.astype("<f4").tobytes().hex()


def _table_entries(x: Array, scale: float, first: int, values: str) -> Array:
    """Return table entries for the integers x / scale; the first entry is for integer `first`."""
    table = np.frombuffer(bytes.fromhex(values), "<f4").astype(np.float64)
    at = np.clip(np.nan_to_num(np.rint(x / scale)) - first, 0, len(table) - 1)
    return np.asarray(table[at.astype(np.int64)])


# Functions are defined as in PyTorch's documentation of the operator of the same name.
FUNCTIONS: Mapping[str, Callable[..., Array]] = {
    "abs": np.abs,
    "acos": np.arccos,
    "acosh": np.arccosh,
    "affine": lambda x, scale, offset: x * scale + offset,
    "asin": np.arcsin,
    "asinh": np.arcsinh,
    "atan": np.arctan,
    "atanh": np.arctanh,
    "ceil": np.ceil,
    "clamp": lambda x, low, high: np.clip(x, low, high),
    "cos": np.cos,
    "cosh": np.cosh,
    "elu": lambda x, alpha=1.0, scale=1.0, input_scale=1.0: (
        scale * np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0.0) * input_scale))
    ),
    "erf": erf,
    "exp": np.exp,
    "exp2": np.exp2,
    "expm1": np.expm1,
    "floor": np.floor,
    "frac": lambda x: x - np.trunc(x),
    "gelu": lambda x: 0.5 * x * (1.0 + erf(x / math.sqrt(2.0))),
    "gelu_tanh": lambda x: (
        0.5 * x * (1.0 + np.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x**3)))
    ),
    "hardshrink": lambda x, limit=0.5: np.where(np.abs(x) > limit, x, 0.0),
    "hardsigmoid": _hardsigmoid,
    "hardswish": lambda x: x * _hardsigmoid(x),
    "leaky_relu": lambda x, slope=0.01: np.where(x >= 0, x, x * slope),
    "log": np.log,
    "log10": np.log10,
    "log1p": np.log1p,
    "log2": np.log2,
    "lookup": _table_entries,
    "log_sigmoid": lambda x: -np.logaddexp(0.0, -x),
    "larger": lambda x, first, second: np.maximum(evaluate(first, x), evaluate(second, x)),
    "mish": lambda x: x * np.tanh(np.logaddexp(0.0, x)),
    "nan_to_num": lambda x, nan=0.0, posinf=FLOAT_MAX, neginf=-FLOAT_MAX: np.nan_to_num(
        x, nan=nan, posinf=posinf, neginf=neginf
    ),
    "neg": np.negative,
    "pow": lambda x, exponent: np.power(x, exponent),
    "product": lambda x, first, second: _zero_safe_product(evaluate(first, x), evaluate(second, x)),
    "quotient": lambda x, divisor: x / divisor,
    "reciprocal": lambda x: 1.0 / x,
    "round": np.rint,
    "rsqrt": lambda x: 1.0 / np.sqrt(x),
    "sigmoid": _sigmoid,
    "sign": np.sign,
    "silu": lambda x: x * _sigmoid(x),
    "sin": np.sin,
    "sinc": np.sinc,
    "sinh": np.sinh,
    "softplus": lambda x, beta=1.0, threshold=20.0: np.where(
        beta * x > threshold, x, np.logaddexp(0.0, beta * x) / beta
    ),
    "softshrink": lambda x, limit=0.5: np.sign(x) * np.maximum(np.abs(x) - limit, 0.0),
    "softsign": lambda x: x / (1.0 + np.abs(x)),
    "sqrt": np.sqrt,
    "square": np.square,
    "tan": np.tan,
    "tanh": np.tanh,
    "tanhshrink": lambda x: x - np.tanh(x),
    "total": lambda x, first, second: evaluate(first, x) + evaluate(second, x),
    "trunc": np.trunc,
    "threshold": lambda x, limit, value: np.where(x > limit, x, np.float64(value)),
    **COMPARISONS,
}


# Ranges of functions that approach both bounds for large arguments.
BOUNDED: Mapping[str, tuple[float, float]] = {
    "erf": (-1.0, 1.0),
    "hardsigmoid": (0.0, 1.0),
    "sigmoid": (0.0, 1.0),
    "tanh": (-1.0, 1.0),
}
NEXT_CHOICE = 1_000_003  # a prime: numbers of `branches` wrap, yet rarely agree by chance
MONOTONE = frozenset(("affine", "clamp", "neg", "quotient"))


def result_range(chain: Sequence[Call]) -> tuple[float, float] | None:
    """Return the range (low, high) of a chain's results; None if unbounded.

    It is the range of the last bounded function, mapped by the monotone functions after it.
    """
    found: tuple[float, float] | None = None
    for call in chain:
        ends = (
            None if found is None or call[0] not in MONOTONE else evaluate([call], np.array(found))
        )
        found = BOUNDED.get(call[0], None if ends is None else (min(ends), max(ends)))
    return found


# Functions that jump at points other than 0.
JUMPS = frozenset(
    (
        *COMPARISONS,
        "ceil",
        "floor",
        "frac",
        "hardshrink",
        "lookup",
        "nan_to_num",
        "round",
        "threshold",
        "trunc",
    )
)


def is_continuous(chain: Sequence[Call]) -> bool:
    """Return whether no function of the chain has a jump, including those inside sums and
    products."""
    inner = [p for _, *parameters in chain for p in parameters if isinstance(p, tuple)]
    return all(name not in JUMPS for name, *_ in chain) and all(map(is_continuous, inner))


def is_linear(chain: Sequence[Call]) -> bool:
    """Return whether a chain is x * factor + offset."""
    return all(name == "affine" for name, *_ in chain)


def defaults(name: str) -> tuple[float, ...]:
    """Return the default parameters of a pointwise function, as in PyTorch."""
    return getattr(FUNCTIONS.get(name), "__defaults__", None) or ()


def evaluate(chain: Sequence[Call], x: Array) -> Array:
    """Apply the chain to every element, in float64; NaN or infinity where it is undefined."""
    flat = np.asarray(x).reshape(-1)
    blocks = np.array_split(flat, flat.size // BLOCK) if flat.size >= 2 * BLOCK else [flat]
    results = []
    with np.errstate(all="ignore"):
        for block in blocks:
            y = block.astype(np.float64)
            for name, *parameters in chain:
                y = FUNCTIONS[name](y, *parameters)
            results.append(y)
    whole = results[0] if len(results) == 1 else np.concatenate(results)
    return whole.reshape(np.shape(x))


def branches(chain: Sequence[Call], x: Array) -> Array:
    """Return a number per element, equal for elements for which all choices of a chain, those in
    sums and products too, are the same: comparisons, and guards of what is infinite or NaN."""
    y, taken = np.asarray(x, np.float64), np.zeros(np.shape(x), np.int64)
    with np.errstate(all="ignore"):
        for name, *parameters in chain:
            for inner in (p for p in parameters if isinstance(p, tuple)):
                taken = taken * NEXT_CHOICE + branches(inner, y)
            kind = np.isnan(y) + 2 * np.isposinf(y) + 3 * np.isneginf(y)
            before, y = y, FUNCTIONS[name](y, *parameters)
            if name in COMPARISONS:
                taken = taken * NEXT_CHOICE + (y > 0.5)
            elif name == "threshold":
                taken = taken * NEXT_CHOICE + (before > parameters[0])
            elif name in ("clamp", "nan_to_num"):
                taken = taken * NEXT_CHOICE + kind
    return taken


def bounds(chain: Sequence[Call]) -> tuple[float, float] | None:
    """Return the limits (low, high) of a chain that only clamps, which kernels do without extra
    cost; otherwise None."""
    low, high = -math.inf, math.inf
    for step in chain:
        if step[0] != "clamp":
            return None
        low, high = (min(max(edge, step[1]), step[2]) for edge in (low, high))
    return low, high
