# SPDX-License-Identifier: Apache-2.0
"""Texts of C expressions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import chain, zip_longest

EARLY_LOADS = 4  # arrays of which registers hold the elements ahead of all other values
VARIABLE = re.compile(r"\b[a-z]\w*")


def shifted(text: str, bits: int) -> str:
    return f"({text} >> {bits})" if bits else text


def bare(text: str) -> str:
    """Return an expression without the parentheses around it."""
    if not (text.startswith("(") and text.endswith(")")):
        return text
    depth = 0
    for at, character in enumerate(text):
        depth += (character == "(") - (character == ")")
        if depth == 0 and at < len(text) - 1:
            return text
    return text[1:-1]


def side_by_side(columns: Sequence[tuple[Sequence[str], Sequence[str]]]) -> list[str]:
    """Return the statements for some elements, of which independent ones follow each other.

    columns   the loads of an element, and the statements behind them
    """
    loads = [*zip(*(own for own, _ in columns), strict=True)]
    texts = [text for _, text in columns]
    has_loops = any(line.endswith("{") for line in texts[0])
    rows = texts if has_loops else zip_longest(*texts, fillvalue="")
    lines = [*filter(None, chain(*rows))]
    if len(columns) == 1 or len(loads) <= EARLY_LOADS or has_loops:
        return [*chain(*loads), *lines]
    return _at_use(loads, lines)


def _at_use(loads: Sequence[Sequence[str]], lines: Sequence[str]) -> list[str]:
    """Return statements with loads in front of the first one that reads any of them: registers
    hold fewer values at a time.

    loads   groups of definitions that stay together, as their order is that of memory
    """
    left = {line.split()[2]: group for group in loads for line in group}
    found = list[str]()
    for line in lines:
        is_store = line.startswith("me_put")  # maybe in the place of what is read
        for name in [*left] if is_store else VARIABLE.findall(line):
            if group := left.get(name):
                found += group
                left = {x: other for x, other in left.items() if other is not group}
        found.append(line)
    return found
