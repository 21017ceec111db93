# SPDX-License-Identifier: Apache-2.0
"""Tables of docs/performance.md that are made from recorded figures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

PAGE = Path(__file__).resolve().parents[1] / "docs" / "performance.md"


def head(*columns: str) -> str:
    """The first two lines of a table."""
    return f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|\n"


def markdown(head: str, rows: Sequence[Sequence[str]]) -> str:
    return head + "".join(f"| {' | '.join(cells)} |\n" for cells in rows)


def put(head: str, rows: Sequence[Sequence[str]], page: Path = PAGE) -> None:
    """Replaces the rows below this head. Errors: ValueError where the page has no such table."""
    before, found, after = page.read_text().partition(head)
    if not found:
        raise ValueError(f"{page.name} has no table {head.splitlines()[0]}")
    rest = after.splitlines(keepends=True)
    while rest and rest[0].startswith("|"):
        rest.pop(0)
    page.write_text(before + markdown(head, rows) + "".join(rest))
