# SPDX-License-Identifier: Apache-2.0
"""A tensor times a factor per channel, in tiles of whole rows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from myoedge.operators.base import QuantizedNode
from myoedge.operators.kernel import OUT, AffineExpr, Fields, Operand, Region, Sizes, TiledKernel
from myoedge.operators.products.packing import scale_fields, table_operand
from myoedge.targets.chip import Engine, KernelCost

FOLDER = Path(__file__).parent
FILES = ("me_gains.h", "me_gains_s8.c", "me_gains_s16.c")
NUMBERS = ("x_zero", "mult", "offset", "shift")


def in_tiles(step: QuantizedNode, engine: Engine) -> TiledKernel:
    return _rows(step, engine, "me_gains_s8", {})


def wide_in_tiles(step: QuantizedNode, engine: Engine) -> TiledKernel:
    return _rows(step, engine, "me_gains_s16", step.wide_flags("x", "y"))


def _rows(step: QuantizedNode, engine: Engine, function: str, flags: Fields) -> TiledKernel:
    """x, y [rows, C]; all tiles read the same gains."""
    channels = step.out[-1]
    shape = (math.prod(step.out) // channels, channels)
    dims: tuple[AffineExpr, ...] = ((("row", 1),), (("column", 1),))
    x = Operand("x", 0, shape, dims, itemsize=step.read_type(0).size_bytes)
    y = Operand("y", OUT, shape, dims, itemsize=step.element_type.size_bytes)
    gain = Operand.whole("gain", step.integers.gain)

    def work(sizes: Sizes) -> Any:
        """Elements of the core that has most."""
        return np.ceil(sizes["row"] / engine.cores) * sizes["column"]

    return TiledKernel(
        function=function,
        axes={"row": shape[0], "column": channels},
        split=("row",),
        operands=(x, gain, *table_operand(step), y),
        op={**flags, **step.integers.named(NUMBERS), "channels": channels, **scale_fields(step)},
        tile=_tile_fields,
        work=work,
        sources={name: (FOLDER / name).read_text() for name in FILES},
        cost=KernelCost(10, 300, 400),
    )


def _tile_fields(regions: Mapping[str, Region]) -> Fields:
    return {"x": "@x", "gain": "@gain", "y": "@y", "rows": regions["y"].extent[0]}
