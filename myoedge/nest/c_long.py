# SPDX-License-Identifier: Apache-2.0
"""C of formulas with values beyond 32 bits, which are int64_t.

For clip((s * w + 64) >> 7, -128, 127) of two int32 values:

    (int32_t)me_long_min(me_long_max(me_long_shifted((int64_t)s * w + 64, 7), -128), 127)
"""

from __future__ import annotations

from myoedge.nest.c_formula import FormulaText
from myoedge.nest.intervals import Interval, is_long
from myoedge.nest.ir import Binary, Expr, Number

LONG_HEADER = "me_long.h"
LONG_FUNCTIONS = {"max": "me_long_max", "min": "me_long_min"}


def value_type(limits: Interval) -> str:
    """Return the C type of a variable."""
    return "int64_t" if is_long(limits) else "int32_t"


class LongText(FormulaText):
    """The C of formulas whose values have 32 or 64 bits, by their ranges."""

    def _is_long(self, part: Expr) -> bool:
        return is_long(self.parts.types[id(part)])

    def _type(self, part: Expr) -> str:
        return value_type(self.parts.types[id(part)])

    def _binary(self, part: Binary) -> str:
        is_short = not any(map(self._is_long, (part, *part.operands)))
        if is_short or part.operation.startswith("int32 "):
            return super()._binary(part)
        text = self._long(part)
        return (
            text if self._is_long(part) or part.operation in ("<", "==") else f"((int32_t){text})"
        )

    def _limited(self, part: Binary) -> str:
        inner = (x for operand in part.operands for x in operand.operands)
        if any(map(self._is_long, inner)):
            return f"me_{part.operation}({self.bare(part.left)}, {self.bare(part.right)})"
        return super()._limited(part)

    def _long(self, part: Binary) -> str:
        """Return an operation of 64 bits."""
        match part:
            case Binary(">>" | "long >>", left, Number(bits)) if 0 < bits < 32:
                return f"me_long_shifted({self.bare(left)}, {bits})"
            case Binary("<<", left, Number(bits)):
                return f"((int64_t){self.of(left)} * {1 << bits})"
        a, b = map(self.of, part.operands)
        if part.operation in LONG_FUNCTIONS:
            return (
                f"{LONG_FUNCTIONS[part.operation]}({self.bare(part.left)}, {self.bare(part.right)})"
            )
        sign = part.operation.removeprefix("long ")
        if any(map(self._is_long, part.operands)):
            return f"({a} {sign} {b})"
        return f"((int64_t){a} {sign} {b})"
