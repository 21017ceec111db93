# SPDX-License-Identifier: Apache-2.0
"""Tiling of tree ensembles over rows; large trees stay in L2, as a walk reads few nodes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from myoedge.operators.base import QuantizedNode
from myoedge.operators.kernel import OUT, Fields, Operand, Region, Sizes, TiledKernel
from myoedge.operators.products.packing import scale_fields, table_operand
from myoedge.operators.trees.packed import TreesParams
from myoedge.targets.chip import Engine

PARTS = 8  # parts of the trees with separate sums
L2_NODE = 3.0  # time of a node in L2, in nodes in L1
NODE_BYTES = 112  # bytes that the DMA moves to L1 in the time of one node there
L1_BYTES = 2**16  # maximum bytes of trees in L1


def in_tiles(step: QuantizedNode, engine: Engine) -> TiledKernel:
    """Return the tiled kernel of an ensemble of decision trees; tiles are rows of x [N, F] and y
    [N, K], and the cores share the trees of a row."""
    (n, features), results = step.shapes[0], step.out[1]
    row = (("row", 1),)
    x = Operand("x", 0, (n, features), (row, ()), itemsize=2)
    y = Operand("y", OUT, (n, results), (row, ()), itemsize=step.element_type.size_bytes)
    numbers = step.integers
    arrays = [
        Operand.whole(name, getattr(numbers, name))
        for name in ("nodes", "trees", "entries", "base")
    ]
    each = np.array([0, numbers.mult, numbers.offset, numbers.shift], np.int32)
    walked = math.ceil(len(numbers.trees) / engine.cores) * (3 + _depth(numbers))
    bytes_ = sum(array.shape[0] for array in arrays)
    in_l1 = bytes_ <= min(L1_BYTES, (L2_NODE - 1) * walked * n * NODE_BYTES)
    factor = 1.0 if in_l1 else L2_NODE

    def work(sizes: Sizes) -> Any:
        """Return the work units of the busiest core: visited nodes, and sums of partial results."""
        return sizes["row"] * (factor * walked + math.ceil(results / engine.cores) * PARTS / 4)

    return TiledKernel(
        function="me_trees_s16",
        axes={"row": n},
        split=("row",),
        operands=(x, Operand.whole("each", each), *table_operand(step), *arrays[: 4 * in_l1], y),
        l2_tables=() if in_l1 else tuple(arrays),
        op={
            "features": features,
            "results": results,
            "count": len(numbers.trees),
            **{array.name: f"@{array.name}" for array in arrays},
            "each": "@each",
            **scale_fields(step),
            "y_wide": step.wide_flags("x", "y")["y_wide"],
        },
        tile=_tile_fields,
        scratch=lambda sizes: PARTS * results * 4,
        work=work,
    )


def _depth(integers: TreesParams) -> float:
    """Return the average number of nodes on a walk, if trees are balanced."""
    return 2 + math.log2(len(integers.nodes) / len(integers.trees))


def _tile_fields(regions: Mapping[str, Region]) -> Fields:
    return {"x": "@x", "y": "@y", "sums": "@scratch", "rows": regions["y"].extent[0]}
