# SPDX-License-Identifier: Apache-2.0
"""Lookup of rows of a constant table by integers; indices out of range are clamped."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from myoedge.graph.ir import Attrs, Graph, Node, Shape
from myoedge.nest.formulas import broadcast_axes, clip
from myoedge.nest.ir import Lookup, Nest
from myoedge.nest.nodes import Taken
from myoedge.numerics.arrays import Array
from myoedge.numerics.element_type import INT32, ElementType
from myoedge.numerics.quant_params import quantize
from myoedge.operators import chains
from myoedge.operators.attributes import ANY_INTEGER, type_of_operand, whole
from myoedge.operators.base import OPS, QuantizedNode, QuantizedParams, QuantizeInputs, add_operator
from myoedge.operators.cases import Draw, DrawnUse
from myoedge.operators.described import nest_constant, operand, result
from myoedge.operators.format import EITHER, INTEGERS, Format
from myoedge.operators.kernel import (
    OUT,
    Fields,
    Operand,
    Region,
    TiledKernel,
    of_member,
    on_cluster,
)
from myoedge.operators.qdq import Write, Writer
from myoedge.operators.streaming_rule import StreamingRule
from myoedge.operators.traits import INTEGERS_16, Constants, Described, Learnt, Operands, Weights
from myoedge.targets.chip import Engine

L2_TIMES = 2.5  # time of a row from L2, in times of one from L1
L3_ROW_BYTES = 360  # start of an L3 transfer, as bytes that it would move meanwhile
MOST_TABLE_BYTES = 2048  # of a table in L1; rows of larger ones are read from L2 or L3
FETCHED_BYTES = 176  # longer rows are faster by DMA than by the cores
FETCH_BYTES = 700  # start of a DMA command, as bytes that it would move meanwhile


def in_tiles(step: QuantizedNode, engine: Engine) -> TiledKernel:
    """Return the tiled kernel: a generated function of ids and a table, which is in L1, or in L2 if
    it is large; for long rows of a large table, transfers."""
    count, rows = math.prod(step.shapes[0]), _table_row_bytes(step)
    width = rows.shape[1]
    if rows.nbytes <= MOST_TABLE_BYTES:
        return chains.in_tiles(step, engine)
    if width >= FETCHED_BYTES:
        return _tile_rows_by_dma(step, count, width, Operand.whole("table", rows))
    return replace(_tile_table_in_l2(step, engine), from_l3=_tile_table_in_l3(step, count, width))


def _tile_table_in_l2(step: QuantizedNode, engine: Engine) -> TiledKernel:
    """Return the generated function with its table in L2; tiles have whole rows."""
    made = chains.in_tiles(step, engine)
    (table,) = (x for x in made.operands if isinstance(x.source, str))
    assert table.array is not None
    whole = table.region({axis: (0, extent) for axis, extent in made.axes.items()})
    return replace(
        made,
        split=tuple(axis for axis in made.split if axis not in table.axes),
        operands=tuple(x for x in made.operands if x is not table),
        l2_tables=(Operand.whole(table.name, table.array),),
        tile=lambda regions: made.tile({**regions, table.name: whole}),
        work=lambda sizes: L2_TIMES * made.work(sizes),
    )


def _tile_rows_by_dma(step: QuantizedNode, count: int, width: int, table: Operand) -> TiledKernel:
    """Return the tiled kernel in which the control core loads rows from a table in L2 by DMA."""
    return TiledKernel(
        function="me_embedding_fetched_s8",
        axes={"id": count, "byte": width},
        split=("id", "byte"),
        operands=_row_operands(step, count, width),
        l2_tables=(table,),
        from_l3=_tile_table_in_l3(step, count, width),
        op={**_row_constants(step, width), "table": "@table", "fetch": "me_fetch"},
        tile=_tile_fields,
        work=lambda sizes: sizes["id"] * (sizes["byte"] + FETCH_BYTES),
        nine_cores=True,
    )


def _tile_table_in_l3(step: QuantizedNode, count: int, width: int) -> TiledKernel:
    """Return the tiled kernel in which the fabric controller loads rows from a table in L3."""
    rows = _table_row_bytes(step)
    return TiledKernel(
        function="me_embedding_l3_s8",
        axes={"id": count, "byte": width},
        split=(),
        operands=_row_operands(step, count, width),
        l3_tables=(Operand.whole("table", np.pad(rows, ((0, 0), (0, -rows.shape[1] % 4)))),),
        op={**_row_constants(step, width), "l3": "%table"},
        tile=lambda regions: {"ids": "@ids", "y": "@y", "n": count},
        work=lambda sizes: sizes["id"] * (sizes["byte"] + L3_ROW_BYTES),
        nine_cores=True,
        in_l2=True,
    )


def _row_operands(step: QuantizedNode, count: int, width: int) -> tuple[Operand, ...]:
    itemsize = ElementType.of(step.attrs["dtype"]).size_bytes
    return (
        Operand("ids", 0, (count,), ((("id", 1),),), itemsize=itemsize),
        Operand("y", OUT, (count, width), ((("id", 1),), (("byte", 1),))),
    )


def _row_constants(step: QuantizedNode, width: int) -> Fields:
    fields: Fields = {
        "first": step.attrs["first"],
        "last_row": len(step.integers.rows) - 1,
        "width": width,
        "bytes_per_id": ElementType.of(step.attrs["dtype"]).size_bytes,
    }
    return of_member("rows", fields)


def _table_row_bytes(step: QuantizedNode) -> Array:
    """Return the table rows as bytes, int8 [rows, bytes], of int8 or int16, lower byte first."""
    rows: Array = step.integers.rows
    flat = np.ascontiguousarray(rows.reshape(len(rows), -1))
    return flat.astype(flat.dtype.newbyteorder("<")).view(np.int8)


def _tile_fields(regions: Mapping[str, Region]) -> Fields:
    y = regions["y"]
    return {"ids": "@ids", "y": "@y", "n": y.extent[0], "start": y.start[1], "bytes": y.extent[1]}


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
    low, high = _accepted_integers(graph, name)
    return max(low, kind.low), min(high, kind.high)


def _accepted_integers(graph: Graph, name: str) -> tuple[int, int]:
    """Return the range (smallest, largest) of integers that all readers of a tensor accept."""
    low, high = INT32.low, INT32.high
    for node in graph.users.get(name, ()):
        limits = _integers_accepted_by(graph, node)
        low, high = max(low, limits[0]), min(high, limits[1])
    return low, high


# function -> (limits of the result low and high, a constant's least and most) -> limits of x
ACCEPTED: Mapping[str, Callable[[int, int, int, int], tuple[int, int]]] = {
    "add": lambda low, high, least, most: (low - most, high - least),
    "sub": lambda low, high, least, most: (low + least, high + most),
}


def _integers_accepted_by(graph: Graph, node: Node) -> tuple[int, int]:
    """Return the (smallest, largest) integer that one reader of a tensor accepts, traced through
    data movement and arithmetic with constants."""
    if node.op == "embedding" and node.attrs["rows"]:
        first = node.attrs["first"]
        return first, first + int(node.attrs["rows"]) - 1
    if node.op == "gather":
        n = graph.shape(node.inputs[0])[1]
        return -n, n - 1
    low, high = _accepted_integers(graph, node.name)
    if OPS[node.op].is_data_movement or (low, high) == (INT32.low, INT32.high):
        return low, high
    function, (least, most) = str(node.attrs.get("function")), node.attrs.get("span", (0, 0))
    if function in ACCEPTED and "span" in node.attrs:
        return ACCEPTED[function](low, high, least, most)
    if function == "mul" and least == most > 0:
        return -(-low // most), high // most
    return INT32.low, INT32.high


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


EMBEDDING = add_operator(
    name="embedding",
    attributes={"first": ANY_INTEGER, "rows": whole(0, INT32.high), "dtype": type_of_operand(0)},
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
    streaming_rule=lambda at: StreamingRule(at.axis) if at.operand == 0 else None,
)


def _write_embedding(w: Writer, step: QuantizedNode, ids: str) -> str:
    first, rows = step.attrs["first"], step.integers.rows
    row = w.node("Sub", w.cast(ids, "int64"), w.constant(np.array(first, np.int64)))
    limits = (w.constant(np.array(limit, np.int64)) for limit in (0, len(rows) - 1))
    params = w.params[step.node.name]
    table = w.node(
        "DequantizeLinear",
        w.constant(rows, f"{w.label}/rows"),
        w.constant(np.array(params.scale, np.float32)),
        w.constant(np.array(params.zero_point, rows.dtype)),
    )
    return w.node("Gather", table, w.node("Clip", row, *limits), axis=0)


WRITE: Mapping[str, Write] = {"embedding": _write_embedding}


ORACLE = "w0[(x0.long() - first).clamp(0, len(w0) - 1)]"


def embedding(d: Draw) -> DrawnUse:
    ids, width = d.shape(1, 3), d.pick([(), (1,), (3,), (16,), (2, 3), (70,), (200,)])
    rows, first = d.pick([2, 3, 17, 100]), d.pick([0, 0, 0, 2, -5])
    kind = d.pick(["int32", "int32", "uint8"])
    table = d.rng.normal(size=(rows, *width)) * d.pick([0.1, 1.0, 30.0])
    first = max(first, 0) if kind == "uint8" else first
    attrs = {"first": first, "rows": rows * d.flag(), "dtype": kind}
    common = d.common(1, act=False) | {"kinds": (kind,), "classes": rows + 3}
    return DrawnUse("embedding", attrs, (ids,), ORACLE, weights=(table,), **common)


CASES = {"embedding": embedding}
