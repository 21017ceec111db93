# SPDX-License-Identifier: Apache-2.0
"""Elements of operands at computed indices, of a gather for example."""

from __future__ import annotations

from dataclasses import dataclass

from myoedge.nest.ir import Element, Expr


@dataclass(frozen=True, eq=False)
class Taken(Expr):
    """An element of an operand, one index of which is computed.

    element     the element at index 0 along a dimension
    dimension   the dimension
    at          its index there; the ranges of its operands keep it inside
    """

    element: Expr
    dimension: int
    at: Expr

    @property
    def operands(self) -> tuple[Expr, ...]:
        return self.element, self.at

    @property
    def source(self) -> Element:
        """The element at index 0."""
        assert isinstance(self.element, Element), "an element of an operand is taken"
        return self.element
