# SPDX-License-Identifier: Apache-2.0
"""Text tables, drawn alike by the terminal and the pages."""

from __future__ import annotations

from dataclasses import dataclass

Cells = tuple[str, ...]


@dataclass(frozen=True)
class ReportTable:
    """Titles and rows of cells.

    words   titles of left-aligned text columns; other columns contain numbers and are right-aligned
    """

    titles: Cells
    rows: tuple[Cells, ...]
    words: Cells = ()

    def __bool__(self) -> bool:
        return bool(self.rows)
