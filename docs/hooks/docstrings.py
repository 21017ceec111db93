# SPDX-License-Identifier: Apache-2.0
"""Docstrings as Markdown: two columns, name and meaning, are a list, `Errors:` a paragraph."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

import griffe

import myoedge

ROW = re.compile(r"(\S(?:.*?\S)?)( {2,})(\S.*)")
BESIDE = re.compile(r"(.*?\S) {3,}(\w+)( {2,}\S.*)")  # a second row in a row's line
PLACE = re.compile(r"<(\w+)>(?=(?:[^`]*`[^`]*`)*[^`]*$)")  # outside of code, no element of HTML


class Columns(griffe.Extension):
    """An extension of griffe, which reads the package's sources for mkdocstrings."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Changes the docstring of one function, class or module."""
        if isinstance(obj, griffe.Function) and any(map(_takes, obj.decorators)):
            _with_fields(obj)
        if obj.docstring:
            obj.docstring.value = as_markdown(obj.docstring.value)


def _takes(decorator: griffe.Decorator) -> bool:
    return str(decorator.value).startswith("takes(")


def _with_fields(function: griffe.Function) -> None:
    """Gives a function of a record the record's fields as parameters, and their descriptions."""
    made = getattr(myoedge, function.name)
    parameters = inspect.signature(made).parameters.values()
    function.parameters = griffe.Parameters(
        *(
            griffe.Parameter(x.name, annotation=x.annotation, kind=KINDS[x.kind], default=_text(x))
            for x in parameters
        )
    )
    function.docstring = griffe.Docstring(inspect.getdoc(made) or "", parent=function)


def _text(parameter: inspect.Parameter) -> str:
    default = parameter.default
    return default.__name__ if callable(default) else repr(default)


KINDS = {
    inspect.Parameter.POSITIONAL_OR_KEYWORD: griffe.ParameterKind.positional_or_keyword,
    inspect.Parameter.KEYWORD_ONLY: griffe.ParameterKind.keyword_only,
}


def as_markdown(docstring: str) -> str:
    """The docstring with lists for rows in two columns, and what follows them as paragraphs."""
    blocks, column = [""], 0  # of meanings, among the rows
    for line in docstring.split("\n"):
        if rows := list(_rows(line, column)):
            column = _column(line) or column
            items = "\n".join(f"- `{name}`: {meaning}" for name, meaning in rows)
            if blocks[-1].startswith("- "):
                blocks[-1] += f"\n{items}"
            else:
                blocks.append(items)
        elif line.startswith(" ") and blocks[-1].startswith("- "):
            blocks[-1] += f"\n  {line.strip()}"
        elif not (line and blocks[-1]) or column or line.startswith("Errors:"):
            blocks.append(line)
            column = 0
        else:
            blocks[-1] += f"\n{line}"
    return PLACE.sub(r"&lt;\1>", "\n\n".join(filter(None, blocks)))


def _column(line: str) -> int:
    """Where the meaning begins in a line of two columns; 0 in others."""
    found = ROW.fullmatch(line)
    return 0 if found is None else found.start(3)


def _rows(line: str, column: int) -> Iterator[tuple[str, str]]:
    """(name, meaning) of a line in two columns; none for other lines.

    column   of the meanings of the rows before: of the longest name one blank ends there
    """
    if line.startswith((" ", "Errors:")):
        return
    start = _column(line)
    if not start and 0 < column < len(line) and line[column - 1] == " " != line[column]:
        start = column
    if start:
        name, meaning = line[:start].strip(), line[start:]
        while found := BESIDE.fullmatch(meaning):
            yield name, found[1]
            name, meaning = found[2], found[3].strip()
        yield name, meaning
