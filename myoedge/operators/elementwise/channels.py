# SPDX-License-Identifier: Apache-2.0
"""Tiling of pointwise operators with a factor or a lookup table per channel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from myoedge.nest.flat import Loop
from myoedge.numerics.arrays import Array, outer_inner
from myoedge.operators.base import QuantizedNode
from myoedge.operators.elementwise.tiling import axes_of
from myoedge.operators.kernel import (
    OUT,
    AffineExpr,
    Fields,
    Operand,
    Region,
    Sizes,
    TiledKernel,
    reach,
)
from myoedge.targets.chip import Engine

TABLE_NUMBERS = 64  # elements per channel from which on one table per channel pays off
WORDS_AROUND_ROW = 3  # overhead of a column or row, in words


def has_long_channels(step: QuantizedNode) -> bool:
    """Return whether one table per channel pays off: int8 channels with many elements."""
    outer, _, inner = outer_inner(step.out, step.attrs["axis"])
    return not step.has_int16 and outer * inner >= TABLE_NUMBERS


def in_tables(step: QuantizedNode, engine: Engine) -> TiledKernel:
    """Return the tiled kernel of a PReLU with a 256-entry table per channel, tiled on all axes."""
    outer, channels, inner = shape = outer_inner(step.out, step.attrs["axis"])
    axes, (inside,) = axes_of((Loop(inner, (1,)),))
    dims: tuple[AffineExpr, ...] = ((("o", 1),), (("c", 1),), inside)
    per_row = 0 if inner == 1 else WORDS_AROUND_ROW

    def work(sizes: Sizes) -> Any:
        """Return the words of four elements per core, plus the start of each channel or row."""
        rows = sizes["c"] * (1 if inner == 1 else sizes["o"])
        each = sizes["o"] if inner == 1 else np.minimum(inner, 1 + reach(inside, sizes))
        return rows * (each / 4 + per_row) / engine.cores + WORDS_AROUND_ROW

    return TiledKernel(
        function="me_tables_s8",
        axes={"o": outer, "c": channels, **axes},
        split=("o", "c", "i0"),
        operands=(
            Operand("x", 0, shape, dims),
            Operand("tables", "tables", (channels, 256), ((("c", 1),), ()), array=_tables(step)),
            Operand("y", OUT, shape, dims),
        ),
        op={},
        tile=lambda regions: {
            **rows_tile(regions),
            "channels": regions["x"].extent[1],
            "tables": "@tables",
        },
        work=work,
    )


def _tables(step: QuantizedNode) -> Array:
    """Return a lookup table per channel, [C, 256]: the results for every int8 value."""
    every = np.arange(-128, 128)
    columns = [*zip(*step.integers.named(("mult", "offset", "shift")).values(), strict=True)]
    rows = np.array([(every * m + o) >> s for m, o, s in np.array(columns, np.int64)])
    rows = np.where(every < step.integers.x_zero, rows[:-1], rows[-1])
    rows = np.clip(rows, step.low, step.high)
    return np.asarray(rows if step.table is None else step.table[rows + 128], np.int8)


def rows_tile(regions: Mapping[str, Region]) -> Fields:
    """Return the tile struct's fields for a kernel along the middle axis of [outer, axis,
    inner]."""
    outer, _, inner = regions["x"].extent
    return {"x": "@x", "y": "@y", "outer": outer, "inner": inner}
