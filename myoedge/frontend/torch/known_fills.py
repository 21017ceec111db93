# SPDX-License-Identifier: Apache-2.0
"""ATen calls that make new tensors, with their values; read without torch."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from myoedge.frontend.torch.known_calls import CallTable, Given, empty, fitting, require
from myoedge.numerics.arrays import Array

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
    signatures = (
        f"{name}(size, {NEW})",
        f"new_{name}(self, size, {NEW})",
        f"{name}_like(self, {LIKE})",
    )
    FILLS.state(signatures, partial(new, value), partial(new, value))


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
