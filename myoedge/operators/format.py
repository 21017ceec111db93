# SPDX-License-Identifier: Apache-2.0
"""Formats of kernels: which element types of operands, weights and result a kernel supports
together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from myoedge.graph.ir import Attrs, Shape
from myoedge.numerics.element_type import INT8, INT16, INT32, INT64, ElementType

Types = tuple[ElementType, ...]
EIGHT: Types = (INT8,)
SIXTEEN: Types = (INT16,)
EITHER: Types = (INT8, INT16)
UINT8 = ElementType(8, signed=False)
INTEGERS: Types = (INT8, UINT8, INT32)  # without a scale: ids, indices, classes, booleans
ANY: Types = (*EITHER, UINT8, INT32, INT64)
STORED_BITS = tuple(range(2, 9))  # bits of weights stored as int8 or packed
WIDE_BITS = (16,)


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition that a format puts on a layer's attributes and shapes.

    text    description of the condition for `myoedge ops --md`
    holds   (attrs, input shapes, output shape) -> whether the layer meets it
    """

    text: str
    holds: Callable[[Attrs, Sequence[Shape], Shape], bool]

    def __and__(self, other: Condition) -> Condition:
        return Condition(
            f"{self.text}; {other.text}", lambda *layer: self.holds(*layer) and other.holds(*layer)
        )


ALWAYS = Condition("", lambda attrs, shapes, out: True)
LIMITED = Condition(
    "no fused function except a clamp",
    lambda attrs, shapes, out: all(name == "clamp" for name, *_ in attrs.get("act", ())),
)
NOT_ACTIVATED = Condition("no fused function", lambda attrs, shapes, out: "act" not in attrs)


@dataclass(frozen=True, slots=True)
class Format:
    """A combination of element types of operands, weights and result that a kernel supports.

    reads      types per operand; the last entry applies to all further operands; weight operands
               have none
    writes     types of the result
    weights    bits of constant weights; () for an operator without weights
    together   operands for which one int16 operand costs as many cycles as all of them
    where      condition on the layer's attributes and shapes
    """

    reads: tuple[Types, ...] = (EIGHT,)
    writes: Types = EIGHT
    weights: tuple[int, ...] = ()
    together: tuple[int, ...] = ()
    where: Condition = ALWAYS

    def of_operand(self, index: int) -> Types:
        """Return the element types that this format allows for an operand, by the operand's
        position."""
        return self.reads[min(index, len(self.reads) - 1)]

    def takes(self, operands: Types, result: ElementType, weight: ElementType | None) -> bool:
        """Return whether the format allows these element types.

        operands   types of the operands; () if all are int8
        result     type of the result
        weight     type of the weights; None for an operator without weights
        """
        return (
            result in self.writes
            and all(kind in self.of_operand(i) for i, kind in enumerate(operands or EIGHT))
            and (weight is None or not self.weights or weight.bits in self.weights)
        )


INT8_ALONE = Format()
EITHER_WIDTH = Format((EITHER,), EITHER)
MOVES = Format((ANY,), ANY)


def int16_where(where: Condition) -> tuple[Format, ...]:
    """Return formats with int8 or int16 operands: int8 results always, int16 results under a
    condition."""
    return Format((EITHER,)), Format((EITHER,), SIXTEEN, where=where)
