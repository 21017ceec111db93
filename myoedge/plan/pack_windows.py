# SPDX-License-Identifier: Apache-2.0
"""Windows of pooling in the form in which the kernel reads them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from myoedge.ir import Array
from myoedge.ops.pool import Window

MOST = 127  # windows that are counted: the byte is the upper one of a signed number


def pack_windows(windows: Sequence[Window]) -> Array:
    """int16 [n, 3]: first, one past the last, and in two bytes divisor and windows alike from here.

    Divisors are numbered in ascending order, as `divisors_of` gives them.
    """
    kinds = divisors_of(windows)
    alike = [_alike(windows, i) for i in range(len(windows))]
    both = [kinds.index(w[2]) | n << 8 for w, n in zip(windows, alike, strict=True)]
    rows = [(w[0], w[1], n) for w, n in zip(windows, both, strict=True)]
    return np.array(rows, np.int16)


def divisors_of(windows: Sequence[Window]) -> list[int]:
    """The distinct divisors of an axis, ascending."""
    return sorted({w[2] for w in windows})


def _alike(windows: Sequence[Window], at: int) -> int:
    """Windows from `at` on of one size and divisor, at one distance from each other."""
    if at + 1 == len(windows):
        return 1
    first, step, n = windows[at], windows[at + 1][0] - windows[at][0], 1
    for i, window in enumerate(windows[at:]):
        if window != (first[0] + i * step, first[1] + i * step, first[2]):
            break
        n = i + 1
    return min(n, MOST)
