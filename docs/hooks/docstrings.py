# SPDX-License-Identifier: Apache-2.0
"""Paragraphs of docstrings in two columns, name and meaning, become lists."""

from __future__ import annotations

import re
from typing import Any

import griffe

ROW = re.compile(r"(\S.*?) {2,}(\S.*)")


class Columns(griffe.Extension):
    """An extension of griffe, which reads the package's sources for mkdocstrings."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Changes the docstring of one function, class or module."""
        if obj.docstring:
            paragraphs = obj.docstring.value.split("\n\n")
            obj.docstring.value = "\n\n".join(map(as_list, paragraphs))


def as_list(paragraph: str) -> str:
    """A Markdown list where the paragraph's first line has two columns, else the paragraph."""
    lines = paragraph.split("\n")
    if not ROW.fullmatch(lines[0]):
        return paragraph
    return "\n".join(_item(line) for line in lines)


def _item(line: str) -> str:
    if found := ROW.fullmatch(line):
        return f"- `{found[1]}`: {found[2]}"
    return f"  {line.strip()}" if line.startswith(" ") else f"\n{line}"
