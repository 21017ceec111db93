# SPDX-License-Identifier: Apache-2.0
"""Tiling of row lookups over indices and parts of rows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from myoedge.numerics.arrays import Array
from myoedge.numerics.element_type import ElementType
from myoedge.operators.base import QuantizedNode
from myoedge.operators.kernel import OUT, Fields, Operand, Region, Sizes, TiledKernel
from myoedge.targets.chip import Engine

L1_TABLE_BYTES = 2048  # larger tables are not copied to L1: their rows are read from L2
L3_ROW_BYTES = 360  # start of an L3 transfer, as bytes that it would move meanwhile
FETCHED_BYTES = 160  # longer rows are faster by DMA than by the cores
FETCH_BYTES = 700  # start of a DMA command, as bytes that it would move meanwhile
ROW_BYTES = 24  # start of a row, as bytes that a core would copy meanwhile
L2_BYTE = 4.0  # bytes read from an L1 table in the time of one byte from L2
BYTE_BYTES = 8  # work of a one-byte row, in bytes


def in_tiles(step: QuantizedNode, engine: Engine) -> TiledKernel:
    """Return the tiled kernel for ids [n] and results y [n, bytes of a row]; the table is not tiled
    and is in L1 or L2."""
    count, rows = math.prod(step.shapes[0]), _bytes_of_rows(step)
    width = rows.shape[1]
    table = Operand.whole("table", rows)
    in_l1 = rows.nbytes <= L1_TABLE_BYTES
    if not in_l1 and width >= FETCHED_BYTES:
        return _fetched(step, count, width, table)

    def work(sizes: Sizes) -> Any:
        """Return the work units of the busiest core: bytes, plus a constant per row."""
        each = np.ceil(sizes["id"] * sizes["byte"] / engine.cores)
        found = each + (ROW_BYTES if width > 1 else BYTE_BYTES) * np.ceil(each / sizes["byte"])
        return found * (1.0 if in_l1 else L2_BYTE)

    return TiledKernel(
        function="me_embedding_s8",
        axes={"id": count, "byte": width},
        split=("id", "byte"),
        operands=_operands(step, count, width, (table,) if in_l1 else ()),
        l2_tables=() if in_l1 else (table,),
        from_l3=None if in_l1 else _from_l3(step, count, width),
        op={**_numbers(step, width), "table": "@table"},
        tile=_tile_fields,
        work=work,
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


def _operands(
    step: QuantizedNode, count: int, width: int, table: tuple[Operand, ...] = ()
) -> tuple[Operand, ...]:
    itemsize = ElementType.of(step.attrs["dtype"]).size_bytes
    return (
        Operand("ids", 0, (count,), ((("id", 1),),), itemsize=itemsize),
        *table,
        Operand("y", OUT, (count, width), ((("id", 1),), (("byte", 1),))),
    )


def _numbers(step: QuantizedNode, width: int) -> Fields:
    return {
        "first": step.attrs["first"],
        "last_row": len(step.integers.rows) - 1,
        "width": width,
        "bytes_per_id": ElementType.of(step.attrs["dtype"]).size_bytes,
    }


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
