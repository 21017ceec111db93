# SPDX-License-Identifier: Apache-2.0
"""Objects at the places of hooks: checks against what is stated in myoedge.extension."""

from __future__ import annotations

import importlib
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from myoedge.extension import TABLE, TYPES

if TYPE_CHECKING:
    import ast


@dataclass(frozen=True)
class Stated:
    """Description of the object at a place.

    text   as myoedge.extension states it: a signature, the name of a class, or TABLE
    """

    text: str

    @property
    def is_function(self) -> bool:
        """Whether it is a function, with a signature."""
        return self.text.startswith("(")

    @property
    def result(self) -> str:
        """Type that the function returns, or class of the object."""
        return self.text.rpartition(" -> ")[2]

    @cached_property
    def classes(self) -> tuple[type, ...]:
        """Classes of what the function returns, or of the object."""
        import ast

        return _classes(ast.parse(self.result, mode="eval").body)

    def check(self, found: Any) -> None:
        """Raise TypeError if an object is not what stands there."""
        if self.text == TABLE:
            _check_table(found)
        elif self.is_function:
            self._check_function(found)
        elif not isinstance(found, self.classes):
            raise TypeError(f"needs {self.text}, has {_kind(found)}")

    def _check_function(self, found: Any) -> None:
        """Raise TypeError if it is no function, or cannot be called as the signature says."""
        import ast
        import inspect

        if not callable(found):
            raise TypeError(f"needs a function {self.text}, has {_kind(found)}")
        try:
            signature = inspect.signature(found)
        except ValueError:  # of a function in C that has none
            return
        stated = ast.parse(f"def f{self.text}: ...").body[0]
        assert isinstance(stated, ast.FunctionDef)
        given = stated.args
        named = [x.arg for x in (*given.kwonlyargs, *([given.kwarg] if given.kwarg else []))]
        try:
            signature.bind(*given.args, **dict.fromkeys(named))
        except TypeError as error:
            raise TypeError(f"needs a function {self.text}: {error}") from None


def _kind(found: Any) -> str:
    return f"class {found.__name__}" if isinstance(found, type) else type(found).__name__


def _check_table(found: Any) -> None:
    """Raise TypeError if an object is no dataclass whose fields have defaults."""
    if not (isinstance(found, type) and is_dataclass(found)):
        raise TypeError(f"needs {TABLE}, has {_kind(found)}")
    for field in fields(found):
        if field.init and field.default is MISSING and field.default_factory is MISSING:
            raise TypeError(f"needs {TABLE}; {field.name} has none")


def _classes(node: ast.expr) -> tuple[type, ...]:
    """Return the classes of a type: of "Part | None" both, of "dict[str, str]" dict."""
    import ast

    match node:
        case ast.BinOp(left=left, right=right):
            return (*_classes(left), *_classes(right))
        case ast.Subscript(value=value):
            return _classes(value)
        case ast.Constant():
            return (type(None),)
    assert isinstance(node, ast.Name)
    module = importlib.import_module(TYPES.get(node.id, "builtins"))
    return (getattr(module, node.id),)
