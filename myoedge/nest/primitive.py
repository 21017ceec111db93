# SPDX-License-Identifier: Apache-2.0
"""Functions of integers that are written by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Numbers = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Primitive:
    """A function of integers that no formula states well; NumPy, C and range side by side.

    name      its C function, (table, values ...) -> int32; without a table, (values ...)
    header    C header that defines it
    compute   (table, arrays ...) -> array of integers
    bound     (table, ranges ...) -> range of its results
    results   fields of the struct that it returns; () for one int32. With results, `compute` and
              `bound` return one array and one range for each
    c_type    type that it returns
    """

    name: str
    header: str
    compute: Callable[..., Any]
    bound: Callable[..., Any]
    results: tuple[str, ...] = ()
    c_type: str = "int32_t"
