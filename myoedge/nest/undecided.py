# SPDX-License-Identifier: Apache-2.0
"""Operations of Python and NumPy on numbers that formulas refuse, whose values are not known."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NoReturn

FACTOR = "x * self.factor >> 15, with factor=round(2**15 * number) in quantize"
SCALED = "x * self.factor >> 15, with factor=round(2**15 / divisor) in quantize, for a division"
TABLE = 'self.lookup("table", index), with a table of integers in quantize'
WHERE = "where(condition, a, b) of myoedge.operators.api"
# What computes the same as a function of NumPy or Python, or as an operator.
INSTEAD = {
    **{name: f"{name}(...) of myoedge.operators.api" for name in ("clip", "maximum", "minimum")},
    **dict.fromkeys(("/", "//", "%"), SCALED),
    **dict.fromkeys(("where", "if, and, or, min, max"), WHERE),
    "absolute": "abs(x)",
    "**": "x * x",
    ">=": "a > b - 1",
    "<=": "a < b + 1",
    "==": "1 - (a < b) - (a > b)",
    "!=": "(a < b) + (a > b)",
    "&": "a * b of two conditions, which are 1 or 0",
    "|": "maximum(a, b) of two conditions, which are 1 or 0",
    "^": "(a < b) + (a > b) of two conditions, which are 1 or 0",
    "~": "1 - a of a condition, which is 1 or 0",
    "float(), round()": "rounded_shift(x, bits) of myoedge.operators.api",
}
# Functions of NumPy that Python's operators call if one operand is a number of NumPy.
_OPERATORS: dict[str, Callable[..., Any]] = {
    "add": operator.add,
    "subtract": operator.sub,
    "multiply": operator.mul,
    "left_shift": operator.lshift,
    "right_shift": operator.rshift,
    "less": operator.lt,
    "greater": operator.gt,
}
_STATED = ContextVar("whether an author's function states a formula", default=False)
_PLAIN = {"shape": (), "ndim": 0}  # of a formula, as of a number


class Undecided(TypeError):
    """Raised for a description that depends on the value of a formula.

    instead   what computes the same
    """

    def __init__(self, reason: str, instead: str = TABLE) -> None:
        super().__init__(reason)
        self.instead = instead


def _refuse_operation(name: str) -> Callable[..., NoReturn]:
    def refuse(self: object, *others: object) -> NoReturn:
        raise Undecided(f"{name} of a formula, which has no value yet", INSTEAD.get(name, TABLE))

    return refuse


@contextmanager
def stated_by_author() -> Iterator[None]:
    """Context manager for a function of an operator's author: `==` and `!=` of formulas are refused
    in it."""
    before = _STATED.set(True)
    try:
        yield
    finally:
        _STATED.reset(before)


def refuse_negative_bits(bits: Any, shift: str, other: str) -> None:
    """Refuse a shift by a negative number in a function of an author.

    shift   the shift as it is written, with {} for the bits
    other   the shift in the other direction
    """
    if _STATED.get() and not isinstance(bits, NoValue) and bits < 0:
        instead = f"{other.format(-bits)} in place of {shift.format(bits)}"
        raise Undecided(f"a shift by {bits} bits", instead)


class NoValue:
    """Base class of formulas: refuses what would need their values."""

    __bool__ = _refuse_operation("if, and, or, min, max")
    __int__ = __index__ = __float__ = __round__ = _refuse_operation("float(), round()")
    __truediv__ = __rtruediv__ = _refuse_operation("/")
    __floordiv__ = __rfloordiv__ = _refuse_operation("//")
    __mod__ = __rmod__ = _refuse_operation("%")
    __pow__ = __rpow__ = _refuse_operation("**")
    __ge__ = _refuse_operation(">=")
    __le__ = _refuse_operation("<=")
    __hash__ = object.__hash__
    __and__ = __rand__ = _refuse_operation("&")
    __or__ = __ror__ = _refuse_operation("|")
    __xor__ = __rxor__ = _refuse_operation("^")
    __invert__ = _refuse_operation("~")

    def __eq__(self, other: object) -> bool:
        """Return whether the other is this formula; refused in a function of an author, who means
        their values."""
        return self is other if not _STATED.get() else _refuse_operation("==")(self)

    def __ne__(self, other: object) -> bool:
        return self is not other if not _STATED.get() else _refuse_operation("!=")(self)

    def __array_ufunc__(self, function: Any, method: str, *operands: Any, **others: Any) -> Any:
        name = str(function.__name__)
        plain = all(isinstance(x, NoValue) or getattr(x, "ndim", 0) == 0 for x in operands)
        if method == "__call__" and not others and plain and name in _OPERATORS:
            return _OPERATORS[name](*(x.item() if hasattr(x, "item") else x for x in operands))
        return _refuse_operation(name)(self)

    def __array_function__(self, function: Any, *others: Any) -> Any:
        name = str(function.__name__)
        return _PLAIN[name] if name in _PLAIN else _refuse_operation(name)(self)
