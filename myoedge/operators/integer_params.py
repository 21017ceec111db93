# SPDX-License-Identifier: Apache-2.0
"""Integer constants of a quantised operator, which its kernel reads at run time."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, dataclass, fields
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from myoedge.nest.c_arrays import C_TYPES
from myoedge.numerics.arrays import Array
from myoedge.numerics.requant import Requant


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantizedParams:
    """The integer constants that a kernel reads at run time.

    Each family has its own subclass: scalars are fields of its C struct, arrays are its constants.
    None marks a constant that these operand types do not need.

    table   int8 [256] lookup table of a fused activation
    ranges  name -> smallest and largest number that any training of a network may have, if its
            name does not say so (numbers_as_data); None: the number decides what a formula is
    """

    ranges: ClassVar[Mapping[str, tuple[int, int] | None]] = {}

    table: Array | None = None

    @property
    def scalars(self) -> dict[str, int]:
        return {name: x for name, x in self._c_fields() if not isinstance(x, np.ndarray)}

    @property
    def arrays(self) -> dict[str, Array]:
        return {name: x for name, x in self._c_fields() if isinstance(x, np.ndarray)}

    def named(self, names: Iterable[str]) -> dict[str, Any]:
        """Return the fields with these names as a dict."""
        return {name: getattr(self, name) for name in names}

    def _c_fields(self) -> Iterator[tuple[str, Any]]:
        pairs = ((f.name, getattr(self, f.name)) for f in fields(self) if not f.metadata)
        return ((name, value) for name, value in pairs if value is not None)

    @classmethod
    def holds(cls, names: Iterable[str]) -> bool:
        """Return whether `names` are fields of this class and include all fields without a
        default."""
        has = {f.name: f.default is not MISSING or bool(f.metadata) for f in fields(cls)}
        return has.keys() >= {*names} >= {name for name, optional in has.items() if not optional}


@dataclass(frozen=True, kw_only=True)
class RequantParams(QuantizedParams):
    """Constants of an operator that requantises each accumulator once; the fields are those of
    `numerics.Requant`: pre-shift, multiplier, offset and shift."""

    pre: int
    mult: int | Array
    offset: int | Array
    shift: int | Array

    @cached_property
    def requant(self) -> Requant:
        return Requant(self.pre, *map(np.asarray, (self.mult, self.offset, self.shift)))


class Scaled:
    """Result of a formula's `quantize`.

    unit        real value of one unit of the formula's result, > 0
    constants   integer constants by name: numbers, or arrays of one dimension: one per channel, or
                a table that `lookup` reads; numbers that are no integers are rounded
    """

    def __init__(self, unit: float, **constants: float | Array) -> None:
        self.unit, self.constants = unit, constants


def is_unit(unit: Any) -> bool:
    """Return whether a value is a number above 0 that a float holds."""
    is_number = isinstance(unit, int | float | np.integer | np.floating)
    if not is_number or isinstance(unit, bool):
        return False
    is_short = not isinstance(unit, int) or unit.bit_length() < sys.float_info.max_exp
    return is_short and math.isfinite(unit) and bool(unit > 0)


def as_integers(value: Any) -> int | Array:
    """Return a checked constant, rounded to an int, or to an array of int8, int16 or int32."""
    values = np.asarray(value)
    if values.dtype.kind == "f":
        values = np.rint(values.astype(np.float64)).astype(np.int32)
    if values.ndim == 0:
        return int(values)
    kept = values.dtype.name in C_TYPES
    return values.astype(values.dtype.newbyteorder("=") if kept else np.int32, copy=False)
