# SPDX-License-Identifier: Apache-2.0
"""Types of the values of options, read from the annotations of their record."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import fields
from numbers import Integral, Real
from os import PathLike
from typing import TYPE_CHECKING, Any

from myoedge.errors import MyoedgeError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

OWN_MESSAGES = ("model", "calib", "test")  # their readers say what to give instead (E202, E212)
PARTS = re.compile(r"\s*\|\s*(?![^\[]*\])")  # between the types of a union, outside of brackets


def _is_number(kind: Any) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, kind) and not isinstance(value, bool)


def _is_path(value: Any) -> bool:
    return isinstance(value, str | PathLike) and "\0" not in str(value)


KINDS: dict[str, tuple[str, Callable[[Any], bool]]] = {  # annotation -> its name, what it holds for
    "bool": ("True or False", lambda value: isinstance(value, bool)),
    "int": ("a whole number", _is_number(Integral)),
    "float": ("a number", _is_number(Real)),
    "str": ("text", lambda value: isinstance(value, str)),
    "StrPath": ("a path", _is_path),
    "Callable": ("a function", callable),
    "None": ("None", lambda value: value is None),
}
CLASSES = {  # classes that the record does not import -> their names in messages
    "Build": "a build",
    "QuantGraph": "a network",
    "Found": "a parsed configuration",
}


def check_types(options: DataclassInstance) -> None:
    """Raise E203 for the first option whose value has none of the types of its annotation."""
    for option in fields(options):
        value, parts = getattr(options, option.name), PARTS.split(str(option.type))
        if option.name in OWN_MESSAGES or any(_is_of(part, value) for part in parts):
            continue
        facts = {"needs": " or ".join(_names(parts)), "has": repr(value)}
        tries = () if "None" in parts else [f"leave {option.name} out, for the default"]
        raise MyoedgeError("E203", f"{option.name} is of another type", facts, tries)


def _is_of(part: str, value: Any) -> bool:
    kind = part.partition("[")[0]
    if kind in CLASSES:
        return any(base.__name__ == kind for base in type(value).__mro__)
    return kind not in KINDS or KINDS[kind][1](value)  # others are of inner records


def _names(parts: list[str]) -> Iterator[str]:
    for part in parts:
        kind = part.partition("[")[0]
        yield CLASSES[kind] if kind in CLASSES else KINDS[kind][0]
