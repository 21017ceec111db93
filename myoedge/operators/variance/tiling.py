# SPDX-License-Identifier: Apache-2.0
"""Tiling of sums of squares: each tile has whole signals."""

from __future__ import annotations

from typing import Any

import numpy as np

from myoedge.nest.flat import Loop
from myoedge.operators.base import QuantizedNode
from myoedge.operators.elementwise.channels import rows_tile
from myoedge.operators.elementwise.tiling import axes_of
from myoedge.operators.kernel import OUT, AffineExpr, Operand, Sizes, TiledKernel
from myoedge.operators.pool import reduce
from myoedge.operators.products.packing import scale_fields, table_operand
from myoedge.targets.chip import Engine

ROOT, WIDE_ROOT = 80, 9  # time per result, in elements


def in_tiles(step: QuantizedNode, engine: Engine) -> TiledKernel:
    """Return the tiled kernel of a variance or mean square; tiles divide the axes before and after
    the reduced ones."""
    outer, reduced, inner = reduce.split(step.attrs, step.shapes[0])
    axes, (inside,) = axes_of((Loop(inner, (1,)),))
    around: AffineExpr = (("o", 1),)
    is_wide = step.has_int16
    y = Operand("y", OUT, (outer, inner), (around, inside), itemsize=step.element_type.size_bytes)

    def work(sizes: Sizes) -> Any:
        """Return the work of the busiest core in elements; four int8 elements in one word count
        once."""
        each = reduced / 4 if inner == 1 and not is_wide else reduced
        results = np.ceil(y.footprint(sizes) / y.itemsize / engine.cores)
        return results * (each + (WIDE_ROOT if is_wide else ROOT))

    return TiledKernel(
        function="me_variance_s16" if is_wide else "me_variance_s8",
        axes={"o": outer, **axes},
        split=("o", "i0"),
        operands=(
            Operand(
                "x",
                0,
                (outer, reduced, inner),
                (around, (), inside),
                itemsize=step.read_type(0).size_bytes,
            ),
            *table_operand(step),
            y,
        ),
        op={
            **(step.wide_flags("x", "y") if is_wide else {}),
            "reduced": reduced,
            "centred": int(step.attrs["centred"]),
            "root": int(step.attrs["root"]),
            **step.integers.named(("x_zero", "up", "down", "mult", "offset", "shift")),
            **scale_fields(step),
        },
        tile=rows_tile,
        work=work,
    )
