# SPDX-License-Identifier: Apache-2.0
"""Code on pages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path


def section(page: Path, heading: str) -> str:
    """A heading's text, up to the next heading of its level."""
    level = heading.partition(" ")[0]
    _, _, rest = f"\n{page.read_text(encoding='utf-8')}".partition(f"\n{heading}\n")
    assert rest, heading
    return rest.split(f"\n{level} ")[0]


def fenced(page: Path, heading: str = "") -> Iterator[tuple[str, str, str]]:
    """(language, rest of the opening line, content) of every fenced block of a page, or of a
    heading's text."""
    blocks = re.compile(r"^```(\w+) ?([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    text = section(page, heading) if heading else page.read_text(encoding="utf-8")
    for found in blocks.finditer(text):
        yield found.group(1), found.group(2), found.group(3)


def code_of(page: Path, file: str) -> str:
    """The block of a page that is a file."""
    (code,) = (content for _, path, content in fenced(page) if path == file)
    return code
