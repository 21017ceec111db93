# SPDX-License-Identifier: Apache-2.0
"""Tiling of row lookups over indices and parts of rows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from myoedge.numerics.arrays import Array
from myoedge.numerics.element_type import ElementType
from myoedge.operators import chains
from myoedge.operators.base import QuantizedNode
from myoedge.operators.kernel import OUT, Fields, Operand, Region, TiledKernel, of_member
from myoedge.targets.chip import Engine

L2_TIMES = 2.5  # time of a row from L2, in times of one from L1
L3_ROW_BYTES = 360  # start of an L3 transfer, as bytes that it would move meanwhile
MOST_TABLE_BYTES = 2048  # of a table in L1; rows of larger ones are read from L2 or L3
FETCHED_BYTES = 176  # longer rows are faster by DMA than by the cores
FETCH_BYTES = 700  # start of a DMA command, as bytes that it would move meanwhile


def in_tiles(step: QuantizedNode, engine: Engine) -> TiledKernel:
    """Return the tiled kernel: a generated function of ids and a table, which is in L1, or in L2 if
    it is large; for long rows of a large table, transfers."""
    count, rows = math.prod(step.shapes[0]), _bytes_of_rows(step)
    width = rows.shape[1]
    if rows.nbytes <= MOST_TABLE_BYTES:
        return chains.in_tiles(step, engine)
    if width >= FETCHED_BYTES:
        return _fetched(step, count, width, Operand.whole("table", rows))
    return replace(_in_l2(step, engine), from_l3=_from_l3(step, count, width))


def _in_l2(step: QuantizedNode, engine: Engine) -> TiledKernel:
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


def _fetched(step: QuantizedNode, count: int, width: int, table: Operand) -> TiledKernel:
    """Return the tiled kernel in which the control core loads rows from a table in L2 by DMA."""
    return TiledKernel(
        function="me_embedding_fetched_s8",
        axes={"id": count, "byte": width},
        split=("id", "byte"),
        operands=_operands(step, count, width),
        l2_tables=(table,),
        from_l3=_from_l3(step, count, width),
        op={**_numbers(step, width), "table": "@table", "fetch": "me_fetch"},
        tile=_tile_fields,
        work=lambda sizes: sizes["id"] * (sizes["byte"] + FETCH_BYTES),
        nine_cores=True,
    )


def _from_l3(step: QuantizedNode, count: int, width: int) -> TiledKernel:
    """Return the tiled kernel in which the fabric controller loads rows from a table in L3."""
    return TiledKernel(
        function="me_embedding_l3_s8",
        axes={"id": count, "byte": width},
        split=(),
        operands=_operands(step, count, width),
        l3_tables=(_padded_rows(_bytes_of_rows(step)),),
        op={**_numbers(step, width), "l3": "%table"},
        tile=lambda regions: {"ids": "@ids", "y": "@y", "n": count},
        work=lambda sizes: sizes["id"] * (sizes["byte"] + L3_ROW_BYTES),
        nine_cores=True,
        in_l2=True,
    )


def _operands(step: QuantizedNode, count: int, width: int) -> tuple[Operand, ...]:
    itemsize = ElementType.of(step.attrs["dtype"]).size_bytes
    return (
        Operand("ids", 0, (count,), ((("id", 1),),), itemsize=itemsize),
        Operand("y", OUT, (count, width), ((("id", 1),), (("byte", 1),))),
    )


def _numbers(step: QuantizedNode, width: int) -> Fields:
    fields: Fields = {
        "first": step.attrs["first"],
        "last_row": len(step.integers.rows) - 1,
        "width": width,
        "bytes_per_id": ElementType.of(step.attrs["dtype"]).size_bytes,
    }
    return of_member("rows", fields)


def _bytes_of_rows(step: QuantizedNode) -> Array:
    """Return the table rows as bytes, int8 [rows, bytes], of int8 or int16, lower byte first."""
    rows: Array = step.integers.rows
    flat = np.ascontiguousarray(rows.reshape(len(rows), -1))
    return flat.astype(flat.dtype.newbyteorder("<")).view(np.int8)


def _padded_rows(rows: Array) -> Operand:
    """Return the table's rows, padded to whole words as L3 transfers need."""
    return Operand.whole("table", np.pad(rows, ((0, 0), (0, -rows.shape[1] % 4))))


def _tile_fields(regions: Mapping[str, Region]) -> Fields:
    y = regions["y"]
    return {
        "ids": "@ids",
        "y": "@y",
        "n": y.extent[0],
        "start": y.start[1],
        "bytes": y.extent[1],
    }
