# SPDX-License-Identifier: Apache-2.0
"""Tiling of linear recurrences: all iterations of a block of elements per tile."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from myoedge.numerics.arrays import outer_inner
from myoedge.operators.base import QuantizedNode
from myoedge.operators.kernel import OUT, AffineExpr, Fields, Operand, Region, Sizes, TiledKernel
from myoedge.targets.chip import Engine

NUMBERS = ("a_zero", "a_mult", "a_shift", "bits", "b_zero", "b_mult", "b_shift", "y_zero")


def in_tiles(step: QuantizedNode, engine: Engine) -> TiledKernel:
    """Return the tiled kernel for a, b and y [outer, n, inner]; tiles divide outer and inner, but
    never the recurrence n."""
    outer, n, inner = outer_inner(step.out, step.attrs["axis"])
    shape, dims = (outer, n, inner), tuple[AffineExpr, ...](((("o", 1),), (), (("i", 1),)))
    sources: tuple[tuple[str, int | str], ...] = (("a", 0), ("b", 1), ("y", OUT))
    wide, is_wide = step.wide_flags("a", "b", "y"), step.has_int16

    def work(sizes: Sizes) -> Any:
        """Return the elements of the busiest core, times the number of iterations."""
        return np.ceil(sizes["o"] * sizes["i"] / engine.cores) * n

    return TiledKernel(
        function="me_scan_s16" if is_wide else "me_scan_s8",
        axes={"o": outer, "i": inner},
        split=("o", "i"),
        operands=tuple(
            Operand(name, source, shape, dims, itemsize=1 + wide[f"{name}_wide"])
            for name, source in sources
        ),
        op={**(wide if is_wide else {}), "n": n, **step.integers.named(NUMBERS)},
        tile=_tile,
        work=work,
    )


def _tile(regions: Mapping[str, Region]) -> Fields:
    outer, _, inner = regions["y"].extent
    return {"a": "@a", "b": "@b", "y": "@y", "outer": outer, "inner": inner}
