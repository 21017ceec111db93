# SPDX-License-Identifier: Apache-2.0
"""Operands of attention: the keys that each row attends to, and lookup tables of exp(-d), with d
the distance of a score from the row's maximum: entries of 8 or 12 bits."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from myoedge.graph.ir import Attrs, Shape
from myoedge.numerics.arrays import Array, round_up
from myoedge.numerics.requant import INT32_MAX, MULT_MAX
from myoedge.operators.base import QuantizedNode
from myoedge.operators.kernel import AffineExpr

BYTE_BITS = 8
FINE_BITS = 12  # sums of 4,096 exponentials times int8 values fit int32
BEYOND = 36  # zeros past the last entry; cores read different ones, to avoid bank conflicts


@dataclass(frozen=True)
class ExpTable:
    """Number format of a table of exp(-d), with d >= 0 the distance of a score from its row's
    maximum.

    one       integer that represents exp(0) = 1
    entries   maximum number of nonzero entries
    beyond    number of zero entries after them, which kernels may read
    """

    one: int
    entries: int
    beyond: int = 2

    @property
    def end(self) -> float:
        """Distance d at which one * exp(-d) falls to 1/2, so that the rounded entry is 0."""
        return math.log(2 * self.one)

    @property
    def is_fine(self) -> bool:
        return self.one > 255

    def units(self, unit: float) -> int:
        """Return the number of score steps between two table entries, at least 1.

        unit   size of a score step, as a real number
        """
        return max(math.ceil(self.end / self.entries / unit), 1)

    def first_zero(self, step: float) -> int:
        """Return the index of the first zero entry.

        step   distance d between two entries, as a real number
        """
        return math.ceil(self.end / step)

    def values(self, step: float) -> Array:
        """Return round(one * exp(-i * step)) for i = 0 .. entries + beyond - 1, as int64."""
        at = np.arange(float(self.entries + self.beyond))
        found = np.asarray(np.rint(self.one * np.exp(-step * at)), np.int64)
        found[self.first_zero(step) :] = 0  # also if the entry is slightly above half a step
        return found

    def table(self, step: float) -> Array:
        """Return the table as the kernels read it, uint8: 8-bit entries, or for 12-bit entries all
        lower bytes, then all upper bytes.

        step   distance d between two entries, as a real number
        """
        values = self.values(step)
        parts = (values & 255, values >> 8) if self.is_fine else (values,)
        return np.concatenate(parts).astype(np.uint8)


BYTES = ExpTable(255, 510)
FINE = ExpTable(2**FINE_BITS - 1, 4096 - BEYOND, BEYOND)


def exponentials_of(attrs: Attrs) -> ExpTable:
    """Return the format of the exponential table for int8 operands: 12-bit entries if
    attrs["exp_bits"] is 12, otherwise 8-bit."""
    return FINE if attrs.get("exp_bits") == FINE_BITS else BYTES


def looked_up(table: Array, entries: Array, *, is_fine: bool) -> Array:
    """Return the exponentials at table indices `entries`, int32 of the same shape.

    table     uint8, as ExpTable.table returns it
    is_fine   whether entries have 12 bits
    """
    if not is_fine:
        return np.asarray(table.astype(np.int32).take(entries))
    lower, upper = table.astype(np.int32).reshape(2, -1)
    return np.asarray((lower + 256 * upper).take(entries))


def units_apart(numbers: Mapping[str, int], units: int) -> int:
    """Return `units` if int32 products suffice for table indices of distances beyond `most`;
    otherwise 0.

    numbers   result of `distance_numbers`
    units     score steps between table entries
    """
    farthest = numbers["most"] + BEYOND * units
    return units if farthest * numbers["mult"] <= INT32_MAX else 0


def is_fine(step: QuantizedNode) -> bool:
    """Return whether the layer has int8 operands and 12-bit exponentials."""
    return getattr(step.integers, "units", None) is not None


def kernel_of(step: QuantizedNode, name: str) -> str:
    """Return the name of the C function for the layer's exponentials: `name`_exp12_s8 for 12-bit
    ones, otherwise `name`_s8."""
    return f"{name}_exp12_s8" if is_fine(step) else f"{name}_s8"


def row_bytes(keys: int, out_width: int, *, is_fine: bool) -> int:
    """Return the scratch bytes per row of scores, equal to C's me_attention_row_bytes.

    A row holds the upper bytes of 12-bit exponentials, then int32 scores, which exponentials and
    weighted sums of values later overwrite.
    keys        number of keys
    out_width   number of features per value
    is_fine     whether exponentials have 12 bits
    """
    filled = round_up(keys, 4)
    with_sums = filled + 4 * out_width * (1 + is_fine)
    return max(4 * filled, with_sums) + filled * is_fine


def distance_numbers(units: int, end: int, reach: int) -> dict[str, int]:
    """Return the integers `half`, `mult`, `shift` and `most` with which a kernel computes the table
    index round(distance / units) as min(distance + half, most) * mult >> shift.

    units   score steps between two entries
    end     index of the first zero entry
    reach   largest distance that occurs, in score steps
    """
    shift = min(13 + units.bit_length(), 31)
    while True:
        mult = max(min(round((1 << shift) / units), MULT_MAX), 1)
        most = min(-((-end << shift) // mult), reach + 2**20)
        if most * mult <= INT32_MAX:
            return {"half": min(units // 2, 2**20), "most": most, "mult": mult, "shift": shift}
        shift -= 1


def broadcast_dims(shape: Shape, *lead: AffineExpr) -> tuple[AffineExpr, ...]:
    """Return the index expressions of a bias or mask along batch and heads; () along an axis of
    size 1, which is broadcast.

    shape   shape of the bias or mask
    lead    index expressions of the loops over batch and heads
    """
    return tuple(dim if n > 1 else () for n, dim in zip(shape, lead, strict=False))


def added(attrs: Attrs, shapes: Sequence[Shape]) -> dict[str, int]:
    """Return name -> position of the optional operands: {"bias": 3, "mask": 4} for both."""
    count, masked = len(shapes), bool(attrs.get("masked"))
    return ({"bias": 3} if count - masked > 3 else {}) | ({"mask": count - 1} if masked else {})


def seen(attrs: Attrs, rows: int, keys: int) -> tuple[Array, Array]:
    """Return the half-open interval of keys that each row attends to, as two int64 arrays [rows]:
    first key and end.

    attrs["window"]   (before, after): row i attends to keys i - before .. i + after; None: to all
                      keys
    """
    at = np.arange(rows)
    before, after = attrs["window"] or (rows + keys, rows + keys)
    return np.maximum(at - before, 0), np.minimum(at + after + 1, keys)


def in_window(attrs: Attrs, rows: int, keys: int) -> Array:
    """Return the window as a bool mask [rows, keys]: whether the row attends to the key."""
    first, end = seen(attrs, rows, keys)
    at = np.arange(keys)
    return np.asarray((at >= first[:, None]) & (at < end[:, None]))


def sizes_of(step: QuantizedNode) -> dict[str, Any]:
    """Return the sizes of an attention layer, by field name of its C struct."""
    (b, n, h, d), (_, m, _, _), v = step.shapes[:3]
    before, after = step.attrs["window"] or (n + m, n + m)
    sizes = {"batch": b, "rows": n, "heads": h, "width": d, "keys": m, "out_width": v[2]}
    return {
        **sizes,
        "v_row": v[3],
        "before": before,
        "after": after,
        "flat": int(bool(step.attrs.get("flat"))),
    }
