# SPDX-License-Identifier: Apache-2.0
"""The import table of ATen: the rows of all families of operators."""

from __future__ import annotations

from collections.abc import Mapping

from myoedge.frontend.torch import arithmetic, compute
from myoedge.operators.base import OPS
from myoedge.operators.conv.import_rows import conv
from myoedge.operators.import_rows import AtenRow, aten_calls, calls, union
from myoedge.operators.layout.import_rows import NOTHING

# Under the operator that does a call's work, whatever else is put around it; under "" what leaves
# no operator; nothing under operators that passes or settings add.
CALLS: Mapping[str, Mapping[str, AtenRow]] = union(
    {op: {} for op in ("", *OPS)},
    aten_calls(),
    {
        "add": {
            **calls(arithmetic.masked_fill, "masked_fill.Scalar", "masked_fill.Tensor"),
            **calls(arithmetic.where, "where.self", "where.ScalarSelf", "where.ScalarOther"),
        },
        "attention": calls(compute.attention, "scaled_dot_product_attention"),
        "softmax": calls(compute.along("softmax"), "softmax.int", "_softmax"),
        "log_softmax": calls(compute.along("log_softmax"), "log_softmax.int", "_log_softmax"),
    },
)
KEEPS = frozenset(calls(conv, *NOTHING))
IMPORT: Mapping[str, AtenRow] = {
    **{name: row for rows in CALLS.values() for name, row in rows.items()},
    **calls(conv, "conv3d", "conv3d.padding"),  # only to be refused by its rank
}
