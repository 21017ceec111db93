# SPDX-License-Identifier: Apache-2.0
"""NumPy array types of all stages; integer and array division rounded up."""

from __future__ import annotations

from typing import Any, TypeVar

from numpy.typing import NDArray

Array = NDArray[Any]
Count = TypeVar("Count", int, Array)


def ceil_div(a: Count, b: int) -> Count:
    """a / b rounded up to an integer, b > 0."""
    return -(-a // b)


def round_up(a: Count, multiple: int) -> Count:
    """The smallest multiple that is at least a."""
    return -(-a // multiple) * multiple
