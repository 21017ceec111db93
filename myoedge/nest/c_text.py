# SPDX-License-Identifier: Apache-2.0
"""Texts of C expressions."""

from __future__ import annotations


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
