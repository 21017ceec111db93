# SPDX-License-Identifier: Apache-2.0
"""Tiling of linear recurrences: all iterations of a block of elements per tile."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from myoedge.numerics.arrays import outer_inner
from myoedge.numerics.element_type import INT64
from myoedge.operators.base import QuantizedNode
from myoedge.operators.kernel import OUT, AffineExpr, Fields, Operand, Region, Sizes, TiledKernel
from myoedge.targets.chip import Engine

NUMBERS = ("a_zero", "a_mult", "a_shift", "bits", "b_zero", "b_mult", "b_shift", "y_zero")


def is_wide(step: QuantizedNode) -> bool:
    """Return whether states have 24 bits: for int16 operands or results, also of the scan whose
    last state a step returns."""
    return step.has_int16 or step.element_type == INT64


def in_tiles(step: QuantizedNode, engine: Engine) -> TiledKernel:
    """Return the tiled kernel for a, b and y [outer, n, inner]; tiles divide outer and inner, but
    never the recurrence n."""
    outer, n, inner = outer_inner(step.shapes[0], step.attrs["axis"])
    flags, keeps = step.wide_flags("a", "b", "y"), step.out != step.shapes[0]
    on_stream = "_stream" * (keeps or len(step.operands) > 2)

    def work(sizes: Sizes) -> Any:
        """Return the elements of the busiest core, times the number of iterations."""
        return np.ceil(sizes["o"] * sizes["i"] / engine.cores) * n

    return TiledKernel(
        function=f"me_scan{on_stream}_s{16 if is_wide(step) else 8}",
        axes={"o": outer, "i": inner},
        split=("o", "i"),
        operands=_operands(step, (outer, n, inner)),
        op={
            **(flags if is_wide(step) else {}),
            "n": n,
            **step.integers.named(NUMBERS),
            **({"keeps": 1} if keeps else {}),
        },
        tile=_tile,
        work=work,
    )


def _operands(step: QuantizedNode, shape: tuple[int, int, int]) -> tuple[Operand, ...]:
    """Return the operands: sequences [outer, n, inner], and states [outer, inner]."""
    each: tuple[AffineExpr, ...] = (("o", 1),), (), (("i", 1),)
    one: tuple[AffineExpr, ...] = each[0], each[2]
    states = shape[0], shape[2]
    a, b = (
        Operand(name, at, shape, each, itemsize=step.read_type(at).size_bytes)
        for at, name in enumerate("ab")
    )
    size_bytes = step.element_type.size_bytes
    y = Operand("y", OUT, shape, each, itemsize=size_bytes)
    if step.out != step.shapes[0]:
        y = Operand("y", OUT, states, one, itemsize=size_bytes)
    if len(step.shapes) == 2:
        return a, b, y
    return a, b, Operand("before", 2, states, one, itemsize=step.read_type(2).size_bytes), y


def _tile(regions: Mapping[str, Region]) -> Fields:
    outer, _, inner = regions["a"].extent
    return {**{name: f"@{name}" for name in regions}, "outer": outer, "inner": inner}
