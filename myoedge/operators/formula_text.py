# SPDX-License-Identifier: Apache-2.0
"""A formula in messages: as its author writes it, with names of the parts that several formulas
share; the effect of rounded constants on its results.

(p >> 7) in place of p, in p * self.gain, with p = x * self.gain
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from myoedge.nest.ir import Binary, Element, Expr, Lookup, Number, Where
from myoedge.nest.nodes import is_magnitude
from myoedge.nest.reference import NestReference
from myoedge.numerics.arrays import Array
from myoedge.operators.base import QuantizedNode
from myoedge.operators.formula import FORMULAS, Formula, field_of

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


# --- named parts ----------------------------------------------------------------------------------


LETTERS = "pqrstuvwdefghijklmno"
INFIX = (ast.BinOp, ast.Compare)
SIGNS: dict[type[ast.AST], str] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.LShift: "<<",
    ast.RShift: ">>",
    ast.Gt: ">",
    ast.Lt: "<",
    ast.Eq: "==",
}


class NamedParts:
    """The names of a message's parts of formulas: a part that a line has twice is named there, and
    keeps its name in later lines.

    taken   names that formulas have
    """

    def __init__(self, taken: Collection[str]) -> None:
        self._free = [x for x in LETTERS if x not in taken]
        self._names: dict[str, str] = {}  # formula, as the parser dumps it -> its name

    def line(self, form: str, *formulas: str) -> str:
        """Return a line of the message, and behind it the new names with their formulas.

        form       text with {0}, {1} and so on in the place of formulas
        formulas   Python expressions
        """
        trees = [_parse(text) for text in formulas]
        new = dict[str, ast.expr]()
        while self._free and (part := self._find_repeated(trees, new.values())):
            name = self._free.pop(0)
            new[name], self._names[ast.dump(part)] = part, name
        line = form.format(*map(self._text, trees))
        stated = [f"{name} = {self._formula(part)}" for name, part in new.items()]
        return f"{line}, with {', '.join(stated)}" if stated else line

    def _find_repeated(self, trees: Sequence[ast.expr], new: Iterable[ast.expr]) -> ast.expr | None:
        """Return the largest formula that has operands and is more than once in trees and new
        definitions."""
        inner = (x for part in new for x in ast.iter_child_nodes(part) if isinstance(x, ast.expr))
        found = [part for tree in (*trees, *inner) for part in self._unnamed_parts(tree)]
        uses = Counter(map(ast.dump, found))
        repeated = [part for part in found if uses[ast.dump(part)] > 1]
        return max(repeated, key=lambda part: len(ast.dump(part)), default=None)

    def _unnamed_parts(self, tree: ast.expr) -> Iterator[ast.expr]:
        """Yield the formulas without a name that a tree contains, those in named ones excluded."""
        if ast.dump(tree) in self._names:
            return
        if isinstance(tree, (*INFIX, ast.Call)):
            yield tree
        for inner in ast.iter_child_nodes(tree):
            if isinstance(inner, ast.expr):
                yield from self._unnamed_parts(inner)

    def _text(self, tree: ast.expr) -> str:
        return self._names.get(ast.dump(tree)) or self._formula(tree)

    def _formula(self, tree: ast.expr) -> str:
        """Return a formula with names in place of the parts that have one."""
        match tree:
            case ast.BinOp(left, sign, right):
                operation = SIGNS[type(sign)]
                goes_on = operation in "+*" and _sign(left) == operation
                first = self._text(left) if goes_on else self._operand(left, operation)
                return f"{first} {operation} {self._operand(right, operation)}"
            case ast.Compare(left, [sign], [right]):
                return f"{self._operand(left)} {SIGNS[type(sign)]} {self._operand(right)}"
            case ast.Call(function, arguments):
                return f"{ast.unparse(function)}({', '.join(map(self._text, arguments))})"
            case ast.Constant(str(text)):
                return f'"{text}"'
        return ast.unparse(tree)

    def _operand(self, tree: ast.expr, operation: str = "") -> str:
        """Return an operand, in brackets if it is a sum or product; a product in a sum has none."""
        text = self._text(tree)
        is_bare = operation in ("+", "-") and _sign(tree) == "*"
        return text if is_bare or not isinstance(_parse(text), INFIX) else f"({text})"


def _parse(text: str) -> ast.expr:
    return ast.parse(text, mode="eval").body


def _sign(tree: ast.expr) -> str:
    return SIGNS[type(tree.op)] if isinstance(tree, ast.BinOp) else ""


# --- rounded constants ----------------------------------------------------------------------------


FACTOR_BITS = 8  # that a formula's constants keep of its range, at least


def constants_slack(case: Any) -> Array:
    """Return by how much the rounding of a formula's constants moves each result, in output steps.
    Integers that `quantize` returns are exact; of what it leaves to be rounded, no more is excused
    than `excused`."""
    numbers = case.step.integers
    moved = np.minimum(_moved(case, rounded_off(case)), excused(case))
    factor = numbers.mult / 2.0 ** (numbers.shift + numbers.pre)
    rounded = np.where(numbers.pre, 2.0**numbers.pre, 0.0)  # by the pre-shift
    return np.asarray((moved + rounded / 2) * factor)


def rounded_off(case: Any) -> dict[str, Array]:
    """Return what rounding took from each constant of a formula."""
    formula, numbers = FORMULAS[case.op], case.step.integers
    stated = formula.scaled(case.site).constants
    return {name: np.asarray(x) - getattr(numbers, field_of(name)) for name, x in stated.items()}


def _moved(case: Any, rounded: Mapping[str, Array]) -> Array:
    """Return by how much the formula's results move, if so much was taken from its constants."""
    step, formula = case.step, FORMULAS[case.op]
    exact = _compute_accumulators(formula, step, case.data)
    moved = np.zeros(step.out)
    for name, less in rounded.items():
        field = field_of(name)
        other = getattr(step.integers, field) + np.where(np.asarray(less) < 0, -1, 1)
        near = replace(step, integers=replace(step.integers, **{field: other}))
        share = np.abs(less) if np.shape(less) in ((), (1,), step.out[-1:]) else np.abs(less).max()
        moved += np.abs(_compute_accumulators(formula, near, case.data) - exact) * share
    return moved


def excused(case: Any) -> Array:
    """Return what half a step of an operand does to each result; at least an 8-bit step of the
    formula's range, as factors of two terms may share their bits."""
    step, formula, data = case.step, FORMULAS[case.op], [x.astype(np.int64) for x in case.data]
    exact = _compute_accumulators(formula, step, data)
    least = np.full(step.out, step.integers.acc_bound / 2.0**FACTOR_BITS)
    changed = (
        _compute_accumulators(formula, step, [x + (i == at) for i, x in enumerate(data)]) - exact
        for at in range(len(data))
    )
    return np.asarray(np.max([least, *(np.abs(x) / 2 for x in changed)], axis=0))


def rounding_advice(case: Any, distance: Array) -> str:
    """Return what to change in `quantize` if the rounding of its constants explains a difference;
    "" if it does not.

    distance   of each result from what the float function gives, in output steps
    """
    if case.op not in FORMULAS:
        return ""
    rounded, most = rounded_off(case), excused(case)
    coarse = [x for x, less in rounded.items() if np.any(_moved(case, {x: less}) > most)]
    if coarse:
        return f"; a smaller unit in quantize, so that rounding {coarse[0]} loses less"
    integers = [x for x, less in rounded.items() if not np.any(less)]
    moved = np.minimum(_moved(case, dict.fromkeys(integers, np.array(0.5))), most)
    numbers = case.step.integers
    if np.any(distance > moved * numbers.mult / 2.0 ** (numbers.shift + numbers.pre)):
        return ""
    return f"; {', '.join(integers)} unrounded in quantize: myoedge rounds, and knows by how much"


def _compute_accumulators(formula: Formula, step: QuantizedNode, data: Sequence[Array]) -> Array:
    nest = formula.accumulator(step)
    return NestReference.of(replace(nest, out=replace(nest.out, dtype="int64")))(*data)
