# SPDX-License-Identifier: Apache-2.0
"""Integer element types of tensors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, slots=True)
class ElementType:
    """Two's complement integers of 8, 16, 32 or 64 bits.

    low, high    smallest and largest value
    size_bytes   bytes of an element in memory
    """

    bits: int
    signed: bool = True

    def __str__(self) -> str:
        return f"{'' if self.signed else 'u'}int{self.bits}"

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(str(self))

    @property
    def low(self) -> int:
        return -(1 << (self.bits - 1)) if self.signed else 0

    @property
    def high(self) -> int:
        return (1 << (self.bits - self.signed)) - 1

    @property
    def size_bytes(self) -> int:
        return self.bits // 8

    @staticmethod
    def of(dtype: Any) -> ElementType:
        """Return the element type of a NumPy integer dtype or its name. Errors: ValueError for
        others."""
        found = np.dtype(dtype)
        if found.kind not in "iu":
            raise ValueError(f"{found} is no integer type")
        return ElementType(8 * found.itemsize, found.kind == "i")


INT8, INT16, INT32, INT64 = (ElementType(bits) for bits in (8, 16, 32, 64))
