# SPDX-License-Identifier: Apache-2.0
"""Long rows that a kernel written by hand computes, in place of the loop over their elements.

me_norm_row_b(x0, y, tile->extent[1], x2, &h6, v3);
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from myoedge.nest.c_arrays import CArray
from myoedge.nest.c_formula import FormulaText
from myoedge.nest.flat import FlatNest
from myoedge.nest.ir import Binary, Element, Expr, Number
from myoedge.nest.nodes import Assumed, CallResult

FROM = 32  # elements of a row: shorter ones are faster as a loop
NORM_CYCLES, CALL_CYCLES = 10.5, 25.0  # of an element and of a call, from me_norm_rows.S


@dataclass(frozen=True, eq=False, slots=True)
class NormRow:
    """A row y = clip((((x >> bits) * slope + start >> shift) * gain + offset) >> places).

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


def norm_row(flat: FlatNest, arrays: Sequence[CArray]) -> NormRow | None:
    """Return the only result as a normalised row; None if it is something else, or short."""
    found = None if flat.nest.more else _norm(flat.nest.value, np.dtype(flat.nest.out.dtype))
    if found is None or flat.loops[-1].extent < FROM:
        return None
    place = {id(part): (array, at) for array in arrays for part, at in array.read.parts}
    (x, _), (gain, first), (offset, second) = (
        place[id(part)] for part in (found.x, found.gain, found.offset)
    )
    moved = (x.moves, gain.moves, x.is_indexed, gain is offset, first, second)
    is_kept = place.get(id(found.places), (x, 0))[0] is not x
    return found if moved == (True, True, False, True, 0, 1) and is_kept else None


def _norm(value: Expr, kind: np.dtype) -> NormRow | None:
    limits = np.iinfo(kind)
    match value:
        case Binary("min", Binary("max", Binary(">>", acc, Element() as places), Number(low)), top):
            is_type = low == limits.min and isinstance(top, Number) and top.value == limits.max
            match acc:
                case Binary("+", Binary("*", Assumed(normal), gain), offset) if is_type:
                    return _on_line(normal, gain, offset, places)
    return None


def _on_line(normal: Expr, gain: Expr, offset: Expr, places: Expr) -> NormRow | None:
    match normal:
        case Binary(
            ">>",
            Binary(
                "int32 +",
                Binary("int32 *", own, CallResult(line, "slope")),
                CallResult(one, "start"),
            ),
            CallResult(other, "shift"),
        ) if line is one and line is other and isinstance(gain, Element):
            assert isinstance(offset, Element)
            match own:
                case Element():
                    return NormRow(own, None, line, gain, offset, places)
                case Assumed(Binary(">>", Element() as x, bits)):
                    return NormRow(x, bits, line, gain, offset, places)
    return None


def norm_call(
    row: NormRow, text: FormulaText, arrays: Sequence[CArray], count: str, y_type: str
) -> str:
    """Return the call for a row.

    text     what the row's elements have in common
    count    number of elements, in C
    y_type   NumPy's name of the result's type
    """
    place = {id(part): array for array in arrays for part, _ in array.read.parts}
    x, pairs = place[id(row.x)], place[id(row.gain)]
    kind = "b" if x.read.array.dtype == "int8" else "h"
    wide = "_s16" if y_type == "int16" else ""
    arguments = [x.name, "y", count, pairs.name, f"&{text.of(row.line)}", text.bare(row.places)]
    if kind == "h":
        arguments.append("0" if row.bits is None else text.bare(row.bits))
    return f"me_norm_row_{kind}{wide}({', '.join(arguments)});"
