# SPDX-License-Identifier: Apache-2.0
"""Tiling of gathers: every tile reads x's whole axis."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from myoedge.numerics.element_type import ElementType
from myoedge.operators.base import QuantizedNode
from myoedge.operators.kernel import OUT, AffineExpr, Fields, Operand, Region, Sizes, TiledKernel
from myoedge.targets.chip import Engine

ROW = 40  # overhead of a row, in work units
EACH = 16  # work of an element that has its own index


def in_tiles(step: QuantizedNode, engine: Engine) -> TiledKernel:
    """Return the tiled kernel for x [o, N, i], ids [o or 1, k, i or 1] and y [o, k, i]."""
    shape, own = step.shapes[1], step.element_type.size_bytes
    outer, count, inner = (((name, 1),) for name in "oki")
    ids: tuple[AffineExpr, ...] = (
        outer if shape[0] > 1 else (),
        count,
        inner if shape[2] > 1 else (),
    )
    id_bytes = ElementType.of(step.attrs["dtype"]).size_bytes

    def work(sizes: Sizes) -> Any:
        """Return the work units of the busiest core: words, plus a constant per row."""
        rows = np.ceil(sizes["o"] * sizes["k"] / engine.cores)
        each = sizes["i"] * (EACH if shape[2] > 1 else own / 4)
        return rows * (ROW + each)

    return TiledKernel(
        function="me_gather_s8",
        axes=dict(zip("oki", step.out, strict=True)),
        split=("o", "k", "i"),
        operands=(
            Operand("x", 0, step.shapes[0], (outer, (), inner), itemsize=own),
            Operand("ids", 1, shape, ids, itemsize=id_bytes),
            Operand("y", OUT, step.out, (outer, count, inner), itemsize=own),
        ),
        op={"bytes_per_id": id_bytes, "itemsize": own},
        tile=_tile_fields,
        work=work,
    )


def _tile_fields(regions: Mapping[str, Region]) -> Fields:
    (outer, n, inner), ids = regions["x"].extent, regions["ids"].extent
    numbers = {"outer": outer, "n": n, "inner": inner, "count": ids[1]}
    return {"x": "@x", "ids": "@ids", "y": "@y", **numbers, "sets": ids[0], "width": ids[2]}
