# SPDX-License-Identifier: Apache-2.0
"""Limits of integer arithmetic, exact integer products, and lookup tables."""

from __future__ import annotations

from typing import Any

import numpy as np

from myoedge.numerics.arrays import Array

INT32_MAX = 2**31 - 1
MULT_MAX = 2**15 - 1  # multipliers are positive int16
SHIFT_MAX = 30
PRE_MAX = 20


def whole_number(value: float | np.integer[Any]) -> int:
    """Return a number as an int. Errors: TypeError for one that is no integer."""
    if value != int(value):
        raise TypeError(f"a formula has integers, not {value}")
    return int(value)


def lookup(x: Array, table: Array) -> Array:
    """Return table entries for int8 x [...]; the first of the 256 entries is for -128."""
    return table.take(x.view(np.uint8) ^ 128)  # as uint8, a negative x is 128 or more


def saturated(x: Array, low: int, high: int, dtype: np.dtype[Any]) -> Array:
    """Return integers clipped to [low, high]; for small arrays, np.clip takes twice as long."""
    return np.asarray(np.minimum(np.maximum(x, low), high), dtype)


def exact_matmul(a: Array, b: Array, dtype: type[np.signedinteger[Any]] = np.int64) -> Array:
    """Return an integer matrix product, computed exactly with floats, 40 times faster than with
    int32.

    dtype   integer type of the result, which every sum must fit

    Computed in float32 if no sum exceeds 2**24, otherwise in float64, which is exact below 2**53.
    """
    float_type = np.float32 if _largest_sum(a, b) <= 2**24 else np.float64
    return np.asarray(np.matmul(a.astype(float_type), b.astype(float_type)), dtype)


def exact_sums(a: Array, b: Array, bias: Array) -> Array:
    """Return an integer matrix product plus a bias [columns]: int32 (sums must fit in it) or
    int64."""
    bound = _largest_sum(a, b) + _largest_magnitude(bias)
    acc = exact_matmul(a, b, np.int32 if bound <= INT32_MAX else np.int64)
    acc += bias
    assert bound <= INT32_MAX or np.abs(acc).max(initial=0) <= INT32_MAX
    return acc


def _largest_sum(a: Array, b: Array) -> int:
    """Return a bound on each sum of products: by the range of int8, else by the largest values."""
    left, right = (2**7 if x.dtype == np.int8 else _largest_magnitude(x) for x in (a, b))
    return int(a.shape[-1] * left * right)


def shifted_right(x: Array, bits: Array) -> Array:
    """Return integers x shifted right by `bits`, or shifted left if `bits` is negative."""
    return np.where(bits >= 0, x >> np.maximum(bits, 0), x << np.maximum(-bits, 0))


def inverse_root(x: Array) -> tuple[Array, Array]:
    """Return integers (inverse, half) with 1 / sqrt(x) = inverse / 2**(30 + half), as
    me_inverse_root in C.

    x   int64, 1 .. 2**62
    """
    top = np.frexp(x.astype(np.float64))[1].astype(np.int64) - 1
    top -= (x >> top) == 0  # float64 may have rounded up to the next power of two
    half = (top - 30) >> 1
    root = np.sqrt(shifted_right(x, 2 * half).astype(np.float64)).astype(np.int64)  # exact
    return (2**30 + (root >> 1)) // root, half


def _largest_magnitude(x: Array) -> int:
    return max(int(x.max(initial=0)), -int(x.min(initial=0)))
