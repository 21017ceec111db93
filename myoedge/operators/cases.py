# SPDX-License-Identifier: Apache-2.0
"""Uses of operators as tests draw them: shapes, attributes, ranges, weights, and the float oracle.

Every family has them in its cases.py: CASES, a function of Draw by operator; not in the wheel.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from myoedge.graph.ir import Attrs, Shape
from myoedge.numerics.arrays import Array
from myoedge.operators.families import modules

T = TypeVar("T")
Range = tuple[float, float]
Chain = tuple[tuple[Any, ...], ...]

PATTERNS = ("uniform", "uniform", "edges", "few", "narrow", "lowest", "highest")
# The output's range: fits, moved to one side of 0, far too small (all saturates), far too large.
FACTORS = (
    (1.0, 0.0), (1.0, 0.0), (0.5, 0.0), (1.3, 0.0), (1.0, 0.7), (1.0, -0.7), (0.002, 0.0),
    (300.0, 0.0),
)  # fmt: skip
ACTS: tuple[Chain, ...] = (
    (), (), (), (("clamp", 0.0, math.inf),), (("clamp", 0.0, 6.0),), (("clamp", -0.25, 0.75),),
    (("clamp", -math.inf, 0.5),), (("clamp", 0.0, math.inf), ("clamp", -1.0, 1.0)), (("gelu",),),
    (("silu",),), (("sigmoid",),), (("tanh",),), (("leaky_relu", 0.1),),
    (("abs",), ("affine", -0.5, 1.0)),
)  # fmt: skip


def exact(case: Any) -> float:
    return 0.0


def of_parameters(case: Any) -> float:
    return 1.0


@dataclass(frozen=True)
class DrawnUse:
    """One use of an operator.

    shapes    of the inputs that are read as integers     spans    the range of each of them
    torch     the float oracle, in terms of torch and F (torch.nn.functional), of x0, x1 ..: float64
              tensors, of w0, w1 ..: weights, and of attributes by name; before a fused activation
    weights   float constants, which follow these inputs
    factors   the output's range as (scale, shift) of the range that the data reaches
    kinds     types of the inputs where they are not all `dtype`: gates have 16 bits
    slack     (quantised case) -> output steps of error that the operator's own roundings add
    classes   that indices are of; 0: int32 data are any numbers
    unit      (quantised case) -> what the oracle has for 1, where parameters do not say so
    pattern   how the data are drawn     seed   of data and weights
    """

    op: str
    attrs: Attrs
    shapes: tuple[Shape, ...]
    torch: str
    spans: tuple[Range, ...]
    weights: tuple[Array, ...] = field(default=(), repr=False)
    act: Chain = ()
    factors: tuple[float, float] = (1.0, 0.0)
    pattern: str = "uniform"
    seed: int = 0
    dtype: str = "float32"
    kinds: tuple[str, ...] = ()
    per_tensor: bool = False
    slack: Callable[[Any], Array | float] = field(default=exact, repr=False)
    classes: int = 0
    unit: Callable[[Any], float] = field(default=of_parameters, repr=False)


@dataclass(frozen=True)
class Draw:
    """Random choices by a NumPy generator; ends of ranges included."""

    rng: np.random.Generator

    def integer(self, low: int, high: int) -> int:
        return int(self.rng.integers(low, high + 1))

    def flag(self) -> bool:
        return bool(self.rng.integers(2))

    def pick(self, options: Sequence[T]) -> T:
        return options[int(self.rng.integers(len(options)))]

    def permuted(self, values: Sequence[T]) -> list[T]:
        return [values[int(i)] for i in self.rng.permutation(len(values))]

    def shape(self, low: int, high: int, largest: int = 5) -> Shape:
        """Shapes of ranks low..high; many extents of 1."""
        rank = self.integer(low, high)
        return tuple(self.pick([1, self.integer(1, largest)]) for _ in range(rank))

    def broadcast(self, low: int, high: int) -> tuple[Shape, Shape]:
        """Two shapes that broadcast: extents of 1 and missing leading axes on either side."""
        whole = self.shape(low, high, 4)
        part = tuple(n if self.flag() else 1 for n in whole)
        part = part[self.integer(0, len(part)) :] if self.flag() else part
        return self.pick([(whole, whole), (whole, whole), (whole, part), (part, whole)])

    def span(self) -> Range:
        """Ranges with the zero point at -128, at 127 and between, tiny and huge."""
        scale = self.pick([1.0, 1.0, 1.0, 0.3, 6.0, 1e-3, 1e3])
        low, high = -scale * self.rng.uniform(0.0625, 1.0), scale * self.rng.uniform(0.0625, 1.0)
        both = (float(low), float(high))
        return self.pick([(0.0, both[1]), (both[0], 0.0), both, both, both])

    def common(self, operands: int, *, act: bool) -> dict[str, Any]:
        """Ranges of inputs and output, the data, a fused activation where there may be one."""
        return {
            "spans": tuple(self.span() for _ in range(operands)),
            "factors": self.pick(FACTORS),
            "act": self.pick(ACTS) if act else (),
            "pattern": self.pick(PATTERNS),
            "seed": self.integer(0, 2**32 - 1),
        }


def drawn_uses() -> dict[str, Callable[[Draw], DrawnUse]]:
    return {op: draw for module in modules("cases") for op, draw in module.CASES.items()}
