# SPDX-License-Identifier: Apache-2.0
"""Code on pages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path


def fenced(page: Path) -> Iterator[tuple[str, str, str]]:
    """(language, rest of the opening line, content) of every fenced block."""
    blocks = re.compile(r"^```(\w+) ?([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    for found in blocks.finditer(page.read_text(encoding="utf-8")):
        yield found.group(1), found.group(2), found.group(3)


def code_of(page: Path, file: str) -> str:
    """The block of a page that is a file."""
    (code,) = (content for _, path, content in fenced(page) if path == file)
    return code
