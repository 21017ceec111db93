# SPDX-License-Identifier: Apache-2.0
"""The import table of ATen: the rows of all families of operators."""

from __future__ import annotations

from collections.abc import Mapping

from myoedge.operators.base import OPS
from myoedge.operators.conv.import_rows import conv
from myoedge.operators.import_rows import Row, aten_calls, aten_names
from myoedge.operators.layout.import_rows import NOTHING

# Under the operator that does a call's work, whatever else is put around it; under "" what leaves
# no operator; nothing under operators that passes or settings add.
CALLS: Mapping[str, Mapping[str, Row]] = {**{op: {} for op in ("", *OPS)}, **aten_calls()}
KEEPS = frozenset(aten_names(NOTHING))
IMPORT: Mapping[str, Row] = {
    **{name: row for rows in CALLS.values() for name, row in rows.items()},
    **dict.fromkeys(aten_names("conv3d conv3d.padding"), conv),  # only to be refused by its rank
}
