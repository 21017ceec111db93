# SPDX-License-Identifier: Apache-2.0
"""NumPy array types; integer division by rounding; extents and strides of a shape."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeVar

from numpy.typing import NDArray

Array = NDArray[Any]
Count = TypeVar("Count", int, Array)


def ceil_div(a: Count, b: int) -> Count:
    """Return a / b rounded up to an integer, b > 0, for numbers or arrays."""
    return -(-a // b)


def round_up(a: Count, multiple: int) -> Count:
    """Return the smallest multiple of `multiple` that is at least a."""
    return -(-a // multiple) * multiple


def rounded_shift(a: Any, bits: Any) -> Any:
    """Return integers a / 2**bits, rounded to the nearest integer, halves up; bits 0 or more."""
    return (a + (1 << bits >> 1)) >> bits


def strides(shape: Sequence[int]) -> tuple[int, ...]:
    """Return the element strides of a C-contiguous array."""
    return tuple(math.prod(shape[d + 1 :]) for d in range(len(shape)))


def outer_inner(shape: Sequence[int], axis: int) -> tuple[int, int, int]:
    """Return the products of a shape's extents (before the axis, along it, after it)."""
    axis %= len(shape)
    return math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :])
