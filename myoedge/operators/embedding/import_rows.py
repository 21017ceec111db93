# SPDX-License-Identifier: Apache-2.0
"""Import of embeddings and one-hot vectors, and of comparisons and logic on integers."""

from __future__ import annotations

from typing import Any

import numpy as np

from myoedge.graph.ir import Shape
from myoedge.operators.graph_builder import GraphBuilder, transpose, weights
from myoedge.operators.import_rows import Arguments, ImportRow, first
from myoedge.operators.library.conditions import (
    compare,
    exclusive_or,
    logical,
    logical_not,
    rows_by,
)

BY_PRODUCT = "use F.one_hot(ids, len(table)).float() @ table for a table that is computed"


def embedding(d: GraphBuilder, a: Arguments, out: Any) -> str:
    """Import an embedding; the row padding_idx is read like any other, as it only affects
    gradients."""
    weights(d, a["weight"], "the table of an embedding", BY_PRODUCT)
    return rows_by(d, a["indices"], a["weight"])


def one_hot(d: GraphBuilder, a: Arguments, out: Shape) -> str:
    return rows_by(d, first(a), np.eye(out[-1]))


def one_hot_onnx(d: GraphBuilder, a: Arguments, out: Shape) -> str:
    """Import ONNX's OneHot with values [off, on].

    Ids -depth .. -1 count from the end; ids outside the depth give rows of only `off`.
    """
    depth, (off, on) = int(a["depth"].reshape(-1)[0]), a["values"].reshape(-1)
    table = np.full((2 * depth + 2, depth), off, np.float32)
    table[1:-1] = np.where(np.tile(np.eye(depth), (2, 1)) > 0, on, off)
    y = rows_by(d, a["indices"], table, first_id=-depth - 1, bounded=False)
    rank, axis = len(out), a["dim"] % len(out)
    return transpose(d, y, [*range(axis), rank - 1, *range(axis, rank - 1)])


CONDITIONS = ("lt", "le", "gt", "ge", "eq", "ne")
NAMES = {
    "lt": "less",
    "le": "less_equal",
    "gt": "greater",
    "ge": "greater_equal",
    "ne": "not_equal",
}
ONNX = {
    "lt": "Less", "le": "LessOrEqual", "gt": "Greater", "ge": "GreaterOrEqual", "eq": "Equal",
}  # fmt: skip
COMPARE = "embedding table integer_compare integer_compare_constant"
BITS = {"mul": ("and", "And"), "maximum": ("or", "Or")}


def comparison_row(name: str) -> ImportRow:
    torch_names = [name, *([NAMES[name]] if name in NAMES else [])]
    aten = " ".join(f"{each}.{kind}" for each in torch_names for kind in ("Scalar", "Tensor"))
    onnx = f"{ONNX[name]}(self, other)" if name in ONNX else ""
    return ImportRow(COMPARE, compare(name), aten, onnx)


OPERANDS = "Tensor", "Scalar"


def logical_row(op: str) -> ImportRow:
    word, onnx = BITS[op]
    aten = f"logical_{word} " + " ".join(f"bitwise_{word}.{x} __{word}__.{x}" for x in OPERANDS)
    return ImportRow(op, logical(op), aten, f"{onnx}(self, other)")


ROWS = (
    ImportRow("embedding", embedding, "embedding"),
    ImportRow("embedding", one_hot, "one_hot"),
    ImportRow(
        "embedding",
        one_hot_onnx,
        onnx="OneHot(indices, depth: array, values: array, *, dim: axis = -1)",
    ),
    *map(comparison_row, CONDITIONS),
    *map(logical_row, BITS),
    ImportRow("table", logical_not, "logical_not bitwise_not", "Not(self)"),
    ImportRow(
        "sub table",
        exclusive_or,
        "logical_xor bitwise_xor.Tensor __xor__.Tensor bitwise_xor.Scalar __xor__.Scalar",
        "Xor(self, other)",
    ),
)
