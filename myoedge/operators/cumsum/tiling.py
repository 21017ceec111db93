# SPDX-License-Identifier: Apache-2.0
"""Tiling of cumulative sums: whole signals per tile."""

from __future__ import annotations

from typing import Any

import numpy as np

from myoedge.numerics.arrays import outer_inner
from myoedge.operators.base import QuantizedNode
from myoedge.operators.elementwise.channels import rows_tile
from myoedge.operators.kernel import OUT, AffineExpr, Operand, Sizes, TiledKernel
from myoedge.operators.products.packing import scale_fields, table_operand
from myoedge.targets.chip import Engine


def in_tiles(step: QuantizedNode, engine: Engine) -> TiledKernel:
    """Return the tiled kernel for x and y [outer, n, inner]; tiles divide outer and inner, but
    never the summed axis n."""
    outer, n, inner = outer_inner(step.out, step.attrs["axis"])
    shape, dims = (outer, n, inner), tuple[AffineExpr, ...](((("o", 1),), (), (("i", 1),)))
    wide, is_wide = step.wide_flags("x", "y"), step.has_int16
    flags = {**wide, "drop": step.integers.drop} if is_wide else {}
    x, y = (
        Operand(name, source, shape, dims, itemsize=1 + wide[f"{name}_wide"])
        for name, source in (("x", 0), ("y", OUT))
    )

    def work(sizes: Sizes) -> Any:
        """Return the number of elements on the core with the most signals."""
        return np.ceil(sizes["o"] * sizes["i"] / engine.cores) * n

    return TiledKernel(
        function="me_cumsum_s16" if is_wide else "me_cumsum_s8",
        axes={"o": outer, "i": inner},
        split=("o", "i"),
        operands=(x, *table_operand(step), y),
        op={
            **flags,
            "n": n,
            **step.integers.named(("x_zero", "mult", "offset", "shift")),
            **scale_fields(step),
        },
        tile=rows_tile,
        work=work,
    )
