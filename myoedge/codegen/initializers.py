# SPDX-License-Identifier: Apache-2.0
"""C text of designated initialisers and tables, wrapped to the width of a page."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

WIDTH = 100  # columns

Nested = dict[str, "str | Nested"]


Fields = Sequence[tuple[str, str]]  # (name, value) of a C struct, in its order


def assignment(place: str, kind: str, fields: Fields) -> list[str]:
    """Statements that give a struct these values, by one compound literal.

    Field by field where it has arrays: a compound literal would store zeros in all other elements,
    in an instruction each, which the core waits for when it runs them for the first time.
    """
    if any("[" in name for name, _ in fields):
        return [f"{place}.{name} = {value};" for name, value in fields]
    lines = designated(fields)
    if len(lines) == 1:
        return [f"{place} = ({kind}){{ {lines[0].removesuffix(',')} }};"]
    return [f"{place} = ({kind}){{", *(f"    {line}" for line in lines), "};"]


def designated(fields: Fields, indent: int = 8) -> list[str]:
    """Lines of designated initialisers; fields that are 0 are left out.

    "scale.low" is a field of a struct inside the struct, "extent[1]" an element of an array.
    """
    nested: Nested = {}
    for name, value in fields:
        *path, last = re.findall(r"\w+", name)
        struct = nested
        for part in path:
            inside = struct.setdefault(part, {})
            assert isinstance(inside, dict), name
            struct = inside
        struct[last] = value
    made = [f".{name} = {_text(value)}," for name, value in nested.items() if value != "0"]
    return wrapped(made or ["0"], indent)


def _text(value: str | Nested) -> str:
    """An expression, { .name = value, ... }, or the elements of an array from the first on."""
    if isinstance(value, str):
        return value
    texts = {name: _text(each) for name, each in value.items()}
    if all(name.isdigit() for name in texts):
        return f"{{ {', '.join(texts.values())} }}"
    fields = [f".{name} = {text}" for name, text in texts.items() if text != "0"]
    return f"{{ {', '.join(fields) or '0'} }}"


def wrapped(words: Iterable[str], indent: int) -> list[str]:
    """Words side by side, in lines that end before column WIDTH when they are indented so far."""
    lines: list[str] = []
    for word in words:
        if lines and indent + len(lines[-1]) + 1 + len(word) <= WIDTH:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines
