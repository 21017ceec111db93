# SPDX-License-Identifier: Apache-2.0
"""Long rows that a kernel written by hand computes, in place of the loop over their elements.

me_norm_row_b(x0, y, tile->extent[1], x2, &h6, v3);
me_row_probabilities(x1, y, tile->extent[1], table0, h2, h6, h5 + 8);
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from myoedge.nest.c_arrays import CArray
from myoedge.nest.c_formula import FormulaText
from myoedge.nest.c_rows import FROM
from myoedge.nest.flat import FlatNest
from myoedge.nest.ir import Array, Binary, Call, Element, Expr, Lookup, Number, Reduced
from myoedge.nest.nodes import Assumed, CallResult

CALL_CYCLES = 25.0


@dataclass(frozen=True, eq=False, slots=True)
class NormRow:
    """A row y = clip((((x >> bits) * slope + start >> shift) * gain + offset) >> places).

    cycles         of an element, from me_norm_rows.S

    x              an element of the row
    bits           its right shift; None: 0
    line           the struct of slope, start and shift
    gain, offset   of a channel, side by side
    places         the last right shift
    """

    x: Element
    bits: Expr | None
    line: Expr
    gain: Element
    offset: Element
    places: Expr
    cycles: float = 10.5

    def call(self, text: FormulaText, arrays: Sequence[CArray], count: str, y_type: str) -> str:
        """Return the call for a row.

        text     what the row's elements have in common
        count    number of elements, in C
        y_type   NumPy's name of the result's type
        """
        place = {id(part): array for array in arrays for part, _ in array.read.parts}
        x, pairs = place[id(self.x)], place[id(self.gain)]
        kind = "b" if x.read.array.dtype == "int8" else "h"
        wide = "_s16" if y_type == "int16" else ""
        line, places = f"&{text.of(self.line)}", text.bare(self.places)
        arguments = [x.name, "y", count, pairs.name, line, places]
        if kind == "h":
            arguments.append("0" if self.bits is None else text.bare(self.bits))
        return f"me_norm_row_{kind}{wide}({', '.join(arguments)});"


@dataclass(frozen=True, eq=False, slots=True)
class SoftmaxRow:
    """A row y = min(me_probability(table[most - x], inverse, 1, shift), 255) - 128 of bytes.

    x              an element of the row
    cycles         of an element, from me_softmax_rows.S
    """

    x: Element
    table: Array
    most: Expr
    inverse: Expr
    shift: Expr
    cycles: float = 6.25

    def call(self, text: FormulaText, arrays: Sequence[CArray], count: str, y_type: str) -> str:
        """Return the call for a row; parameters as of NormRow.call."""
        (x,) = (x.name for x in arrays if any(part is self.x for part, _ in x.read.parts))
        table, values = text.parts.tables[id(self.table)], (self.most, self.inverse, self.shift)
        arguments = ", ".join([x, "y", count, table, *map(text.bare, values)])
        return f"me_row_probabilities({arguments});"


def row_kernel(flat: FlatNest, arrays: Sequence[CArray]) -> NormRow | SoftmaxRow | None:
    """Return the only result as a row that a kernel computes; None if there is none."""
    if flat.nest.more or flat.loops[-1].extent < FROM or flat.row is not None:
        return None
    return norm_row(flat, arrays) or softmax_row(flat, arrays)


def softmax_row(flat: FlatNest, arrays: Sequence[CArray]) -> SoftmaxRow | None:
    """Return the result as probabilities of bytes; None if it is something else."""
    match flat.nest.value:
        case Binary("min", Binary("+", Call(_, None, values) as call, Number(-128)), Number(127)):
            found = _row_of_values(values) if call.primitive.name == "me_probability" else None
        case _:
            found = None
    dense = [part for x in arrays if x.is_dense for part, _ in x.read.parts]
    is_row = flat.nest.out.dtype == "int8" and found is not None and found.x in dense
    return found if is_row else None


def _row_of_values(values: Sequence[Expr]) -> SoftmaxRow | None:
    match values:
        case (
            Lookup(table, Assumed(Binary("-", Reduced("max") as most, Element() as x))),
            Call() as inverse,
            Number(1),
            shift,
        ) if x.array.dtype == "int8":
            return SoftmaxRow(x, table, most, inverse, shift)
    return None


def norm_row(flat: FlatNest, arrays: Sequence[CArray]) -> NormRow | None:
    """Return the result as a normalised row; None if it is something else."""
    found = _norm_call(flat.nest.value, np.dtype(flat.nest.out.dtype))
    if found is None:
        return None
    place = {id(part): (array, at) for array in arrays for part, at in array.read.parts}
    (x, _), (gain, first), (offset, second) = (
        place[id(part)] for part in (found.x, found.gain, found.offset)
    )
    moved = (x.is_dense, gain.moves, gain is offset, first, second)
    is_kept = place.get(id(found.places), (x, 0))[0] is not x
    return found if moved == (True, True, True, 0, 1) and is_kept else None


def _norm_call(value: Expr, kind: np.dtype) -> NormRow | None:
    limits = np.iinfo(kind)
    match value:
        case Binary("min", Binary("max", Binary(">>", acc, Assumed(places)), Number(low)), top):
            is_type = low == limits.min and isinstance(top, Number) and top.value == limits.max
            match acc:
                case Binary("+", Binary("*", Assumed(normal), gain), offset) if is_type:
                    assert isinstance(places, Element)
                    return _line_call(normal, gain, offset, places)
    return None


def _line_call(normal: Expr, gain: Expr, offset: Expr, places: Expr) -> NormRow | None:
    match normal:
        case Binary(
            ">>",
            Binary(
                "int32 +",
                Binary("int32 *", own, CallResult(line, "slope")),
                CallResult(one, "start"),
            ),
            CallResult(other, "shift"),
        ) if (
            line is one
            and line is other
            and isinstance(gain, Element)
            and isinstance(offset, Element)
        ):
            match own:
                case Element():
                    return NormRow(own, None, line, gain, offset, places)
                case Assumed(Binary(">>", Element() as x, bits)):
                    return NormRow(x, bits, line, gain, offset, places)
    return None
