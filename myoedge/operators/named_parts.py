# SPDX-License-Identifier: Apache-2.0
"""Names of the parts that several formulas of a message share, each stated once.

(p >> 7) in place of p, in p * self.gain, with p = x * self.gain
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence

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
