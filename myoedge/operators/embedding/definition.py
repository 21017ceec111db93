# SPDX-License-Identifier: Apache-2.0
"""Lookup of rows of a constant table by integers; indices out of range are clamped."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from myoedge.graph.ir import Attrs, Graph, Node, Shape
from myoedge.nest.formulas import broadcast_axes, clip
from myoedge.nest.ir import Lookup, Nest
from myoedge.nest.taken import Taken
from myoedge.numerics.arrays import Array
from myoedge.numerics.element_type import INT32, ElementType
from myoedge.numerics.quant_params import quantize
from myoedge.operators.attributes import ANY_INTEGER, type_of_operand, whole
from myoedge.operators.base import (
    OPS,
    OpDef,
    QuantizedNode,
    QuantizedParams,
    QuantizeInputs,
    register,
)
from myoedge.operators.described import nest_constant, operand, result
from myoedge.operators.embedding.tiling import in_tiles
from myoedge.operators.format import EITHER, INTEGERS, Format
from myoedge.operators.kernel import on_cluster
from myoedge.operators.learnt import INTEGERS_16, Learnt
from myoedge.operators.streaming_rule import OperandAxis, StreamingRule
from myoedge.operators.traits import Constants, Described, Operands, Weights


def shape(attrs: Attrs, ids: Shape, table: Shape) -> Shape:
    return (*ids, *table[1:])


def rows_of(attrs: Attrs, ids: Array, table: Array) -> Array:
    """Look up rows: table[ids - attrs["first"]] with clamped indices, ids [...], table [rows, *row]
    -> [..., *row].

    attrs["rows"]   number of valid values of an input integer; 0: any integer is valid
    """
    return np.asarray(table[np.clip(ids.astype(np.int64) - attrs["first"], 0, len(table) - 1)])


def table_range(graph: Graph) -> dict[str, tuple[float, float]]:
    """Return embedding -> output range: the range of its whole table, whatever the samples."""
    nodes = [node for node in graph.nodes if node.op == "embedding"]
    tables = {node.name: graph.array(node.inputs[1]) for node in nodes}
    return {name: (float(x.min()), float(x.max())) for name, x in tables.items()}


def id_limits(graph: Graph, name: str) -> tuple[int, int] | None:
    """Return the smallest and the largest value of an integer input that all its readers support;
    None for a float input.

    Comparisons accept any integer of the input's type. quantization/computed_ids.py has the limits
    of integers computed from several inputs.
    """
    if graph.tensors[name].dtype == "float32":
        return None
    kind = ElementType.of(graph.tensors[name].dtype)
    low, high = _asked_for(graph, name)
    return max(low, kind.low), min(high, kind.high)


def _asked_for(graph: Graph, name: str) -> tuple[int, int]:
    """Return the range (smallest, largest) of integers that all readers of a tensor accept."""
    low, high = INT32.low, INT32.high
    for node in graph.users.get(name, ()):
        limits = _limits_before(graph, node)
        low, high = max(low, limits[0]), min(high, limits[1])
    return low, high


def _limits_before(graph: Graph, node: Node) -> tuple[int, int]:
    """Return the (smallest, largest) integer that one reader of a tensor accepts, traced through
    data movement and arithmetic with constants."""
    if node.op == "embedding" and node.attrs["rows"]:
        first = node.attrs["first"]
        return first, first + int(node.attrs["rows"]) - 1
    if node.op == "gather":
        n = graph.shape(node.inputs[0])[1]
        return -n, n - 1
    low, high = _asked_for(graph, node.name)
    if OPS[node.op].is_data_movement or (low, high) == (INT32.low, INT32.high):
        return low, high
    function, (least, most) = node.attrs.get("function"), node.attrs.get("span", (0, 0))
    if function in ("add", "sub") and "span" in node.attrs:
        return (low - most, high - least) if function == "add" else (low + least, high + most)
    if function == "mul" and least == most > 0:
        return -(-low // most), high // most
    return INT32.low, INT32.high


def embedding_streaming_rule(at: OperandAxis) -> StreamingRule | None:
    return StreamingRule(at.axis) if at.operand == 0 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingParams(QuantizedParams):
    """Integer constants of an embedding.

    rows   the quantised table [rows, *row], int8 or int16
    """

    rows: Array


def integer_rows(inputs: QuantizeInputs) -> QuantizedParams:
    return EmbeddingParams(rows=quantize(inputs.constant(1), inputs.target))


def integer(step: QuantizedNode, ids: Array) -> Array:
    """Return the table rows selected by ids, int32 or uint8 [...] -> int8 or int16 [..., *row]."""
    return rows_of(step.attrs, ids, step.integers.rows)


def nest(step: QuantizedNode) -> Nest:
    """Describe the lookup of rows: a function of integers if they are of one element."""
    axes, ids, rows = broadcast_axes(step.out), operand(step, 0), step.integers.rows
    table = replace(nest_constant("rows", rows), varies=True)
    first, count = step.attrs["first"], len(step.shapes[0])
    low, high = (min(max(x, INT32.low), INT32.high) for x in (first, first + len(rows) - 1))
    at = clip(ids[axes[:count]], low, high) - first
    is_function = rows.size == len(rows)
    column = replace(table, shape=rows.shape[:1], values=rows.reshape(-1))
    value = Lookup(column, at) if is_function else Taken(table[(0, *axes[count:])], 0, at)
    return Nest(axes, (ids,), result(step), tuple(axis.at for axis in axes), value)


EMBEDDING = register(
    OpDef(
        name="embedding",
        attributes={
            "first": ANY_INTEGER,
            "rows": whole(0, INT32.high),
            "dtype": type_of_operand(0),
        },
        doc="rows of a constant table by integers: token embeddings, one-hot, comparisons of "
        "integers with a number",
        shape=shape,
        real=rows_of,
        integer=Described(nest, integer),
        constants=Constants(
            integer_rows, kinds=(EmbeddingParams,), learnt=Learnt({"rows": INTEGERS_16})
        ),
        kernels=on_cluster(in_tiles, Format((INTEGERS,), EITHER)),
        weights=Weights((1,)),
        operands=Operands(are_indices=True),
        streaming_rule=embedding_streaming_rule,
    )
)
