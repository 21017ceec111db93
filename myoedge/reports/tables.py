# SPDX-License-Identifier: Apache-2.0
"""Tables of text cells, rendered by the terminal and by HTML pages."""

from __future__ import annotations

from dataclasses import dataclass

Cells = tuple[str, ...]


@dataclass(frozen=True)
class ReportTable:
    """A table of text cells.

    titles   titles of the columns
    rows     rows of cells
    words    titles of left-aligned text columns; other columns contain numbers and are
             right-aligned
    """

    titles: Cells
    rows: tuple[Cells, ...]
    words: Cells = ()

    def __bool__(self) -> bool:
        return bool(self.rows)
