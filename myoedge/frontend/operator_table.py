# SPDX-License-Identifier: Apache-2.0
"""Queries of the import tables of all operator families; needs neither torch nor onnx.

The tables are made when this module is loaded: only after the plug-ins' operators are registered.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from myoedge.operators.base import OPS
from myoedge.operators.complex_numbers import pair_rows
from myoedge.operators.conv.transposed import conv_transpose
from myoedge.operators.import_rows import OnnxRow, Row, aten_calls, aten_names, onnx_calls
from myoedge.operators.layout.import_rows import NOTHING

# Each call is listed under the operator that does most of its work, or under "" if it needs none.
# Operators that only passes or settings add have no calls.
CALLS: Mapping[str, Mapping[str, Row]] = {**{op: {} for op in ("", *OPS)}, **aten_calls()}
KEEPS = frozenset(aten_names(NOTHING))
# Operators on integers (inputs or argmax results), and their calls.
ON_INTEGERS = frozenset(
    op for op, row in OPS.items() if row.is_data_movement or row.operands.are_indices
)
READS_INTEGERS = frozenset((*KEEPS, *(name for op in ON_INTEGERS for name in CALLS[op])))
IMPORT: Mapping[str, Row] = {
    **{name: row for rows in CALLS.values() for name, row in rows.items()},
    # refused by their rank
    **dict.fromkeys(aten_names("conv_transpose3d.input"), conv_transpose),
}
PAIRS: Mapping[str, Row] = pair_rows(IMPORT)  # calls that support complex tensors
INTEGER_CALLS: Mapping[str, Mapping[str, Row]] = aten_calls(integers=True)
OF_INTEGERS: Mapping[str, Row] = {  # calls that compute integers from integers
    name: row for rows in INTEGER_CALLS.values() for name, row in rows.items()
}

ONNX_CALLS: Mapping[str, Mapping[str, OnnxRow]] = onnx_calls()  # operator -> ONNX operator -> row

ONNX_READS_INTEGERS = frozenset(
    name for op in ("", *ON_INTEGERS) for name in ONNX_CALLS.get(op, ())
)
ONNX_IMPORT: Mapping[str, OnnxRow] = {
    name: row for rows in ONNX_CALLS.values() for name, row in rows.items()
}
ONNX_INTEGER_CALLS: Mapping[str, Mapping[str, OnnxRow]] = onnx_calls(integers=True)
ONNX_OF_INTEGERS: Mapping[str, OnnxRow] = {
    name: row for rows in ONNX_INTEGER_CALLS.values() for name, row in rows.items()
}


def calls_of(op: str) -> tuple[str, ...]:
    """Return the torch calls, without overloads, that are imported as an operator, sorted.

    op   name of the operator; "" for calls that need no operator
    """
    return _strip_overloads((*CALLS[op], *INTEGER_CALLS.get(op, ())))


def complex_calls() -> tuple[str, ...]:
    """Return the torch calls, without overloads, that support complex tensors, sorted."""
    return _strip_overloads(PAIRS)


def _strip_overloads(calls: Iterable[str]) -> tuple[str, ...]:
    names = {name.removeprefix("aten.").rpartition(".")[0] for name in calls}
    return tuple(sorted(name for name in names if not name.startswith("_")))


def onnx_of(op: str) -> tuple[str, ...]:
    """Return the ONNX operators that are imported as an operator, sorted.

    op   as for `calls_of`
    """
    return tuple(sorted({*ONNX_CALLS.get(op, ()), *ONNX_INTEGER_CALLS.get(op, ())}))
