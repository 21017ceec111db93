# SPDX-License-Identifier: Apache-2.0
"""Tiling of the multiplication by a number: tiles are blocks of whole rows, or parts of one row."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from myoedge.operators.base import QuantizedNode
from myoedge.operators.kernel import OUT, AffineExpr, Fields, Operand, Region, Sizes, TiledKernel
from myoedge.operators.products.packing import scale_fields, table_operand
from myoedge.targets.chip import Engine, KernelCost

NUMBERS = ("x_zero", "mult", "offset", "shift")


def in_tiles(step: QuantizedNode, engine: Engine) -> TiledKernel:
    """Return the tiled kernel for x and y [rows, width]; a tile is a block of rows, or part of a
    single row."""
    width = step.out[-1] if step.out else 1
    shape = (math.prod(step.out) // width, width)
    dims: tuple[AffineExpr, ...] = ((("row", 1),), (("column", 1),))
    x, y = (Operand(name, source, shape, dims) for name, source in (("x", 0), ("y", OUT)))

    def work(sizes: Sizes) -> Any:
        """Return the number of elements on the busiest core."""
        return np.ceil(sizes["row"] * sizes["column"] / engine.cores)

    return TiledKernel(
        function="me_TEMPLATE_s8",
        axes={"row": shape[0], "column": width},
        split=("row", "column"),
        operands=(x, *table_operand(step), y),
        op={**step.integers.named(NUMBERS), **scale_fields(step)},
        tile=_tile_fields,
        work=work,
        cost=KernelCost(10, 300, 400),
    )


def _tile_fields(regions: Mapping[str, Region]) -> Fields:
    return {"x": "@x", "y": "@y", "n": regions["y"].size}
