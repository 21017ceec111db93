# SPDX-License-Identifier: Apache-2.0
"""Perfect loop nests with the index maps of their operands."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from myoedge.graph.ir import Shape
from myoedge.operators.kernel import AffineExpr


@dataclass(frozen=True, slots=True)
class LoopNest:
    """A perfect loop nest with the index maps of its operands.

    axes      loop -> extent, outermost first
    operands  operand name -> one affine expression per dimension: "t*2 + r" is (("t", 2), ("r", 1))
    reduce    names of the reduction loops
    """

    axes: Mapping[str, int]
    operands: Mapping[str, tuple[AffineExpr, ...]]
    reduce: frozenset[str] = frozenset()

    @property
    def iterations(self) -> int:
        return math.prod(self.axes.values())

    def footprint(self, operand: str, tile: Mapping[str, int] | None = None) -> Shape:
        """Return the shape of the part of an operand that one tile reads, halo included.

        tile   loop -> tile extent; missing loops have their full extent
        """
        sizes = {**self.axes, **(tile or {})}
        return tuple(
            1 + sum((sizes[axis] - 1) * stride for axis, stride in dim)
            for dim in self.operands[operand]
        )
