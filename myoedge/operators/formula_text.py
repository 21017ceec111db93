# SPDX-License-Identifier: Apache-2.0
"""A formula as its author writes it, for messages."""

from __future__ import annotations

import ast

from myoedge.nest.ir import Binary, Element, Expr, Lookup, Number, Where
from myoedge.nest.nodes import is_magnitude
from myoedge.operators.formula import Formula, field_of

FUNCTIONS = {"max": "maximum", "min": "minimum"}


def text_of(formula: Formula, part: Expr) -> str:
    """Return a part of a formula as its author writes it."""
    own = {field_of(name): name for name in formula.stated.constants}
    match part:
        case Number():
            return str(part.value)
        case Element():
            return f"self.{own.get(part.array.name, part.array.name)}"
        case Binary():
            return _binary_text(formula, part)
        case Where():
            return _call_text(formula, "where", *part.operands)
        case Lookup():
            name = own.get(part.array.name, part.array.name)
            return f'self.lookup("{name}", {text_of(formula, part.at)})'
    return type(part).__name__


def _binary_text(formula: Formula, part: Binary) -> str:
    names = {f"x{at}": name for at, name in enumerate(formula.stated.operands)}
    match part:
        case Binary("-", Element(array=array), _) if array.name in names:
            return names[array.name]
        case Binary("max", left) if is_magnitude(part):
            return _call_text(formula, "abs", left)
        case Binary("min", Binary("max", value, low) as inner, high) if not is_magnitude(inner):
            return _call_text(formula, "clip", value, low, high)
        case Binary("<", Number() as number, value):
            return f"{bracketed(formula, value)} > {bracketed(formula, number)}"
        case Binary("max" | "min"):
            return _call_text(formula, FUNCTIONS[part.operation], part.left, part.right)
    left, operation = part.left, part.operation
    goes_on = operation in "+*" and isinstance(left, Binary) and left.operation == operation
    first = text_of(formula, left) if goes_on else _operand_text(formula, left, operation)
    return f"{first} {operation} {_operand_text(formula, part.right, operation)}"


def _operand_text(formula: Formula, part: Expr, operation: str) -> str:
    is_product = isinstance(part, Binary) and part.operation == "*"
    bare = is_product and operation in "+-"
    return text_of(formula, part) if bare else bracketed(formula, part)


def _call_text(formula: Formula, function: str, *arguments: Expr) -> str:
    return f"{function}({', '.join(text_of(formula, x) for x in arguments)})"


def bracketed(formula: Formula, part: Expr) -> str:
    """Return a part of a formula as text, in brackets if it is a sum or product."""
    text = text_of(formula, part)
    is_infix = isinstance(ast.parse(text, mode="eval").body, ast.BinOp | ast.Compare)
    return f"({text})" if is_infix else text
