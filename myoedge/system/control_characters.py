# SPDX-License-Identifier: Apache-2.0
"""Characters that a terminal obeys instead of showing them: refused in settings, replaced in
output."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

# Controls except tab and line feed, line separators, marks that reverse the direction of text, and
# halves of surrogate pairs, which stand for bytes of names that are no UTF-8.
CONTROLS = re.compile(
    "\\r(?!\\n)|[\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\x7f-\\x9f\\u2028-\\u202e\\u2066-\\u2069\\ud800-\\udfff]"
)


def without_controls(text: str) -> str:
    """Return text with "?" for each control character; lines and tabs stay."""
    return CONTROLS.sub("?", text)


def document_bytes(text: str) -> bytes:
    """Return the content of a report or table for people, without control characters."""
    return without_controls(text).encode()


def with_controls(value: Any, key: str = "") -> Iterator[str]:
    """Yield the keys of texts in nested tables that have control characters, or more than one line;
    a key that has some itself is escaped.

    key   of `value`
    """
    if isinstance(value, Mapping):
        for name, item in value.items():
            inner = f"{key}.{name}" if key else str(name)
            if is_refused(str(name)):
                yield ascii(inner)
            else:
                yield from with_controls(item, inner)
    elif isinstance(value, list):
        for item in value:
            yield from with_controls(item, key)
    elif isinstance(value, str) and is_refused(value):
        yield key


def is_refused(text: str) -> bool:
    """Return whether settings may not have a text: it has control characters, or several lines."""
    return "\n" in text or CONTROLS.search(text) is not None
