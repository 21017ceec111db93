# SPDX-License-Identifier: Apache-2.0
"""NumPy array types of all stages; integer division rounded up."""

from __future__ import annotations

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
