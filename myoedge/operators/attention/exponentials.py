# SPDX-License-Identifier: Apache-2.0
"""Tables of exponentials of a score's distance below the row's largest score: 8-bit entries, or
12-bit entries in two bytes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from myoedge.graph.ir import Attrs
from myoedge.numerics.arrays import Array, round_up
from myoedge.numerics.fixed_point import INT32_MAX, MULT_MAX
from myoedge.operators.base import QuantizedNode

BYTE_BITS = 8
FINE_BITS = 12  # sums of 4,096 of them times bytes keep within int32
BEYOND = 36  # zeros after the last entry: cores read different ones, as banks of L1 serve one core


@dataclass(frozen=True)
class ExpTable:
    """Format of integer exponentials.

    one       exponential of a row's largest score
    entries   maximum number of entries before the first 0
    beyond    number of 0 entries after these that may be read
    """

    one: int
    entries: int
    beyond: int = 2

    @property
    def end(self) -> float:
        """Distance from which an exponential rounds to 0."""
        return math.log(2 * self.one)

    @property
    def is_fine(self) -> bool:
        return self.one > 255

    def units(self, unit: float) -> int:
        """Return the number of score steps, each of `unit`, between two entries of the table."""
        return max(math.ceil(self.end / self.entries / unit), 1)

    def first_zero(self, step: float) -> int:
        """Index of the first zero entry of the table, with this step between entries."""
        return math.ceil(self.end / step)

    def values(self, step: float) -> Array:
        """Entries int64 [entries + beyond] at distances `step` apart."""
        at = np.arange(float(self.entries + self.beyond))
        found = np.asarray(np.rint(self.one * np.exp(-step * at)), np.int64)
        found[self.first_zero(step) :] = 0  # what is a hair above half a step too
        return found

    def table(self, step: float) -> Array:
        """Return the table as uint8: the values, or all lower bytes followed by all upper bytes."""
        values = self.values(step)
        parts = (values & 255, values >> 8) if self.is_fine else (values,)
        return np.concatenate(parts).astype(np.uint8)


BYTES = ExpTable(255, 510)
FINE = ExpTable(2**FINE_BITS - 1, 4096 - BEYOND, BEYOND)


def exponentials_of(attrs: Attrs) -> ExpTable:
    """Return the format of exponentials for int8 operands, by a node's attributes."""
    return FINE if attrs.get("exp_bits") == FINE_BITS else BYTES


def looked_up(table: Array, entries: Array, *, is_fine: bool) -> Array:
    """Look up exponentials as int32 [...] in a table."""
    if not is_fine:
        return np.asarray(table.astype(np.int32).take(entries))
    lower, upper = table.astype(np.int32).reshape(2, -1)
    return np.asarray((lower + 256 * upper).take(entries))


def units_apart(numbers: Mapping[str, int], units: int) -> int:
    """Return the distance between entries for score differences above `most`; 0 if the product
    could overflow int32."""
    farthest = numbers["most"] + BEYOND * units
    return units if farthest * numbers["mult"] <= INT32_MAX else 0


def is_fine(step: QuantizedNode) -> bool:
    """Return whether exponentials have 12 bits and operands 8."""
    return getattr(step.integers, "units", None) is not None


def kernel_of(step: QuantizedNode, name: str) -> str:
    """Return the C function of a kernel for the step's exponential format."""
    return f"{name}_exp12_s8" if is_fine(step) else f"{name}_s8"


def row_bytes(keys: int, out_width: int, *, is_fine: bool) -> int:
    """Return the scratch bytes per row (me_attention_row_bytes): the upper bytes of 12-bit
    exponentials, then scores, which exponentials and sums of values overwrite."""
    filled = round_up(keys, 4)
    with_sums = filled + 4 * out_width * (1 + is_fine)
    return max(4 * filled, with_sums) + filled * is_fine


def distance_numbers(units: int, end: int, reach: int) -> dict[str, int]:
    """Return the numbers for entry = min(distance + half, most) * mult >> shift, for distances up
    to `reach`.

    units   score units between two entries; entry = distance / units, rounded
    end     the first entry that is 0
    """
    shift = min(13 + units.bit_length(), 31)
    while True:
        mult = max(min(round((1 << shift) / units), MULT_MAX), 1)
        most = min(-((-end << shift) // mult), reach + 2**20)
        if most * mult <= INT32_MAX:
            return {"half": min(units // 2, 2**20), "most": most, "mult": mult, "shift": shift}
        shift -= 1
