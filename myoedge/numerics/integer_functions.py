# SPDX-License-Identifier: Apache-2.0
"""Functions of one whole number that integer networks have between their layers.

Meanings of pulp-platform/Deeploy's operators, in own words in docs/integer-semantics.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from myoedge.numerics.arrays import Array
from myoedge.numerics.stated_requant import StatedRequant


def _whole(x: Array) -> Array:
    """int64; Python's integers as they are, which never overflow."""
    return x if x.dtype == object else np.asarray(np.rint(x), np.int64)


def _requant(x: Array, mult: int, add: int, shift: int, low: int, high: int) -> Array:
    return StatedRequant((mult,), (add,), shift, low, high).apply(x)


def _gelu(x: Array, b: int, one: int) -> Array:
    """The error function is a parabola up to -b, and constant beyond; b is below 0."""
    q = _whole(x)
    below = np.minimum(np.abs(q), -b) + b
    return np.asarray(q * ((one + np.sign(q) * (one - below * below)) >> 1), np.float64)


def _hardswish(x: Array, three: int, six: int, one_over_six: int) -> Array:
    q = _whole(x)
    return np.asarray(q * np.clip(q + three, 0, six) * one_over_six, np.float64)


def _quotient(x: Array, divisor: int, delta: int, eps: int, eta: int) -> Array:
    return np.asarray(delta * eta * _whole(x) // (eta * divisor + eps), np.float64)


def _leaky_relu(x: Array, mult: int, shift: int) -> Array:
    q = _whole(x)
    return np.asarray(np.where(q < 0, (q * mult) >> shift, q), np.float64)


FUNCTIONS: Mapping[str, Callable[..., Array]] = {
    "integer_requant": _requant,
    "integer_gelu": _gelu,
    "integer_hardswish": _hardswish,
    "integer_leaky_relu": _leaky_relu,
    "integer_quotient": _quotient,
}
